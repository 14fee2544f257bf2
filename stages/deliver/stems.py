"""The parts of the sound as files of their own, for who mixes by hand: voice, background, dub.

Background and dub add up to the mix (within rounding, and where its limiter was not needed); background and voice to
the source's sound, as loud as it is in the mix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from stages.artifacts import Media, Mixdown
from stages.sound import SAMPLE_RATE_HZ

STEMS = ("voice", "background", "dub")
_BLOCK_SAMPLES = 1 << 18


def stem_names(stem: str, tag: str) -> dict[str, str]:
    """Return the file name of each stem."""
    return {kind: f"{stem}.{tag}.{kind}.flac" for kind in STEMS}


def write_stems(folder: Path, names: dict[str, str], media: Media, mixdown: Mixdown) -> None:
    """Write the stems: 48 kHz stereo, 24-bit FLAC, as long as the clip.

    Args:
        folder: where to.
        names: :func:`stem_names`.
        media: the source's sound.
        mixdown: the mix and what it was made of.
    """
    gain = 10 ** ((mixdown.levels.trim_db - mixdown.levels.turn_down_db) / 20)
    source, bed, lines = media.file(media.mix), mixdown.file(mixdown.bed), mixdown.file(mixdown.lines)
    _write(folder / names["background"], (gain * under for (under,) in _blocks(bed)))
    _write(folder / names["voice"], (gain * (heard - under) for heard, under in _blocks(source, bed)))
    _write(folder / names["dub"], (dub for (dub,) in _blocks(lines)))


def _write(path: Path, blocks: Iterator[np.ndarray]) -> None:
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 2, format="FLAC", subtype="PCM_24") as out:
        for block in blocks:
            out.write(np.clip(block, -1.0, 1.0))


def _blocks(*files: Path) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the same stretch of every file, float64 (n, 2)."""
    readers = [soundfile.blocks(file, _BLOCK_SAMPLES, dtype="float64", always_2d=True) for file in files]
    yield from zip(*readers, strict=True)
