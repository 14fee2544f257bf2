"""The dub's sound, block by block: the background, and what is placed over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from stages import sound

BLOCK_SAMPLES = 5 * sound.SAMPLE_RATE_HZ
"""Samples at 48 kHz that are rendered at once."""


@dataclass(frozen=True)
class Placed:
    """A stretch of a mono sound file, and where it is heard."""

    file: Path
    start: int
    """First sample in the dub, at 48 kHz."""
    source_start: int
    """First sample in the file, at 48 kHz."""
    samples: int
    """Length at 48 kHz."""
    gain: float
    fade_ms: int
    """Length of the raised-cosine fade at either end."""


def spoken(file: Path, start_ms: int, gain: float, fade_ms: int) -> Placed:
    """Place a whole sound file of any rate."""
    info = soundfile.info(file)
    samples = -(-info.frames * sound.SAMPLE_RATE_HZ // info.samplerate)
    return Placed(file, round(start_ms * sound.SAMPLE_RATE_HZ / 1000), 0, samples, gain, fade_ms)


def kept(file: Path, start_ms: int, end_ms: int, fade_ms: int) -> Placed:
    """Leave a stretch of a 48 kHz sound where it is."""
    start, end = (round(time_ms * sound.SAMPLE_RATE_HZ / 1000) for time_ms in (start_ms, end_ms))
    return Placed(file, start, start, end - start, 1.0, fade_ms)


def blocks(background: Path, placed: Sequence[Placed]) -> Iterator[np.ndarray]:
    """Yield the mix as float32 (samples, 2) blocks at 48 kHz, exactly as long as the background in all.

    Args:
        background: 48 kHz stereo.
        placed: mono sounds, heard equally on both channels.
    """
    waiting = sorted(placed, key=lambda item: item.start, reverse=True)
    heard: list[tuple[int, np.ndarray]] = []
    begin = 0
    with soundfile.SoundFile(background) as bed:
        for block in bed.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True):
            end = begin + len(block)
            while waiting and waiting[-1].start < end:
                item = waiting.pop()
                heard.append((item.start, _load(item)))
            for start, samples in heard:
                first, last = max(start, begin), min(start + len(samples), end)
                if first < last:
                    block[first - begin : last - begin] += samples[first - start : last - start, None]
            heard = [(start, samples) for start, samples in heard if start + len(samples) > end]
            yield block
            begin = end


def _load(item: Placed) -> np.ndarray:
    with soundfile.SoundFile(item.file) as file:
        if file.samplerate == sound.SAMPLE_RATE_HZ:
            file.seek(min(item.source_start, file.frames))
            samples = file.read(item.samples, dtype="float32")
        else:
            samples = sound.resample(file.read(dtype="float32"), file.samplerate, sound.SAMPLE_RATE_HZ)
    return item.gain * _faded(samples, item.fade_ms * sound.SAMPLE_RATE_HZ // 1000)


def _faded(samples: np.ndarray, fade: int) -> np.ndarray:
    fade = min(fade, len(samples) // 2)
    if fade == 0:
        return samples
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)).astype(np.float32)
    faded = samples.copy()
    faded[:fade] *= ramp
    faded[-fade:] *= ramp[::-1]
    return faded
