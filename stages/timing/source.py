"""What the plan is told of the source: the slots of its lines, the pauses inside them, and whose lips are seen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stages.artifacts import Record, Script, SpeakerFaces, Transcript, Word
from stages.timing.phrases import SourcePause


class Slot(Record):
    """The time of a source line."""

    id: int
    speaker: str
    start_ms: int
    end_ms: int
    pauses: tuple[SourcePause, ...] = ()
    """Inside it, in order."""
    is_seen: bool = True
    """The speaker's lips are in the picture, and a moved start would show."""


def slots(script: Script) -> list[Slot]:
    """Return the slots of a script's lines: their times alone."""
    return [Slot(id=line.id, speaker=line.speaker, start_ms=line.start_ms, end_ms=line.end_ms) for line in script.lines]


def source_slots(
    script: Script, transcript: Transcript, faces: SpeakerFaces, least_pause_ms: int, least_share: float
) -> list[Slot]:
    """Return the slots of a script's lines with all that the source tells of them.

    Args:
        script: the lines.
        transcript: of the source; pauses are between its words.
        faces: whose lips are seen when.
        least_pause_ms: a shorter pause is none.
        least_share: a line is seen if its speaker's face is, during at least this share of it.
    """
    words = {line.id: line.words for line in transcript.lines}
    return [
        slot.model_copy(
            update={
                "pauses": _pauses(slot, words.get(slot.id, ()), least_pause_ms),
                "is_seen": _seen_ms(slot, faces) >= least_share * (slot.end_ms - slot.start_ms),
            }
        )
        for slot in slots(script)
    ]


def _pauses(slot: Slot, words: Sequence[Word], least_ms: int) -> tuple[SourcePause, ...]:
    return tuple(
        SourcePause(start_ms=before.end_ms - slot.start_ms, end_ms=after.start_ms - slot.start_ms)
        for before, after in pairwise(words)
        if after.start_ms - before.end_ms >= least_ms
    )


def _seen_ms(slot: Slot, faces: SpeakerFaces) -> int:
    """Return how long the speaker's face is seen during a line."""
    return sum(
        max(0, min(slot.end_ms, turn.end_ms) - max(slot.start_ms, turn.start_ms))
        for turn in faces.turns
        if turn.speaker == slot.speaker and turn.face is not None
    )
