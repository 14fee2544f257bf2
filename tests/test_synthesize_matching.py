import numpy as np
import pytest

from stages.synthesize import matching
from stages.synthesize import pitch as pitch_module
from stages.synthesize.matching import BINS, RATE_HZ, Matching
from stages.synthesize.pitch import LogF0


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """A second and a half of a buzz at 110-130 Hz through one formant at 1 kHz, between silences."""
    time_s = np.arange(int(1.5 * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 10 * np.sin(2 * np.pi * 3 * time_s)) / RATE_HZ
    weights = [(k, 1 / (1 + ((120 * k - 1000) / 150) ** 2) + 0.05 / k) for k in range(1, 60)]
    buzz = 0.1 * sum(weight * np.sin(k * phase) for k, weight in weights)
    silence = np.zeros(RATE_HZ // 4)
    return np.concatenate([silence, buzz, silence]).astype(np.float32)


def peak_hz(samples: np.ndarray) -> float:
    analysis = matching.analyse(samples)
    return float(np.argmax(matching.long_term_spectrum(analysis)[10:]) + 10) * RATE_HZ / 2 / (BINS - 1)


def test_the_change_of_pitch_is_the_speakers() -> None:
    own, wanted = LogF0(np.log(250.0), 0.2), LogF0(np.log(150.0), 0.25)
    pitch = pitch_module.towards(own, wanted)
    moved = np.log(pitch.gain * np.exp(np.array([own.mean, own.mean + own.std])) ** pitch.power)
    assert moved == pytest.approx([wanted.mean, wanted.mean + wanted.std])
    unmoved = pitch_module.towards(own, own)
    assert (unmoved.power, unmoved.gain) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize("warp", [1.0, 0.9])
def test_length_and_timing_are_kept(voice: np.ndarray, warp: float) -> None:
    f0 = matching.log_f0(matching.analyse(voice).f0_hz)
    assert f0 is not None
    out = matching.match(voice, Matching(warp, f0, f0, np.linspace(-0.5, 0.5, BINS)))
    assert len(out) == len(voice)
    onset = [int(np.flatnonzero(np.abs(x) > 0.1 * np.abs(x).max())[0]) for x in (voice, out)]
    assert abs(onset[0] - onset[1]) < 0.015 * RATE_HZ


@pytest.mark.parametrize("warp", [0.8, 1.2])
def test_the_warp_moves_the_formant(voice: np.ndarray, warp: float) -> None:
    f0 = matching.log_f0(matching.analyse(voice).f0_hz)
    assert f0 is not None
    out = matching.match(voice, Matching(warp, f0, f0, np.zeros(BINS)))
    assert peak_hz(out) == pytest.approx(peak_hz(voice) * warp, rel=0.08)


def test_the_correction_brings_the_spectrum_closer(voice: np.ndarray) -> None:
    tilted = np.convolve(voice, [1, -0.9]).astype(np.float32)[: len(voice)]
    wanted = matching.long_term_spectrum(matching.analyse(tilted))
    analysis = matching.analyse(voice)
    f0 = matching.log_f0(analysis.f0_hz)
    assert f0 is not None
    before = matching.correction(wanted, matching.long_term_spectrum(analysis))
    out = matching.match(voice, Matching(1.0, f0, f0, before))
    after = matching.correction(wanted, matching.long_term_spectrum(matching.analyse(out)))
    assert np.abs(after[5:200]).mean() < 0.35 * np.abs(before[5:200]).mean()


def test_what_changes_nothing_returns_the_samples(voice: np.ndarray) -> None:
    assert matching.match(voice, matching.as_it_is(LogF0(4.5, 0.2))) is voice


def test_a_speaker_is_measured_as_a_voice_is(voice: np.ndarray) -> None:
    noisy = voice + np.random.default_rng(0).normal(0, 0.001, len(voice))
    trait, analysis = matching.measure(noisy), matching.analyse(voice)
    f0 = matching.log_f0(analysis.f0_hz)
    assert trait is not None and f0 is not None
    assert trait.f0.mean == pytest.approx(f0.mean, abs=0.01)
    assert np.argmax(trait.spectrum) == pytest.approx(np.argmax(matching.long_term_spectrum(analysis)), abs=2)
    assert matching.measure(np.random.default_rng(0).normal(0, 0.1, RATE_HZ // 8)) is None
