"""Reading and writing sound files: PCM WAV through libsndfile, resampling through soxr."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE_HZ = 48_000
"""Rate of the mix, the voice, the background and the dub."""
SPEECH_RATE_HZ = 16_000
"""Rate the recognisers were trained on."""


def read_span(path: Path, start_ms: int, end_ms: int) -> np.ndarray:
    """Return samples of ``[start_ms, end_ms)`` as float32 (samples,) or (samples, channels), clipped to the file."""
    with soundfile.SoundFile(path) as sound:
        first = min(max(0, start_ms * sound.samplerate // 1000), sound.frames)
        last = min(max(first, end_ms * sound.samplerate // 1000), sound.frames)
        sound.seek(first)
        return sound.read(last - first, dtype="float32")


def read(path: Path) -> tuple[np.ndarray, int]:
    """Return the whole file as float32 (samples,) or (samples, channels), and its rate in Hz."""
    return soundfile.read(path, dtype="float32")


def write(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    """Write float samples in [-1, 1] (clipped) as 16-bit PCM."""
    soundfile.write(path, np.clip(samples, -1.0, 1.0), rate_hz, subtype="PCM_16")


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Band-limited resampling (soxr HQ); returns the input where the rates are equal."""
    return samples if from_hz == to_hz else soxr.resample(samples, from_hz, to_hz)
