"""Wav2Lip: the lower half of a 96-pixel face made to fit the sound.

Source: Prajwal, Mukhopadhyay, Namboodiri & Jawahar 2020, "A lip sync expert is all you need for speech to lip
generation in the wild". Own code for the public checkpoints, whose weights may not be used commercially.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stages.lipsync import LipsyncConfig
from stages.lipsync.generated import generated_faces
from stages.lipsync.painting import Painter, Scene
from stages.lipsync.wav2lip.engine import Wav2LipEngine
from stages.progress import Progress

if TYPE_CHECKING:
    from stages.lipsync.feedback import SeenMouth


@contextmanager
def painters(
    seen: dict[int, SeenMouth], scene: Scene, config: LipsyncConfig, progress: Progress
) -> Iterator[Mapping[int, Painter]]:
    """Lend who draws the faces that Wav2Lip makes (:class:`stages.lipsync.painting.MakePainters`).

    Raises:
        InputError: there is no speech to go by, or the model is neither a name nor a folder.
        MissingEngineError: the model or the device cannot be used.
    """
    with generated_faces(seen, scene, Wav2LipEngine(config.wav2lip), progress) as drawers:
        yield drawers
