"""Wav2Lip's sound: a mel spectrogram with 80 frames a second, .2 s of it for every picture.

The values are those of the public code: Slaney's mel scale with triangles of equal area (Slaney 1998, "Auditory
Toolbox"), magnitudes, in dB over a floor of -100, scaled to -4..4.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import lfilter
from scipy.signal.windows import hann

from stages.sound import SPEECH_RATE_HZ

BANDS = 80
FRAMES = 16
"""Of the spectrogram for one picture."""
_WINDOW, _HOP = 800, 200
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 7600.0
_PRE_EMPHASIS = 0.97
_FLOOR_DB, _REFERENCE_DB = -100.0, 20.0
_LARGEST = 4.0
_LEADS_MS = 40.0
"""The network was trained on pictures with sound from one frame (at 25 frames/s) before them."""
_BLOCK_FRAMES = 4096


def mel_spectrogram(voice: np.ndarray) -> np.ndarray:
    """Return float32 (80, 1 + samples // 200), -4..4, of a voice (samples,) at 16 kHz; around it there is silence."""
    emphasised = lfilter([1, -_PRE_EMPHASIS], [1], voice.astype(np.float64))
    padded = np.pad(emphasised, _WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    shape = hann(_WINDOW, sym=False)
    bands = _mel_bands()
    mel = np.empty((BANDS, len(windows)), dtype=np.float32)
    for first in range(0, len(windows), _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        magnitude = np.abs(np.fft.rfft(windows[block] * shape, axis=1))
        level_db = 20 * np.log10(np.maximum(10 ** (_FLOOR_DB / 20), magnitude @ bands.T)) - _REFERENCE_DB
        scaled = 2 * _LARGEST * (level_db - _FLOOR_DB) / -_FLOOR_DB - _LARGEST
        mel[:, block] = np.clip(scaled, -_LARGEST, _LARGEST).T
    return mel


def heard_at(mel: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """Return float32 (n, 80, 16): what is heard at pictures shown at times (n,), beyond the sound silence."""
    first = np.rint((times_ms - _LEADS_MS) * SPEECH_RATE_HZ / (1000 * _HOP)).astype(int)
    before = max(0, -int(first.min(initial=0)))
    after = max(0, int(first.max(initial=0)) + FRAMES - mel.shape[1])
    padded = np.pad(mel, ((0, 0), (before, after)), constant_values=-_LARGEST)
    return np.ascontiguousarray(padded[:, (first + before)[:, None] + np.arange(FRAMES)].transpose(1, 0, 2))


@lru_cache(maxsize=1)
def _mel_bands() -> np.ndarray:
    """Return float64 (80, 401): the weight of every frequency in every band."""
    edges_hz = _hz(np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), BANDS + 2))
    frequencies_hz = np.fft.rfftfreq(_WINDOW, 1 / SPEECH_RATE_HZ)
    low, middle, high = (edges_hz[a : a + BANDS, None] for a in (0, 1, 2))
    rising, falling = (frequencies_hz - low) / (middle - low), (high - frequencies_hz) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


_LINEAR_HZ = 200 / 3
"""Of a mel, up to 1 kHz."""
_BEND_HZ, _BEND_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27


def _mel(hz: float) -> float:
    return hz / _LINEAR_HZ if hz < _BEND_HZ else _BEND_MEL + float(np.log(hz / _BEND_HZ)) / _LOG_STEP


def _hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < _BEND_MEL, mel * _LINEAR_HZ, _BEND_HZ * np.exp(_LOG_STEP * (mel - _BEND_MEL)))
