"""Pauses inside a line: which of the source's are kept where the translation has a phrase boundary, and how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from stages.artifacts import AddedPause, PhraseEnd, Record

FARTHEST_SHARE = 0.2
"""A boundary answers a pause of the source if it lies no farther from it than this share of the line."""
LEAST_PAUSE_MS = 100
"""What is left of a pause that time is taken from: enough to hear that a phrase has ended."""
_LEAST_CHANGE_MS = 20
"""For less the sound is not cut: the line's rate makes up for it."""
MOST_LONGER_MS = 300
"""A pause is made this much longer than the source's at most; a phrase that is much too short begins early instead."""


class SourcePause(Record):
    """A pause of the source, on its line's clock: 0 is the line's start."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Pause:
    """A phrase boundary of the translation, and how long the line is to pause there."""

    end: PhraseEnd
    wanted_ms: int
    least_ms: int


@dataclass(frozen=True)
class Parts:
    """What a line's time is made of: its phones, at some rate, and its pauses."""

    phones_ms: int
    """At rate 1, without the pauses that are planned."""
    slot_ms: int
    """The source's, without the pauses that are kept."""
    boundaries: tuple[tuple[PhraseEnd, SourcePause | None], ...]
    """Where time can be given or taken, in order, each with the source's pause if there is one."""


NO_ENDS: Mapping[int, tuple[PhraseEnd, ...]] = MappingProxyType({})


def parts(sounding_ms: int, slot_ms: int, ends: Sequence[PhraseEnd], pauses: Sequence[SourcePause]) -> Parts:
    """Take a line apart.

    Args:
        sounding_ms: first phone's onset to last phone's end at rate 1, its own pauses included.
        slot_ms: of the source line.
        ends: the line's phrase boundaries, in order.
        pauses: the source line's, in order.
    """
    kept = _matched(sounding_ms, slot_ms, ends, pauses)
    boundaries = tuple(
        (end, pauses[kept[number]] if number in kept else None)
        for number, end in enumerate(ends)
        if number in kept or end.next_ms - end.end_ms > LEAST_PAUSE_MS
    )
    own_ms = sum(end.next_ms - end.end_ms for end, _ in boundaries)
    kept_ms = sum(pause.end_ms - pause.start_ms if pause else end.next_ms - end.end_ms for end, pause in boundaries)
    return Parts(max(1, sounding_ms - own_ms), max(1, slot_ms - kept_ms), boundaries)


def planned(line: Parts, phones_ms: int) -> tuple[Pause, ...]:
    """Return the pauses that a line gets if its phones take ``phones_ms``.

    Behind a pause of the source the next phrase begins when the source's did. Where a phrase is still spoken then, the
    synthesiser's own pause is enough.
    """
    rate = line.phones_ms / phones_ms
    found: list[Pause] = []
    paused_ms = own_before_ms = 0
    for end, pause in line.boundaries:
        own_ms = end.next_ms - end.end_ms
        least_ms = min(LEAST_PAUSE_MS, round(own_ms / rate))
        wanted_ms = round(own_ms / rate)
        if pause is not None:
            until_ms = pause.end_ms - (round((end.end_ms - own_before_ms) / rate) + paused_ms)
            longest_ms = pause.end_ms - pause.start_ms + MOST_LONGER_MS
            wanted_ms = max(least_ms, min(wanted_ms, longest_ms), min(until_ms, longest_ms))
        found.append(Pause(end, wanted_ms, least_ms))
        paused_ms += wanted_ms
        own_before_ms += own_ms
    return tuple(found)


def added(pauses: Sequence[Pause], shorter_ms: int, rate: float) -> tuple[AddedPause, ...]:
    """Return what is added to the synthesiser's own pauses when ``shorter_ms`` are taken from the wanted ones."""
    free_ms = sum(pause.wanted_ms - pause.least_ms for pause in pauses)
    found: list[AddedPause] = []
    taken_ms = seen_ms = 0
    for pause in pauses:
        seen_ms += pause.wanted_ms - pause.least_ms
        own_share_ms = round(shorter_ms * seen_ms / free_ms) - taken_ms if free_ms else 0
        taken_ms += own_share_ms
        added_ms = pause.wanted_ms - own_share_ms - round((pause.end.next_ms - pause.end.end_ms) / rate)
        if abs(added_ms) >= _LEAST_CHANGE_MS:
            found.append(AddedPause(after_phone=pause.end.phone, added_ms=added_ms))
    return tuple(found)


def _matched(
    sounding_ms: int, slot_ms: int, ends: Sequence[PhraseEnd], pauses: Sequence[SourcePause]
) -> dict[int, int]:
    """Return by index of a boundary the index of its source pause; long pauses choose first, the order is kept."""
    spoken_ms = max(1, slot_ms - sum(pause.end_ms - pause.start_ms for pause in pauses))
    own_ms = sum(end.next_ms - end.end_ms for end in ends)
    source, target = [], []
    before_ms = 0
    for pause in pauses:
        source.append((pause.start_ms - before_ms) / spoken_ms)
        before_ms += pause.end_ms - pause.start_ms
    before_ms = 0
    for end in ends:
        target.append((end.end_ms - before_ms) / max(1, sounding_ms - own_ms))
        before_ms += end.next_ms - end.end_ms
    found: dict[int, int] = {}
    for number in sorted(range(len(pauses)), key=lambda at: pauses[at].start_ms - pauses[at].end_ms):
        free = [
            at
            for at in range(len(ends))
            if abs(target[at] - source[number]) <= FARTHEST_SHARE
            and all((at < other) == (number < found[other]) and at != other for other in found)
        ]
        if free:
            found[min(free, key=lambda at: (abs(target[at] - source[number]), at))] = number
    return found
