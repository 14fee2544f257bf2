"""What sound is measured by: levels, what is left of a voice, clicks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.linalg
import scipy.signal

from stages.sound import SAMPLE_RATE_HZ

_TAPS = 1024
"""21 ms at 48 kHz."""
_LEAST_SHARE = 0.01
"""Of the fitted power that is left when chance is taken off: it is an estimate."""
_JOIN_SAMPLES = SAMPLE_RATE_HZ // 100
_WINDOW_MS = 20
_RANGE_DB = 30.0
_SILENCE = 1e-20


def power_db(samples: np.ndarray) -> float:
    """Return the mean power of samples in dB; minus infinity for none."""
    return _db(float(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else -np.inf


def speech_level_db(samples: np.ndarray, rate_hz: int) -> float:
    """Return the mean power, in dB, of those 20 ms of (n,) samples that lie within 30 dB of the loudest: no pauses."""
    size = _WINDOW_MS * rate_hz // 1000
    power = np.square(samples[: len(samples) // size * size].reshape(-1, size), dtype=np.float64).mean(axis=1)
    if not len(power) or not power.max():
        return -np.inf
    return _db(float(power[power > power.max() * 10 ** (-_RANGE_DB / 10)].mean()))


def followed_db(rest: np.ndarray, voice: np.ndarray) -> float:
    """Return how much of (n,) ``rest`` is the (n,) voice, filtered over 21 ms, relative to the voice, in dB.

    The target part of BSS Eval (Vincent et al. 2006), with the voice as target, less the power that as many taps fit
    to unrelated noise by chance (taps / n of what is left over).
    """
    size = 1 << (len(rest) + _TAPS).bit_length()
    spectrum, other = np.fft.rfft(voice, size), np.fft.rfft(rest, size)
    own = np.fft.irfft(np.abs(spectrum) ** 2, size)[:_TAPS]
    own[0] *= 1 + 1e-6
    taps = scipy.linalg.solve_toeplitz(own, np.fft.irfft(spectrum.conj() * other, size)[:_TAPS])
    fitted = scipy.signal.fftconvolve(voice, taps)[: len(rest)]
    power = float(np.mean(fitted**2))
    by_chance = _TAPS / len(rest) * float(np.mean((rest - fitted) ** 2))
    return _db(max(power - by_chance, _LEAST_SHARE * power)) - power_db(voice)


def step_ratio(blocks: Iterable[np.ndarray], joins: Sequence[int]) -> float | None:
    """Return the largest step from sample to sample within 10 ms of a join over the largest elsewhere.

    Args:
        blocks: float (samples, channels), one after the other.
        joins: sample numbers.

    Returns:
        None where nothing lies near a join, or nothing elsewhere moves.
    """
    edges = np.sort(np.asarray(joins))
    near = elsewhere = 0.0
    begin, last = 0, None
    for block in blocks:
        joined = block if last is None else np.concatenate([last, block])
        steps = np.abs(np.diff(joined, axis=0)).max(axis=1)
        times = begin + np.arange(len(steps))
        around = np.searchsorted(edges, times + _JOIN_SAMPLES) > np.searchsorted(edges, times - _JOIN_SAMPLES)
        near = max(near, float(steps[around].max(initial=0.0)))
        elsewhere = max(elsewhere, float(steps[~around].max(initial=0.0)))
        begin, last = begin + len(steps), block[-1:]
    return near / elsewhere if len(edges) and elsewhere else None


def _db(power: float) -> float:
    return float(10 * np.log10(power + _SILENCE))
