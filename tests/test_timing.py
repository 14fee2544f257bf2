from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import timing
from stages.artifacts import Media, PictureStream, Reading, ReadLine, Script, ScriptLine
from stages.progress import silent
from stages.timing.planner import (
    DOES_NOT_FIT,
    NOTHING_TO_SAY,
    OVERLAPS,
    PAST_THE_END,
    STARTS_LATE,
    Slot,
    TimingConfig,
    plan_lines,
)

CONFIG = TimingConfig()


def slot(id: int, start_ms: int, end_ms: int, speaker: str = "S1") -> Slot:
    return Slot(id=id, speaker=speaker, start_ms=start_ms, end_ms=end_ms)


def one(length_ms: int, slot_ms: int = 2000, clip_end_ms: int = 10_000, next_ms: int | None = None):
    slots = [slot(1, 1000, 1000 + slot_ms)] + ([slot(2, next_ms, next_ms + 1000)] if next_ms else [])
    return plan_lines(slots, {1: length_ms, 2: 900}, clip_end_ms, CONFIG)[0]


@pytest.mark.parametrize(
    ("length_ms", "next_ms", "start_ms", "end_ms", "flags"),
    [
        (2000, None, 1000, 3000, ()),  # fits as it is
        (1900, None, 1000, 3000, ()),  # a little short: slowed to fill the slot
        (1500, None, 1000, 2666, ()),  # shorter: not below .9, then silence
        (1000, None, 1000, 2250, ()),  # much shorter: .8
        (2200, None, 1000, 3000, ()),  # a little long: 1.1
        (2800, None, 1000, 3435, ()),  # longer: 1.15 and into the pause
        (2800, 3400, 1000, 3340, ()),  # pause of 400 ms, 60 of them kept
        (2800, 3100, 965, 3040, ()),  # ceil(2800 / 1.35) = 2075, 2040 to the limit: 35 ms early
        (4000, 3100, 920, 3883, (DOES_NOT_FIT,)),
    ],
)
def test_one_line(length_ms, next_ms, start_ms, end_ms, flags) -> None:
    line = one(length_ms, next_ms=next_ms)
    assert (line.start_ms, line.end_ms, line.flags) == (start_ms, end_ms, flags)


def test_a_line_that_runs_on_moves_its_speakers_next_line() -> None:
    first, second = plan_lines([slot(1, 1000, 2000), slot(2, 2000, 4000)], {1: 3000, 2: 1000}, 10_000, CONFIG)
    assert first.flags == (DOES_NOT_FIT,)
    assert second.start_ms == first.end_ms > 2080
    assert second.flags == (STARTS_LATE,)


def test_another_speaker_waits_no_longer_than_the_tolerance() -> None:
    first, second = plan_lines([slot(1, 1000, 2000), slot(2, 2000, 4000, "S2")], {1: 3000, 2: 1000}, 10_000, CONFIG)
    assert first.end_ms > 2080
    assert (second.start_ms, second.flags) == (2080, (OVERLAPS,))


def test_lines_that_overlapped_may_overlap() -> None:
    first, second = plan_lines([slot(1, 1000, 3000), slot(2, 2000, 4000, "S2")], {1: 2000, 2: 2000}, 10_000, CONFIG)
    assert (first.end_ms, second.start_ms, first.flags, second.flags) == (3000, 2000, (), ())


def test_the_end_of_the_clip_bounds_the_last_line() -> None:
    assert one(2600, clip_end_ms=3000).end_ms == 3000
    late = one(4000, clip_end_ms=3000)
    assert set(late.flags) == {DOES_NOT_FIT, PAST_THE_END}
    assert late.rate <= CONFIG.fastest_rate


def test_a_line_without_phones_takes_no_time() -> None:
    line = one(0)
    assert (line.start_ms, line.end_ms, line.flags) == (1000, 1000, (NOTHING_TO_SAY,))


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[Slot], dict[int, int], int]:
    slots, lengths, clock = [], {}, {"S1": 0, "S2": 0, "S3": 0}
    for id in range(1, draw(st.integers(1, 12)) + 1):
        speaker = draw(st.sampled_from(sorted(clock)))
        start = clock[speaker] + draw(st.integers(0, 3000))
        end = start + draw(st.integers(1, 8000))
        clock[speaker] = end
        slots.append(slot(id, start, end, speaker))
        lengths[id] = draw(st.integers(0, 15_000))
    return slots, lengths, max(clock.values()) + draw(st.integers(0, 2000))


@given(scripts())
@settings(max_examples=300, deadline=None)
def test_what_holds_for_every_plan(script: tuple[list[Slot], dict[int, int], int]) -> None:
    slots, lengths, clip_end_ms = script
    by_id = {slot.id: slot for slot in slots}
    lines = plan_lines(slots, lengths, clip_end_ms, CONFIG)
    assert lines == plan_lines(list(reversed(slots)), lengths, clip_end_ms, CONFIG)
    assert sorted(line.id for line in lines) == sorted(by_id)
    for line in lines:
        if lengths[line.id] == 0:
            assert (line.start_ms, line.end_ms) == (by_id[line.id].start_ms, by_id[line.id].start_ms)
            assert line.flags == (NOTHING_TO_SAY,)
    spoken = [line for line in lines if lengths[line.id] > 0]
    for line in spoken:
        own = by_id[line.id]
        assert CONFIG.slowest_rate <= line.rate <= CONFIG.fastest_rate
        assert line.start_ms >= max(0, own.start_ms - CONFIG.tolerance_ms)
        assert (line.start_ms > own.start_ms + CONFIG.tolerance_ms) == (STARTS_LATE in line.flags)
        assert (line.end_ms > clip_end_ms) == (PAST_THE_END in line.flags)
        assert abs(lengths[own.id] / line.rate - (line.end_ms - line.start_ms)) < 1e-6
    for index, line in enumerate(spoken):
        for later in spoken[index + 1 :]:
            one, other = by_id[line.id], by_id[later.id]
            if one.speaker == other.speaker:
                assert line.end_ms <= later.start_ms
            elif one.end_ms <= other.start_ms and later.start_ms < line.end_ms and later.start_ms < later.end_ms:
                assert OVERLAPS in later.flags


def test_the_stage_reads_the_sounding_part(tmp_path: Path) -> None:
    script = Script(
        source="en",
        target="pt-BR",
        route=("x",),
        lines=(ScriptLine(id=7, speaker="S1", start_ms=500, end_ms=1500, source_text="a", text="b"),),
    )
    reading = Reading(engine="kokoro", lines=(ReadLine(id=7, ipa="b", duration_ms=1700, lead_ms=300, tail_ms=400),))
    picture = PictureStream(
        index=0,
        width_px=2,
        height_px=2,
        rotation_deg=0,
        fps=Fraction(25),
        is_variable_rate=False,
        frames=1,
        end_ms=40,
        codec="h264",
    )
    media = Media(file_name="a", duration_ms=4000, picture=picture, sounds=(), sound_index=0, integrated_lufs=None)
    (line,) = timing.plan(script, reading, media, TimingConfig(), tmp_path, silent).lines
    assert (line.id, line.start_ms, line.end_ms, line.rate) == (7, 500, 1500, 1.0)
