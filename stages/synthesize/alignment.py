"""Phone times of speech whose synthesiser tells none: dynamic time warping against a rendering with exact times.

Both sounds become mel cepstra, which are normalised so that the two voices' own spectra do not count, and are warped
onto each other (Sakoe & Chiba 1978, "Dynamic programming algorithm optimization for spoken word recognition": their
slope-constrained steps, in a band around the diagonal). What is known of the rendering's phones then holds for the
other sound. How well it does: ``python -m bench.alignment``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal

from stages import sound
from stages.artifacts import Phone
from stages.synthesize.rendering import Rendering

RATE_HZ = 16_000
STEP_MS = 5
_WINDOW_SAMPLES = 320
_FFT = 512
_MELS = 32
_CEPSTRA = 13
_STEP = RATE_HZ * STEP_MS // 1000
_SILENCE_DB = -38.0
"""Below a sound's loud parts (its 95th percentile): before and after speech."""
_BAND = 0.15
_LEAST_BAND = 60
"""Frames that the warp may leave the diagonal by: of the longer sound this share, and no fewer than that."""
_STEPS = ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1))
"""Frames of the rendering and of the sound that a step goes on by: no pause or drawl is beyond a factor of three."""


def aligned(samples: np.ndarray, rate_hz: int, rendering: Rendering) -> tuple[Phone, ...]:
    """Return the rendering's phones at the times at which they sound in another voice.

    Args:
        samples: float (n,) of the same words.
        rate_hz: of the samples.
        rendering: of espeak-ng.

    Empty where either has no sound.
    """
    heard = _heard(samples, rate_hz)
    known = _heard(rendering.samples, rendering.rate_hz)
    if heard is None or known is None or not rendering.phones:
        return ()
    path = _warp(known.features, heard.features)
    known_ms = (path[:, 0] + known.first) * STEP_MS
    heard_ms = (path[:, 1] + heard.first) * STEP_MS

    def moved(time_ms: int) -> int:
        return round(float(np.interp(time_ms, known_ms, heard_ms)))

    phones: list[Phone] = []
    latest_ms = len(samples) * 1000 // rate_hz
    for index, phone in enumerate(rendering.phones):
        left = len(rendering.phones) - index
        start_ms = min(max(moved(phone.start_ms), phones[-1].end_ms if phones else 0), latest_ms - left)
        end_ms = min(max(moved(phone.end_ms), start_ms + 1), latest_ms - left + 1)
        phones.append(Phone(ipa=phone.ipa, start_ms=start_ms, end_ms=end_ms))
    return tuple(phones)


@dataclass(frozen=True, eq=False)
class _Heard:
    features: np.ndarray
    """float64 (frames, dimensions) of what sounds."""
    first: int
    """Frame at which it begins."""


def _heard(samples: np.ndarray, rate_hz: int) -> _Heard | None:
    if len(samples) < rate_hz * 0.05:
        return None
    wave = sound.resample(np.asarray(samples, np.float32), rate_hz, RATE_HZ).astype(np.float64)
    mels = _mel_power(wave)
    level_db = 10 * np.log10(mels.sum(axis=1) + 1e-12)
    loud = np.flatnonzero(level_db > np.percentile(level_db, 95) + _SILENCE_DB)
    if np.percentile(level_db, 95) < -100 or len(loud) < 4:
        return None
    first, last = int(loud[0]), int(loud[-1]) + 1
    return _Heard(_features(mels[first:last]), first)


def _mel_power(wave: np.ndarray) -> np.ndarray:
    """Return float64 (frames, mels): power, a frame every 5 ms, centred on its time."""
    emphasised = np.append(wave[:1], wave[1:] - 0.97 * wave[:-1])
    padded = np.pad(emphasised, _WINDOW_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW_SAMPLES)[::_STEP]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW_SAMPLES), _FFT)) ** 2
    return spectrum @ _mel_filters().T


@lru_cache
def _mel_filters() -> np.ndarray:
    """Return float64 (mels, bins): triangles that are equally spaced on the mel scale, 80 Hz to 7.6 kHz."""
    edges_mel = np.linspace(_mel(80.0), _mel(7600.0), _MELS + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    bins_hz = np.arange(_FFT // 2 + 1) * RATE_HZ / _FFT
    rising = (bins_hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    falling = (edges_hz[2:, None] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


def _mel(frequency_hz: float) -> float:
    return float(2595 * np.log10(1 + frequency_hz / 700))


def _features(mels: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(mels, mels.max() * 1e-6))
    cepstra = scipy.fft.dct(logs, norm="ortho")[:, :_CEPSTRA]
    slopes = scipy.ndimage.convolve1d(cepstra, np.array([2, 1, 0, -1, -2]) / 10, axis=0, mode="nearest")
    return np.hstack([_normal(cepstra), _normal(slopes)])


def _normal(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-6)


def _warp(known: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Return the cheapest path, int (points, 2), through the frames of both, from their first to their last."""
    rows, columns = len(known), len(heard)
    cost = np.sqrt(np.maximum((known**2).sum(1)[:, None] + (heard**2).sum(1)[None] - 2 * known @ heard.T, 0))
    band = max(_LEAST_BAND, int(_BAND * max(rows, columns)))
    diagonal = np.arange(rows)[:, None] * columns / rows
    cost = np.where(np.abs(np.arange(columns)[None] - diagonal) <= band, cost, np.inf)
    total = np.full((rows + 3, columns + 3), np.inf)
    came = np.zeros((rows + 3, columns + 3), np.int8)
    total[3, 3] = cost[0, 0]
    for row in range(1, rows):
        here = row + 3
        for number, (down, right) in enumerate(_STEPS):
            # each step pays for the way it goes: as many frames of either sound
            value = total[here - down, 3 - right : 3 - right + columns] + (down + right) * _mean_on_way(
                cost, row, down, right
            )
            target = total[here, 3:]
            better = value < target
            target[better] = value[better]
            came[here, 3:][better] = number
    row, column = rows - 1, columns - 1
    if not np.isfinite(total[row + 3, column + 3]):
        steps = max(rows, columns)
        return np.stack([np.linspace(0, rows - 1, steps), np.linspace(0, columns - 1, steps)], axis=1)
    path = [(row, column)]
    while row > 0:
        down, right = _STEPS[came[row + 3, column + 3]]
        row, column = row - down, column - right
        path.append((row, column))
    return np.array(path[::-1])


def _mean_on_way(cost: np.ndarray, row: int, down: int, right: int) -> np.ndarray:
    """Return float (columns,): mean cost of the frames that a step to each of a row's frames passes."""
    passed = [cost[row]]
    passed += [cost[row - back] if row - back >= 0 else np.full(cost.shape[1], np.inf) for back in range(1, down)]
    passed += [np.concatenate([np.full(back, np.inf), cost[row, :-back]]) for back in range(1, right)]
    return np.mean(passed, axis=0)
