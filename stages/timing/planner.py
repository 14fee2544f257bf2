"""Where each line is spoken and how fast: a pure function of slots and lengths.

A line starts when its source line started. It is read unhurried if that ends with the source line; else it is
read up to ``comfortable_rate``, else it runs into the pause after its slot, else up to ``fastest_rate``, else it
is flagged.
Nothing is cut, and no rate leaves ``slowest_rate`` to ``fastest_rate``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor

from pydantic import Field

from stages.artifacts import PlannedLine, Record

DOES_NOT_FIT = "does not fit"
STARTS_LATE = "starts late"
OVERLAPS = "overlaps another speaker"
PAST_THE_END = "runs past the end of the clip"
NOTHING_TO_SAY = "nothing to say"


class TimingConfig(Record):
    """How far a line may leave its slot and its unhurried rate."""

    slowest_rate: float = Field(default=0.8, ge=0.5, le=1)
    """No line is read slower."""
    unhurried_rate: float = Field(default=0.9, ge=0.5, le=1)
    """A short line is slowed to this so that it lasts as long as its slot; the rest of the slot is silent ..."""
    most_silent_share: float = Field(default=0.25, ge=0, le=1)
    """... unless more than this share of the slot would be silent: then it is slowed further."""
    comfortable_rate: float = Field(default=1.15, ge=1, le=2)
    """A long line is read up to this rate before it uses the pause after its slot."""
    fastest_rate: float = Field(default=1.35, ge=1, le=2)
    """No line is read faster."""
    tolerance_ms: int = Field(default=80, ge=0)
    """How far a start may move where lines would not fit otherwise: well inside what ITU-R BT.1359 lets pass unseen."""
    breath_ms: int = Field(default=60, ge=0)
    """Pause that a line which runs on leaves before the next one."""


class Slot(Record):
    """The time of a source line."""

    id: int
    speaker: str
    start_ms: int
    end_ms: int


def plan_lines(
    slots: Sequence[Slot], sounding_ms: Mapping[int, int], clip_end_ms: int, config: TimingConfig
) -> tuple[PlannedLine, ...]:
    """Return a planned line for every slot, in order of the slots' starts.

    Lines of one speaker never overlap. Lines of two speakers overlap only where their source lines did, or with a flag.

    Args:
        slots: source lines.
        sounding_ms: by line id: first phone's onset to last phone's end, read at rate 1.
        clip_end_ms: what the clip's sound ends at.
        config: the bounds.
    """
    ordered = sorted(slots, key=lambda slot: (slot.start_ms, slot.end_ms, slot.id))
    planned: list[PlannedLine] = []
    for index, slot in enumerate(ordered):
        length_ms = sounding_ms[slot.id]
        if length_ms == 0:
            planned.append(_silent_line(slot))
            continue
        own_end_ms, others_end_ms = _ends_before(slot, ordered[:index], planned)
        start_ms = max(slot.start_ms, own_end_ms, min(others_end_ms, slot.start_ms + config.tolerance_ms))
        limit_ms = _limit_ms(slot, ordered[index + 1 :], clip_end_ms, config)
        shortest_ms = ceil(length_ms / config.fastest_rate)
        missing_ms = start_ms + shortest_ms - limit_ms
        if missing_ms > 0:  # begin a little early, if that is free
            earliest_ms = max(slot.start_ms - config.tolerance_ms, own_end_ms, others_end_ms, 0)
            start_ms = max(min(start_ms, earliest_ms), start_ms - missing_ms)
        end_ms = start_ms + _length_ms(length_ms, slot.end_ms - start_ms, limit_ms - start_ms, config)
        flags = {
            DOES_NOT_FIT: end_ms > limit_ms,
            STARTS_LATE: start_ms > slot.start_ms + config.tolerance_ms,
            OVERLAPS: start_ms < others_end_ms,
            PAST_THE_END: end_ms > clip_end_ms,
        }
        planned.append(
            PlannedLine(
                id=slot.id,
                start_ms=start_ms,
                end_ms=end_ms,
                rate=length_ms / (end_ms - start_ms),
                flags=tuple(flag for flag, holds in flags.items() if holds),
            )
        )
    return tuple(planned)


def _silent_line(slot: Slot) -> PlannedLine:
    return PlannedLine(id=slot.id, start_ms=slot.start_ms, end_ms=slot.start_ms, rate=1.0, flags=(NOTHING_TO_SAY,))


def _ends_before(slot: Slot, earlier: Sequence[Slot], planned: Sequence[PlannedLine]) -> tuple[int, int]:
    """Return when this speaker has finished, and when the others have whose source lines do not overlap this one."""
    own = [line.end_ms for other, line in zip(earlier, planned, strict=True) if other.speaker == slot.speaker]
    others = [
        line.end_ms
        for other, line in zip(earlier, planned, strict=True)
        if other.speaker != slot.speaker and other.end_ms <= slot.start_ms
    ]
    return max(own, default=0), max(others, default=0)


def _limit_ms(slot: Slot, later: Sequence[Slot], clip_end_ms: int, config: TimingConfig) -> int:
    """Return when the line must have ended: before the next line that did not overlap it, and before the clip's end."""
    starts = (other.start_ms for other in later if other.speaker == slot.speaker or other.start_ms >= slot.end_ms)
    next_ms = min(starts, default=None)
    if next_ms is None:
        return clip_end_ms
    return min(clip_end_ms, max(min(slot.end_ms, next_ms), next_ms - config.breath_ms))


def _length_ms(length_ms: int, slot_ms: int, available_ms: int, config: TimingConfig) -> int:
    """Return how long a line of ``length_ms`` at rate 1 is made."""
    if length_ms <= slot_ms:
        unhurried_ms = min(slot_ms, floor(length_ms / config.unhurried_rate))
        slowed_ms = min(floor(slot_ms * (1 - config.most_silent_share)), floor(length_ms / config.slowest_rate))
        wanted_ms = max(length_ms, unhurried_ms, slowed_ms)
    else:
        comfortable_ms = ceil(length_ms / config.comfortable_rate)
        wanted_ms = max(slot_ms, comfortable_ms)
    return max(min(wanted_ms, available_ms), ceil(length_ms / config.fastest_rate))
