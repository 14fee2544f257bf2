"""Fixtures: the committed sample, the shared clips where they are, and small videos made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import stages  # noqa: F401  (first: it sets how many threads numpy's BLAS takes)

# isort: split
import av
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "samples" / "statement-en.mp4"
CLIPS = ROOT.parent / "shared" / "clips"

MakeClip = Callable[..., Path]


@pytest.fixture
def sample() -> Path:
    return SAMPLE


@pytest.fixture
def clip() -> Callable[[str], Path]:
    """A real clip that is not part of the repository."""

    def find(name: str) -> Path:
        if not (CLIPS / name).is_file():
            pytest.skip(f"the real clip {name} is not on this machine")
        return CLIPS / name

    return find


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Make a video of grey frames (each as bright as its number) and, per track, the given mono sound at 48 kHz."""

    def make(
        name: str = "clip.mp4",
        times_ms: Sequence[int] = tuple(range(0, 2000, 40)),
        sounds: Sequence[np.ndarray] = (),
        size: tuple[int, int] = (64, 48),
        options: dict[str, str] | None = None,
        default_sound: int = 0,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(f"file:{path}", "w", format="mp4", options=options or {}) as out:
            picture = out.add_stream("libx264", rate=25, options={"crf": "0", "preset": "ultrafast"})
            picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
            picture.time_base = picture.codec_context.time_base = Fraction(1, 1000)
            tracks = [out.add_stream("aac", rate=48_000, layout="mono") for _ in sounds]
            for number, track in enumerate(tracks):
                track.disposition = av.stream.Disposition.default if number == default_sound else 0
            for number, time_ms in enumerate(times_ms):
                grey = np.full((size[1], size[0], 3), 16 + 2 * number % 200, np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
                out.mux(picture.encode(frame))
            out.mux(picture.encode(None))
            for track, sound in zip(tracks, sounds, strict=True):
                for start in range(0, len(sound), 1024):
                    block = sound[start : start + 1024].astype(np.float32)[None]
                    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
                    frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
                    out.mux(track.encode(frame))
                out.mux(track.encode(None))
        return path

    return make


def tone(seconds: float, frequency_hz: float = 440.0, amplitude: float = 0.3) -> np.ndarray:
    """A 48 kHz sine."""
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * 48_000)) / 48_000)
