"""Where each line is spoken and how fast: a pure function of slots and lengths.

A line starts when its source line started, pauses where that did, and is read unhurried, or as fast as is comfortable,
or on into the pause after its slot. Where that is not enough, the whole sequence is planned at once, as a linear
programme whose costs say what is given up first: pauses inside lines get shorter; a start moves by up to
``tolerance_ms``; the pause between two lines shrinks to ``least_breath_ms``; lines are read faster, each no more than
its neighbours need, and before one is hurried, a line whose speaker is not seen moves farther; then, with a flag, a
line starts late; and last, with a flag, one runs past the end of the clip. Nothing is cut, no rate leaves
``slowest_rate`` to ``fastest_rate``, and lines overlap only where their sources did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from types import MappingProxyType

from pydantic import Field

from stages.artifacts import PhraseEnd, PlannedLine, Record
from stages.timing.phrases import NO_ENDS, Parts, Pause, added, parts, planned
from stages.timing.programme import Programme
from stages.timing.source import Slot

DOES_NOT_FIT = "does not fit"
STARTS_LATE = "starts late"
PAST_THE_END = "runs past the end of the clip"
NOTHING_TO_SAY = "nothing to say"

# What a millisecond costs; only the order matters. Reading faster costs more the faster it already is, so that
# neighbours share a hurry instead of one bearing it all.
_UNHURRIED_COST = 0.2
_PAUSE_COST = 0.3
_CLOSE_TO_END_COST = 0.5
_MOVE_COST = 1.0
_SHORT_BREATH_COST = 1.5
_HURRY_COSTS = (2.0, 3.0, 4.0, 5.0)
_UNSEEN_MOVE_COST = 2.5
"""Between the first step of a hurry, that is hardly heard, and the second."""
_LATE_COST = 1e3
_PAST_END_COST = 1e4


class TimingConfig(Record):
    """How far a line may leave its slot and its unhurried rate."""

    slowest_rate: float = Field(default=0.85, ge=0.5, le=1)
    """No line is read slower."""
    unhurried_rate: float = Field(default=0.9, ge=0.5, le=1)
    """A short line is slowed to this so that it lasts as long as its slot; the rest of the slot is silent ..."""
    most_silent_share: float = Field(default=0.25, ge=0, le=1)
    """... unless more than this share of the slot would be silent: then it is slowed further."""
    comfortable_rate: float = Field(default=1.15, ge=1, le=2)
    """A long line is read up to this rate before it uses the pause after its slot; where both are not enough, a
    shorter wording is chosen, if there is one."""
    fastest_rate: float = Field(default=1.35, ge=1, le=2)
    """No line is read faster."""
    tolerance_ms: int = Field(default=60, ge=0)
    """How far a start may move where lines would not fit otherwise: with the error of an onset that was heard, 12 ms,
    it stays well inside what ITU-R BT.1359 lets pass unseen."""
    unseen_tolerance_ms: int = Field(default=400, ge=0)
    """The same where the speaker's lips are not in the picture."""
    seen_share: float = Field(default=0.2, ge=0, le=1)
    """A line is seen if its speaker's face is, during at least this share of it."""
    pause_ms: int = Field(default=250, ge=0)
    """A pause of at least this length inside a source line is kept where the translation has punctuation."""
    breath_ms: int = Field(default=60, ge=0)
    """Pause between lines, and before the clip's end where it costs little."""
    least_breath_ms: int = Field(default=30, ge=0)
    """The same where a line would be hurried otherwise. A sound may be 20 ms longer than planned."""

    def most_moved_ms(self, slot: Slot) -> int:
        """Return how far a line's start may move without a flag."""
        return self.tolerance_ms if slot.is_seen else max(self.tolerance_ms, self.unseen_tolerance_ms)


_Time = tuple[Mapping[int, int], int]
"""A sum of variables (index -> sign) and a number of ms."""


@dataclass(frozen=True)
class _Wanted:
    """How a line is spoken where nothing is in its way."""

    line: Parts
    phones_ms: int
    pauses: tuple[Pause, ...]

    @property
    def length_ms(self) -> int:
        return self.phones_ms + sum(pause.wanted_ms for pause in self.pauses)

    @property
    def free_ms(self) -> int:
        """How much shorter its pauses can be."""
        return sum(pause.wanted_ms - pause.least_ms for pause in self.pauses)


@dataclass(frozen=True)
class _Place:
    """Where a line is spoken, and how much shorter than wanted its pauses are."""

    start_ms: int
    end_ms: int
    shorter_ms: int


def room_ms(slots: Sequence[Slot], clip_end_ms: int, config: TimingConfig) -> dict[int, int]:
    """Return by line id how long the line may last from its slot's start, the pause after it used."""
    ordered = _ordered(slots)
    limits_ms = {slot.id: clip_end_ms for slot in ordered}
    for before, after in _successions(ordered):
        limits_ms[before.id] = min(limits_ms[before.id], after.start_ms - config.breath_ms)
    return {slot.id: max(0, limits_ms[slot.id] - slot.start_ms) for slot in ordered}


