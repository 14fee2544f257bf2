"""The dub's sound, block by block: the background, and what is placed over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from stages import sound
from stages.artifacts import Place, Room
from stages.mix.room import placed_in

BLOCK_SAMPLES = 5 * sound.SAMPLE_RATE_HZ
"""Samples at 48 kHz that are rendered at once."""


@dataclass(frozen=True)
class Placed:
    """A mono sound file, and where it is heard."""

    file: Path
    start: int
    """First sample in the dub, at 48 kHz."""
    left: float
    right: float
    """Factors of the channels."""
    room: Room | None
    fade_ms: int
    """Length of the raised-cosine fade at either end, before the room answers."""


def spoken(file: Path, start_ms: int, place: Place, gain: float, fade_ms: int) -> Placed:
    """Place a whole sound file of any rate, ``gain`` times as loud as it is."""
    start = round(start_ms * sound.SAMPLE_RATE_HZ / 1000)
    return Placed(file, start, gain * place.left, gain * place.right, place.room, fade_ms)


def blocks(bed: Path, placed: Sequence[Placed]) -> Iterator[np.ndarray]:
    """Yield the mix as float32 (samples, 2) blocks at 48 kHz, exactly as long as the bed in all.

    Args:
        bed: 48 kHz stereo.
        placed: what is added to it.
    """
    waiting = sorted(placed, key=lambda item: item.start, reverse=True)
    heard: list[tuple[int, np.ndarray]] = []
    begin = 0
    with soundfile.SoundFile(bed) as under:
        for block in under.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True):
            end = begin + len(block)
            while waiting and waiting[-1].start < end:
                item = waiting.pop()
                heard.append((item.start, _load(item)))
            for start, samples in heard:
                first, last = max(start, begin), min(start + len(samples), end)
                if first < last:
                    block[first - begin : last - begin] += samples[first - start : last - start]
            heard = [(start, samples) for start, samples in heard if start + len(samples) > end]
            yield block
            begin = end


def _load(item: Placed) -> np.ndarray:
    """Return float32 (n, 2) at 48 kHz."""
    samples, rate_hz = sound.read(item.file)
    samples = sound.resample(samples, rate_hz, sound.SAMPLE_RATE_HZ)
    samples = _faded(samples, item.fade_ms * sound.SAMPLE_RATE_HZ // 1000)
    if item.room is not None and len(samples):
        samples = placed_in(item.room, samples, sound.SAMPLE_RATE_HZ)
    return samples[:, None] * np.array([item.left, item.right], np.float32)


def _faded(samples: np.ndarray, fade: int) -> np.ndarray:
    fade = min(fade, len(samples) // 2)
    if fade == 0:
        return samples
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)).astype(np.float32)
    faded = samples.copy()
    faded[:fade] *= ramp
    faded[-fade:] *= ramp[::-1]
    return faded
