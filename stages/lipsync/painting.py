"""What every engine of the lip-sync gives: somebody who draws the planned faces, frame by frame in any order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from stages.artifacts import Media, SourceVideo, SpeakerFaces, Speech, Trajectory
from stages.lipsync import LipsyncConfig
from stages.lipsync.composite import Patch
from stages.lipsync.plan import FacePlan
from stages.progress import Progress

if TYPE_CHECKING:
    from stages.lipsync.feedback import SeenMouth


class Painter(Protocol):
    """Draws one face; several threads may ask."""

    @property
    def plan(self) -> FacePlan:
        """What it must show, and where."""

    def draw(self, frame: np.ndarray, row: int) -> tuple[np.ndarray, Patch]:
        """Return the frame (uint8 BGR (h, w, 3)) with the face of this row of its track drawn, and what was changed."""


class Scene(NamedTuple):
    """What is dubbed, beside the plans of its faces."""

    video: SourceVideo
    media: Media
    faces: SpeakerFaces
    trajectory: Trajectory
    speech: Speech | None
    """None where the engine does not hear it."""
    scratch: Path | None = None
    """Where large things may lie meanwhile; None: the system's folder for them."""


class MakePainters(Protocol):
    """An engine (:data:`stages.lipsync.ENGINES`)."""

    def __call__(
        self, seen: dict[int, SeenMouth], scene: Scene, config: LipsyncConfig, progress: Progress
    ) -> AbstractContextManager[Mapping[int, Painter]]:
        """Lend who draws the driven faces, by face id; ``seen`` are those who draw the clip's own mouths there."""