def plan_lines(
    slots: Sequence[Slot],
    sounding_ms: Mapping[int, int],
    clip_end_ms: int,
    config: TimingConfig,
    fixed: Mapping[int, PlannedLine] = MappingProxyType({}),
    phrase_ends: Mapping[int, Sequence[PhraseEnd]] = NO_ENDS,
) -> tuple[PlannedLine, ...]:
    """Return a planned line for every slot, in order of the slots' starts.

    Args:
        slots: source lines.
        sounding_ms: by line id: first phone's onset to last phone's end, read at rate 1.
        clip_end_ms: what the clip's sound ends at.
        config: the bounds.
        fixed: by line id, lines that stay where they are; their ``sounding_ms`` is not asked for.
        phrase_ends: by line id, where the line can pause; without it none does.

    Raises:
        ArithmeticError: the lines do not fit between the fixed ones.
    """
    ordered = _ordered(slots)
    spoken = [slot for slot in ordered if _is_spoken(slot, sounding_ms, fixed)]
    wanted = {
        slot.id: _wanted(slot, sounding_ms[slot.id], phrase_ends.get(slot.id, ()), config)
        for slot in spoken
        if slot.id not in fixed
    }
    successions = list(_successions(spoken))
    places = _solved(spoken, successions, wanted, clip_end_ms, config, fixed)
    due_ms = {slot.id: clip_end_ms for slot in spoken}
    for before, after in successions:
        latest_ms = after.start_ms + config.most_moved_ms(after) - config.least_breath_ms
        due_ms[before.id] = min(due_ms[before.id], latest_ms)
    return tuple(
        fixed[slot.id]
        if slot.id in fixed
        else _planned_line(slot, wanted[slot.id], places[slot.id], due_ms[slot.id], clip_end_ms, config)
        if slot.id in wanted
        else _silent_line(slot)
        for slot in ordered
    )


def _planned_line(
    slot: Slot, wanted: _Wanted, place: _Place, due_ms: int, clip_end_ms: int, config: TimingConfig
) -> PlannedLine:
    paused_ms = wanted.length_ms - wanted.phones_ms - place.shorter_ms
    rate = wanted.line.phones_ms / (place.end_ms - place.start_ms - paused_ms)
    flags = {
        DOES_NOT_FIT: place.end_ms > due_ms,
        STARTS_LATE: place.start_ms > slot.start_ms + config.most_moved_ms(slot),
        PAST_THE_END: place.end_ms > clip_end_ms,
    }
    return PlannedLine(
        id=slot.id,
        start_ms=place.start_ms,
        end_ms=place.end_ms,
        rate=rate,
        pauses=added(wanted.pauses, place.shorter_ms, rate),
        flags=tuple(flag for flag, holds in flags.items() if holds),
    )


def _is_spoken(slot: Slot, sounding_ms: Mapping[int, int], fixed: Mapping[int, PlannedLine]) -> bool:
    if slot.id in fixed:
        return fixed[slot.id].end_ms > fixed[slot.id].start_ms
    return sounding_ms[slot.id] > 0


def _ordered(slots: Sequence[Slot]) -> list[Slot]:
    return sorted(slots, key=lambda slot: (slot.start_ms, slot.end_ms, slot.id))


def _silent_line(slot: Slot) -> PlannedLine:
    return PlannedLine(id=slot.id, start_ms=slot.start_ms, end_ms=slot.start_ms, rate=1.0, flags=(NOTHING_TO_SAY,))


def _successions(ordered: Sequence[Slot]) -> Iterable[tuple[Slot, Slot]]:
    """Yield the pairs of lines of which the second waits for the first; what follows from other pairs is left out.

    A speaker's lines follow each other. Another speaker's line waits for those whose source had ended before its own
    began: people who talked at the same time may do so again.
    """
    by_speaker: dict[str, list[Slot]] = {}
    for slot in ordered:
        by_speaker.setdefault(slot.speaker, []).append(slot)
    for own in by_speaker.values():
        yield from pairwise(own)
    for slot in ordered:
        for speaker, lines in by_speaker.items():
            over = [line for line in lines if line.end_ms <= slot.start_ms and line.start_ms < slot.start_ms]
            if speaker != slot.speaker and over:
                yield over[-1], slot


