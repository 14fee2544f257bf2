import numpy as np
import pytest

from stages.synthesize.kokoro import KokoroEngine
from stages.synthesize.pitch import UNCHANGED
from stages.synthesize.stretching import CLEAR_SPEED, MOST, at_tempo, speak

IPA = "bˈoæ nˈoɪtʃy, papˈaɪ, kˈomu vˈaɪ?"


@pytest.mark.parametrize("factor", [1.02, 1.1])
def test_a_tone_gets_shorter_and_keeps_its_pitch(factor: float) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(24_000) / 24_000).astype(np.float32)
    found = at_tempo(tone, factor, 24_000)
    assert len(found) == round(24_000 / factor)
    inner = found[2400:-2400]
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner))))
    assert np.argmax(spectrum) * 24_000 / len(inner) == pytest.approx(200, abs=2)
    assert np.abs(np.diff(inner)).max() < 1.5 * np.abs(np.diff(tone)).max()


def test_a_hurried_line_is_as_long_as_it_would_be() -> None:
    engine = KokoroEngine()
    fast = engine.durations(IPA, "jm_kumo", 1.3).total_ms
    spoken = speak(engine, IPA, "jm_kumo", 1.3, UNCHANGED)
    assert len(spoken.samples) / 24 == pytest.approx(fast, abs=2)
    slower = engine.speak(IPA, "jm_kumo", CLEAR_SPEED)
    ratio = len(slower.samples) / len(spoken.samples)
    assert 1 < ratio <= MOST
    for before, after in zip(slower.phones, spoken.phones, strict=True):
        assert after.start_ms == pytest.approx(before.start_ms / ratio, abs=1)
        assert after.end_ms == pytest.approx(before.end_ms / ratio, abs=1)


def test_an_unhurried_line_is_the_engines_own() -> None:
    engine = KokoroEngine()
    assert np.array_equal(
        speak(engine, IPA, "jm_kumo", 1.1, UNCHANGED).samples, engine.speak(IPA, "jm_kumo", 1.1).samples
    )
