from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import sound
from stages.diarize.voice_activity import CHUNK_MS, Span, speech_probabilities
from stages.transcribe.alignment import aligned
from stages.transcribe.heard import HeardWord
from stages.transcribe.onsets import audible, stretches

CLIP = Path(__file__).parents[2] / "shared" / "clips" / "speech-en-long.wav"
PHRASES_MS = ((1205, 2815), (5020, 6200), (8825, 10150), (13470, 14775), (17570, 18730), (21250, 22615), (26550, 28285))
"""Read off the waveform."""


def word(text: str, start_ms: int, end_ms: int) -> HeardWord:
    return HeardWord(f" {text}", start_ms, end_ms, 0.9)


@pytest.mark.skipif(not CLIP.exists(), reason="speech-en-long.wav is not on this machine")
@pytest.mark.parametrize("noise_dbfs", [-70, -50])
def test_phrases_between_known_pauses_are_found_to_40_ms(tmp_path: Path, noise_dbfs: int) -> None:
    samples, rate_hz = sound.read(CLIP)
    speech = sound.resample(samples if samples.ndim == 1 else samples.mean(axis=1), rate_hz, 16_000)
    rng = np.random.default_rng(1)
    made = rng.standard_normal(16 * 30_000).astype(np.float32) * 10 ** (noise_dbfs / 20)
    clock_ms, truth = 800, []
    for start_ms, end_ms in PHRASES_MS:
        made[16 * clock_ms : 16 * (clock_ms + end_ms - start_ms)] += speech[16 * start_ms : 16 * end_ms]
        truth.append((clock_ms, clock_ms + end_ms - start_ms))
        clock_ms = truth[-1][1] + int(rng.integers(250, 1500))
    file = tmp_path / "voice.wav"
    sound.write(file, made[: 16 * clock_ms], 16_000)
    found = stretches(file, speech_probabilities(file))
    for start_ms, end_ms in truth:
        assert min(abs(span.start_ms - start_ms) for span in found) <= 40
        assert min(abs(span.end_ms - end_ms) for span in found) <= 100  # what fades into noise is not heard


def test_a_breath_is_no_speech_and_a_closure_no_pause(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    loud = np.zeros(3000, np.float32)
    loud[1000:1400] = loud[1480:2000] = 0.1  # a closure of 80 ms
    loud[200:500] = 0.02  # a breath that the detector does not take for speech
    file = tmp_path / "voice.wav"
    sound.write(file, np.repeat(loud, 16) * rng.standard_normal(48_000), 16_000)
    probabilities = np.zeros(48_000 // 512 + 1, np.float32)
    probabilities[1056 // CHUNK_MS : 1950 // CHUNK_MS] = 0.9
    assert stretches(file, probabilities) == (Span(1000, 2000),)


def test_the_level_is_judged_by_what_is_around() -> None:
    level_db = np.full(1000, -70.0)
    level_db[100:200], level_db[700:800] = -20, -45
    assert np.flatnonzero(audible(level_db)).tolist() == [*range(100, 200), *range(700, 800)]


def test_words_begin_and_end_with_the_voice() -> None:
    words = [word("times,", 1000, 2300), word("it", 2300, 2400), word("was.", 2400, 2500)]
    found = aligned(words, [Span(900, 1500), Span(2200, 2900)])
    assert [(each.start_ms, each.end_ms) for each in found] == [(900, 1500), (2200, 2400), (2400, 2900)]


def test_a_pause_is_rather_after_punctuation() -> None:
    """The word lies more in the first stretch than in the second, but its sentence begins in the second."""
    stretches_ms = [Span(0, 1000), Span(1200, 2000)]
    times = [(0, 500), (500, 850), (850, 1250), (1250, 2000)]
    comma = aligned(
        [word(text, *span) for text, span in zip(["It", "was,", "I", "am"], times, strict=True)], stretches_ms
    )
    plain = aligned(
        [word(text, *span) for text, span in zip(["It", "was", "I,", "am"], times, strict=True)], stretches_ms
    )
    assert [each.start_ms for each in comma][2] == 1200
    assert [each.start_ms for each in plain][3] == 1200


def test_a_breath_without_words_is_passed_over() -> None:
    words = [word("Yes.", 0, 600), word("No.", 1200, 1800)]
    found = aligned(words, [Span(0, 500), Span(800, 900), Span(1250, 1750)])
    assert [(each.start_ms, each.end_ms) for each in found] == [(0, 500), (1250, 1750)]
    assert aligned(words, []) == tuple(words)
    assert aligned([], [Span(0, 500)]) == ()


@given(
    st.lists(st.tuples(st.integers(100, 1500), st.integers(50, 3000)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(-200, 900), st.integers(0, 900)), max_size=25),
)
def test_words_stay_in_order_and_inside_the_voice(
    gaps_and_lengths: list[tuple[int, int]], steps: list[tuple[int, int]]
) -> None:
    spans, words, time_ms = [], [], 0
    for gap_ms, length_ms in gaps_and_lengths:
        spans.append(Span(time_ms + gap_ms, time_ms + gap_ms + length_ms))
        time_ms += gap_ms + length_ms
    time_ms = 0
    for step_ms, length_ms in steps:
        time_ms = max(0, time_ms + step_ms)
        words.append(word("x", time_ms, time_ms + length_ms))
        time_ms += length_ms
    found = aligned(words, spans)
    assert len(found) == len(words)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(found))
    for each in found:
        assert any(span.start_ms <= each.start_ms <= each.end_ms <= span.end_ms for span in spans)
