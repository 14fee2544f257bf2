import numpy as np
import pytest

from stages.synthesize.kokoro import KokoroEngine
from stages.synthesize.stretching import MOST, SLACK_MS, at_tempo, shortened_to

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


def test_a_line_gets_as_short_as_planned_its_phones_with_it() -> None:
    spoken = KokoroEngine().speak(IPA, "jm_kumo", 1.2)
    wanted_ms = round(spoken.sounding_ms / 1.06)
    found = shortened_to(spoken, wanted_ms, 24_000)
    assert found.sounding_ms == pytest.approx(wanted_ms, abs=2)
    assert len(found.samples) == pytest.approx(len(spoken.samples) / 1.06, rel=1e-3)
    for before, after in zip(spoken.phones, found.phones, strict=True):
        assert after.start_ms == pytest.approx(before.start_ms / 1.06, abs=2)
        assert after.end_ms == pytest.approx(before.end_ms / 1.06, abs=2)


def test_no_more_than_a_tenth() -> None:
    spoken = KokoroEngine().speak(IPA, "jm_kumo")
    found = shortened_to(spoken, spoken.sounding_ms // 2, 24_000)
    assert found.sounding_ms == pytest.approx(spoken.sounding_ms / MOST, abs=2)


def test_a_line_that_fits_is_the_engines_own() -> None:
    spoken = KokoroEngine().speak(IPA, "jm_kumo")
    assert shortened_to(spoken, spoken.sounding_ms - SLACK_MS, 24_000) is spoken
