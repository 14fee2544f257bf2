"""Loudness after ITU-R BS.1770 and EBU R 128, measured by FFmpeg's ``ebur128`` filter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:
    import av
    from av.filter.context import FilterContext

_GATED_LUFS = -69.9
"""The filter reports -70 where nothing passes the absolute gate of BS.1770."""
_BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True)
class Loudness:
    """How loud a sound is."""

    integrated_lufs: float | None
    """None where all of it is below the gate (-70 LUFS) or it is shorter than one gating block (400 ms)."""
    true_peak_dbtp: float
    """Minus infinity for digital silence."""


def measure(path: Path) -> Loudness:
    """Measure a whole sound file, block by block."""
    with soundfile.SoundFile(path) as sound:
        return measure_blocks(
            sound.blocks(_BLOCK_SAMPLES, dtype="float32", always_2d=True), sound.samplerate, sound.channels
        )


def integrated_lufs(path: Path) -> float | None:
    """Return the integrated loudness of a sound file in LUFS; None where it is silent."""
    return measure(path).integrated_lufs


def true_peak_dbtp(path: Path) -> float:
    """Return the true peak of a sound file in dBTP (BS.1770 annex 2); minus infinity for digital silence."""
    return measure(path).true_peak_dbtp


def measure_blocks(blocks: Iterable[np.ndarray], rate_hz: int, channels: int) -> Loudness:
    """Measure consecutive float blocks (samples, channels); 1 or 2 channels."""
    readings: dict[str, str] = {}
    for frame in filtered(blocks, rate_hz, channels, [("ebur128", "metadata=1:peak=true:framelog=quiet")]):
        readings = dict(frame.metadata) or readings
    integrated = float(readings.get("lavfi.r128.I", "-inf"))
    peak = float(readings.get("lavfi.r128.true_peak", "0"))
    return Loudness(
        integrated_lufs=integrated if integrated > _GATED_LUFS else None,
        true_peak_dbtp=20 * math.log10(peak) if peak > 0 else -math.inf,
    )


def filtered(
    blocks: Iterable[np.ndarray], rate_hz: int, channels: int, filters: list[tuple[str, str]]
) -> Iterator[av.AudioFrame]:
    """Yield what FFmpeg filters, each (name, options), make of float blocks (samples, channels)."""
    import av
    import av.filter

    layout = {1: "mono", 2: "stereo"}[channels]
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate_hz, format="flt", layout=layout)
    nodes = [source, *(graph.add(name, options) for name, options in filters), graph.add("abuffersink")]
    graph.link_nodes(*nodes).configure()
    position = 0
    for block in blocks:
        packed = np.ascontiguousarray(block, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, position
        position += len(block)
        source.push(frame)
        yield from _ready(nodes[-1])
    source.push(None)
    yield from _ready(nodes[-1])


def _ready(sink: FilterContext) -> Iterator[av.AudioFrame]:
    import av

    while True:
        try:
            frame = sink.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, av.AudioFrame)
        yield frame
