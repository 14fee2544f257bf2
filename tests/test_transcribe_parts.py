"""The pure parts of the transcription: pieces of speech and mended word times."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts import Turn
from stages.diarize.voice_activity import Span
from stages.transcribe.heard import HeardWord
from stages.transcribe.pieces import pieces, quietest_ms, speech_spans, spread
from stages.transcribe.word_times import mend, uncovered


def words(*times_ms: tuple[int, int]) -> list[HeardWord]:
    return [HeardWord(f" w{at}", start, end, 0.9) for at, (start, end) in enumerate(times_ms)]


def mended(spans: list[Span], *times_ms: tuple[int, int]) -> list[tuple[int, int]]:
    return [(word.start_ms, word.end_ms) for word in mend(words(*times_ms), spans)[0]]


def test_a_word_that_swallowed_the_pause_starts_with_the_speech() -> None:
    assert mended([Span(1000, 2000)], (0, 1300), (1300, 2000)) == [(1000, 1300), (1300, 2000)]
    assert mended([Span(0, 500), Span(1500, 2000)], (0, 480), (480, 1900)) == [(0, 500), (1500, 2000)]


def test_a_word_without_length_gets_some() -> None:
    assert mended([Span(0, 1000)], (0, 400), (400, 400), (400, 1000)) == [(0, 360), (360, 400), (400, 1000)]
    assert mended([Span(0, 1000)], (0, 500), (1000, 1000)) == [(0, 500), (960, 1000)]


def test_first_and_last_words_reach_the_borders_of_the_speech() -> None:
    assert mended([Span(1000, 3000)], (1300, 1600), (1700, 2300)) == [(1000, 1600), (1700, 3000)]
    assert mended([Span(1000, 4000)], (1700, 1800), (1900, 3000)) == [(1700, 1800), (1900, 3000)]


def test_words_far_from_speech_are_invented() -> None:
    kept, invented = mend(words((0, 200), (1000, 1400), (5000, 5400)), [Span(1000, 1500)])
    assert [word.text for word in kept] == [" w1"]
    assert [word.text for word in invented] == [" w0", " w2"]
    assert mend(words((0, 200)), []) == ([], words((0, 200)))


def test_the_order_of_words_outweighs_their_times() -> None:
    kept, _ = mend(words((2100, 2300), (900, 1000), (2500, 2900)), [Span(0, 1000), Span(2000, 3000)])
    assert [word.text for word in kept] == [" w0", " w1", " w2"]
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(kept))


@given(
    st.lists(st.tuples(st.integers(100, 1500), st.integers(200, 3000)), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(-500, 15_000), st.integers(0, 2000)), max_size=20),
)
def test_mended_words_are_in_order_and_inside_speech(
    gaps_and_lengths: list[tuple[int, int]], starts_and_lengths: list[tuple[int, int]]
) -> None:
    spans, time_ms = [], 0
    for gap_ms, length_ms in gaps_and_lengths:
        spans.append(Span(time_ms + gap_ms, time_ms + gap_ms + length_ms))
        time_ms += gap_ms + length_ms
    heard = words(*((start, start + length) for start, length in starts_and_lengths))
    kept, invented = mend(heard, spans)
    assert sorted(word.text for word in [*kept, *invented]) == sorted(word.text for word in heard)
    assert [word.text for word in kept] == [word.text for word in heard if word.text in {k.text for k in kept}]
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(kept))
    for word in kept:
        assert word.end_ms > word.start_ms
        assert any(span.start_ms <= word.start_ms and word.end_ms <= span.end_ms for span in spans)


def test_speech_without_words_is_found() -> None:
    spans = [Span(0, 1000), Span(2000, 5000)]
    assert uncovered(spans, words((0, 900), (2000, 2300), (3200, 4000)), 800) == [Span(2300, 3200), Span(4000, 5000)]
    assert uncovered(spans, [], 1500) == spans
    assert uncovered(spans, words((100, 900), (2600, 5000)), 800) == []


def test_touching_and_overlapping_turns_are_one_stretch_of_speech() -> None:
    turns = [
        Turn(speaker=name, start_ms=a, end_ms=b) for name, a, b in (("S2", 500, 900), ("S1", 0, 600), ("S1", 900, 950))
    ]
    assert speech_spans([*turns, Turn(speaker="S1", start_ms=2000, end_ms=2100)]) == [Span(0, 950), Span(2000, 2100)]


def middle(start_ms: int, end_ms: int) -> int:
    return (start_ms + end_ms) // 2


def test_pieces_are_cut_in_pauses() -> None:
    spans = [Span(0, 4000), Span(4500, 8000), Span(8300, 12_000), Span(20_000, 21_000)]
    assert pieces(spans, 10_000, 3000, middle) == [Span(0, 8000), Span(8300, 12_000), Span(20_000, 21_000)]


def test_speech_without_a_pause_is_cut_where_it_is_softest() -> None:
    assert pieces([Span(0, 25_000)], 9000, 3000, lambda start, end: end - 1000) == [
        Span(0, 8000),
        Span(8000, 16_000),
        Span(16_000, 25_000),
    ]
    samples = np.ones(16_000)
    samples[8000:8800] = 0.01
    assert quietest_ms(samples, 16_000) == 525


def test_windows_are_spread_over_the_clip() -> None:
    items = [Span(at, at + 1) for at in range(11)]
    assert spread(items, 3) == [items[0], items[5], items[10]]
    assert spread(items[:2], 3) == items[:2]
