"""Where a person comes in: what was written in the output folder's files, and whether it is waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stages.artifacts import Diarization, Media, Script, Transcript
from stages.corrections import Corrections
from stages.edits import Edits


class Review(Protocol):
    """Gives what a person has written, and may wait until the person has seen what comes of it."""

    def transcript(
        self,
        heard: Transcript,
        diarization: Diarization,
        media: Media,
        corrected: Callable[[Corrections], Transcript],
    ) -> Transcript:
        """Return the transcript to go on with; ``corrected`` takes corrections over."""

    def translation(self, target: str, fitted: Callable[[Edits], Script]) -> Script:
        """Return the script to go on with in the language ``target``; ``fitted`` takes edits over."""


@dataclass(frozen=True)
class Written:
    """What a person has written, taken as it is (:class:`Review`)."""

    corrections: Corrections = field(default_factory=Corrections)
    edits: Mapping[str, Edits] = field(default_factory=dict)
    """By target language."""

    def transcript(
        self,
        heard: Transcript,
        diarization: Diarization,
        media: Media,
        corrected: Callable[[Corrections], Transcript],
    ) -> Transcript:
        """Return the transcript with the corrections."""
        return corrected(self.corrections)

    def translation(self, target: str, fitted: Callable[[Edits], Script]) -> Script:
        """Return the script with the edits."""
        return fitted(self.edits.get(target, Edits()))


AS_HEARD = Written()
"""Nobody has written anything."""
