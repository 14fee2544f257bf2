"""What holds for every plan, whatever the slots, the lengths, the pauses and who is seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifacts import PhraseEnd, PlannedLine
from stages.timing.phrases import LEAST_PAUSE_MS, MOST_LONGER_MS, SourcePause
from stages.timing.planner import PAST_THE_END, STARTS_LATE, TimingConfig, plan_lines
from stages.timing.source import Slot

CONFIG = TimingConfig()


@dataclass(frozen=True)
class Case:
    """What a plan is made of."""

    slots: list[Slot]
    lengths: dict[int, int]
    ends: dict[int, tuple[PhraseEnd, ...]]
    clip_end_ms: int

    def plan(self, config: TimingConfig = CONFIG) -> tuple[PlannedLine, ...]:
        return plan_lines(self.slots, self.lengths, self.clip_end_ms, config, phrase_ends=self.ends)

    def slot(self, id: int) -> Slot:
        return next(slot for slot in self.slots if slot.id == id)


def cuts(draw: st.DrawFn, length_ms: int) -> list[int]:
    """Up to four times inside a length, in order, for two stretches at most."""
    times = draw(st.lists(st.integers(1, max(1, length_ms - 1)), max_size=4, unique=True))
    times = sorted(time for time in times if 0 < time < length_ms)
    return times[: len(times) // 2 * 2]


@st.composite
def cases(draw: st.DrawFn, is_seen: bool | None = None) -> Case:
    slots, lengths, ends, clock = [], {}, {}, {"S1": 0, "S2": 0, "S3": 0}
    for id in range(1, draw(st.integers(1, 10)) + 1):
        speaker = draw(st.sampled_from(sorted(clock)))
        start = clock[speaker] + draw(st.integers(0, 3000))
        length = draw(st.integers(1, 8000))
        clock[speaker] = start + length
        times = cuts(draw, length)
        pauses = tuple(SourcePause(start_ms=a, end_ms=b) for a, b in zip(times[::2], times[1::2], strict=True))
        slots.append(
            Slot(
                id=id,
                speaker=speaker,
                start_ms=start,
                end_ms=start + length,
                pauses=pauses,
                is_seen=draw(st.booleans()) if is_seen is None else is_seen,
            )
        )
        lengths[id] = draw(st.integers(0, 15_000))
        times = cuts(draw, lengths[id])
        ends[id] = tuple(
            PhraseEnd(phone=number, end_ms=a, next_ms=b)
            for number, (a, b) in enumerate(zip(times[::2], times[1::2], strict=True))
        )
    return Case(slots, lengths, ends, max(clock.values()) + draw(st.integers(0, 2000)))


def spoken(case: Case, lines: tuple[PlannedLine, ...]) -> list[PlannedLine]:
    return [line for line in lines if case.lengths[line.id] > 0]


@given(cases())
@settings(max_examples=100, deadline=None)
def test_a_speaker_says_one_line_after_the_other_in_order(case: Case) -> None:
    lines = case.plan()
    assert sorted(line.id for line in lines) == sorted(slot.id for slot in case.slots)
    for speaker in {slot.speaker for slot in case.slots}:
        own = [line for line in spoken(case, lines) if case.slot(line.id).speaker == speaker]
        wanted = [slot.id for slot in sorted(case.slots, key=lambda slot: slot.start_ms) if slot.speaker == speaker]
        assert [line.id for line in own] == [id for id in wanted if case.lengths[id] > 0]
        for before, after in pairwise(own):
            assert before.end_ms + CONFIG.least_breath_ms <= after.start_ms


@given(cases())
@settings(max_examples=100, deadline=None)
def test_rates_are_within_bounds(case: Case) -> None:
    for line in spoken(case, case.plan()):
        assert CONFIG.slowest_rate - 1e-9 <= line.rate <= CONFIG.fastest_rate + 1e-9


@given(cases())
@settings(max_examples=100, deadline=None)
def test_a_start_moves_no_farther_than_its_tolerance_without_a_flag(case: Case) -> None:
    for line in spoken(case, case.plan()):
        own = case.slot(line.id)
        tolerance_ms = CONFIG.tolerance_ms if own.is_seen else CONFIG.unseen_tolerance_ms
        assert line.start_ms >= max(0, own.start_ms - tolerance_ms)
        assert (line.start_ms > own.start_ms + tolerance_ms) == (STARTS_LATE in line.flags)


@given(cases())
@settings(max_examples=100, deadline=None)
def test_nothing_is_past_the_end_without_a_flag(case: Case) -> None:
    for line in case.plan():
        assert (line.end_ms > case.clip_end_ms) == (PAST_THE_END in line.flags)


@given(cases())
@settings(max_examples=100, deadline=None)
def test_a_plan_depends_on_nothing_but_its_inputs(case: Case) -> None:
    again = Case(case.slots[::-1], dict(reversed(case.lengths.items())), case.ends, case.clip_end_ms)
    assert case.plan() == again.plan()


@given(cases(), st.integers(0, 4000), st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_lateness_does_not_add_up(case: Case, own_length_ms: int, slot_ms: int) -> None:
    """A line after a gap that everything before it fits into is where it would be alone."""
    gap_ms = sum(case.lengths.values()) + 1000 * len(case.slots)
    start_ms = case.clip_end_ms + gap_ms
    last = Slot(id=999, speaker="S1", start_ms=start_ms, end_ms=start_ms + slot_ms)
    length_ms = min(own_length_ms, slot_ms) + 1
    end_ms = start_ms + slot_ms + 5000
    together = plan_lines([*case.slots, last], {**case.lengths, 999: length_ms}, end_ms, CONFIG, {}, case.ends)
    (alone,) = plan_lines([last], {999: length_ms}, end_ms, CONFIG)
    assert together[-1] == alone and alone.start_ms == start_ms


@given(cases())
@settings(max_examples=100, deadline=None)
def test_a_line_lasts_as_long_as_its_phones_and_pauses(case: Case) -> None:
    for line in spoken(case, case.plan()):
        added_ms = sum(pause.added_ms for pause in line.pauses)
        read_ms = case.lengths[line.id] / line.rate
        assert abs(read_ms + added_ms - (line.end_ms - line.start_ms)) <= 1 + 20 * len(case.ends[line.id])


@given(cases())
@settings(max_examples=100, deadline=None)
def test_pauses_are_where_phrases_end_and_neither_vanish_nor_grow_without_bound(case: Case) -> None:
    for line in spoken(case, case.plan()):
        ends = {end.phone: end for end in case.ends[line.id]}
        longest_ms = max((p.end_ms - p.start_ms for p in case.slot(line.id).pauses), default=0) + MOST_LONGER_MS
        assert [pause.after_phone for pause in line.pauses] == sorted({pause.after_phone for pause in line.pauses})
        for pause in line.pauses:
            own_ms = round((ends[pause.after_phone].next_ms - ends[pause.after_phone].end_ms) / line.rate)
            assert pause.added_ms + own_ms <= max(longest_ms, own_ms, LEAST_PAUSE_MS) + own_ms
            assert pause.added_ms + own_ms >= 0


@given(cases(is_seen=False))
@settings(max_examples=100, deadline=None)
def test_freedom_makes_no_line_later(case: Case) -> None:
    """How late the latest lines are is bounded by what cannot be avoided, and that is less where starts may move."""
    seen = [slot.model_copy(update={"is_seen": True}) for slot in case.slots]
    held = Case(seen, case.lengths, case.ends, case.clip_end_ms)
    most_ms = CONFIG.unseen_tolerance_ms

    def late_ms(lines: tuple[PlannedLine, ...]) -> int:
        return sum(max(0, line.start_ms - case.slot(line.id).start_ms - most_ms) for line in spoken(case, lines))

    assert late_ms(case.plan()) <= late_ms(held.plan())