def _solved(
    spoken: Sequence[Slot],
    successions: Sequence[tuple[Slot, Slot]],
    wanted: Mapping[int, _Wanted],
    clip_end_ms: int,
    config: TimingConfig,
    fixed: Mapping[int, PlannedLine],
) -> dict[int, _Place]:
    """Return where the lines that are not fixed are spoken at the least cost."""
    programme = Programme()
    starts: dict[int, _Time] = {slot: ({}, line.start_ms) for slot, line in fixed.items()}
    ends: dict[int, _Time] = {slot: ({}, line.end_ms) for slot, line in fixed.items()}
    shorter: dict[int, int] = {}
    for slot in spoken:
        if slot.id in fixed:
            continue
        line = wanted[slot.id]
        starts[slot.id] = (_moves(programme, slot, config), slot.start_ms)
        steps_ms = _hurry_steps_ms(line.line.phones_ms, line.phones_ms, config)
        hurry = {
            programme.variable(cost, step_ms): -1
            for cost, step_ms in zip((_UNHURRIED_COST, *_HURRY_COSTS), steps_ms, strict=True)
        }
        shorter[slot.id] = programme.variable(_PAUSE_COST, line.free_ms)
        ends[slot.id] = (
            {**starts[slot.id][0], **hurry, shorter[slot.id]: -1},
            slot.start_ms + line.length_ms,
        )
        close = programme.variable(_CLOSE_TO_END_COST, config.breath_ms)
        past = programme.variable(_PAST_END_COST)
        end, offset_ms = ends[slot.id]
        programme.at_most({**end, close: -1, past: -1}, clip_end_ms - config.breath_ms - offset_ms)
    for before, after in successions:
        if before.id in fixed and after.id in fixed:
            continue
        (end, end_ms), (start, start_ms) = ends[before.id], starts[after.id]
        difference = {**end, **{variable: -sign for variable, sign in start.items()}}
        shorter_breath = programme.variable(_SHORT_BREATH_COST, max(0, config.breath_ms - config.least_breath_ms))
        programme.at_most({**difference, shorter_breath: -1}, start_ms - end_ms - config.breath_ms)
    value = programme.solve()
    return {id: _Place(_at(starts[id], value), _at(ends[id], value), value[shorter[id]]) for id in wanted}


def _moves(programme: Programme, slot: Slot, config: TimingConfig) -> dict[int, int]:
    """Return the variables that a line's start moves by, with their signs."""
    near_ms, most_ms = config.tolerance_ms, config.most_moved_ms(slot)
    early_ms = min(most_ms, slot.start_ms)
    moves = {
        programme.variable(_MOVE_COST, min(near_ms, early_ms)): -1,
        programme.variable(_MOVE_COST, near_ms): 1,
        programme.variable(_LATE_COST): 1,
    }
    if most_ms > near_ms:
        moves[programme.variable(_UNSEEN_MOVE_COST, max(0, early_ms - near_ms))] = -1
        moves[programme.variable(_UNSEEN_MOVE_COST, most_ms - near_ms)] = 1
    return moves


def _at(expression: _Time, value: Sequence[int]) -> int:
    signs, offset = expression
    return offset + sum(sign * value[variable] for variable, sign in signs.items())


def _hurry_steps_ms(length_ms: int, wanted_ms: int, config: TimingConfig) -> list[int]:
    """Return how much shorter a line can get: down to a comfortable rate, and from there in steps to the fastest."""
    comfortable_ms = min(wanted_ms, ceil(length_ms / config.comfortable_rate))
    shortest_ms = ceil(length_ms / config.fastest_rate)
    steps = len(_HURRY_COSTS)
    edges_ms = [comfortable_ms - (comfortable_ms - shortest_ms) * step // steps for step in range(steps + 1)]
    return [wanted_ms - comfortable_ms, *(longer - shorter for longer, shorter in pairwise(edges_ms))]


def _wanted(slot: Slot, sounding_ms: int, ends: Sequence[PhraseEnd], config: TimingConfig) -> _Wanted:
    slot_ms = slot.end_ms - slot.start_ms
    line = parts(sounding_ms, slot_ms, ends, slot.pauses)
    phones_ms = _wanted_ms(line.phones_ms, line.slot_ms, config)

    def length_ms(phones_ms: int) -> int:
        return _Wanted(line, phones_ms, planned(line, phones_ms)).length_ms

    if phones_ms < line.phones_ms:
        # Pauses give before the voice hurries: each phrase begins with the source's, and may last into the pause.
        slower = range(phones_ms, line.phones_ms + 1)
        fitting = bisect_right(slower, slot_ms, key=length_ms)
        phones_ms = slower[max(0, fitting - 1)]
    elif (over_ms := length_ms(phones_ms) - slot_ms) > 0:
        # A line is not slowed to end later than its slot, which it might where its last phrase is long.
        phones_ms = max(line.phones_ms, phones_ms - over_ms)
    return _Wanted(line, phones_ms, planned(line, phones_ms))


def _wanted_ms(length_ms: int, slot_ms: int, config: TimingConfig) -> int:
    """Return how long a line of ``length_ms`` at rate 1 is made where nothing is in its way."""
    if length_ms > slot_ms:
        return max(slot_ms, ceil(length_ms / config.comfortable_rate))
    unhurried_ms = min(slot_ms, floor(length_ms / config.unhurried_rate))
    slowed_ms = min(floor(slot_ms * (1 - config.most_silent_share)), floor(length_ms / config.slowest_rate))
    return max(length_ms, unhurried_ms, slowed_ms)
