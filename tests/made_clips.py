"""Clips made from real ones: cuts, zooms, faces that leave and return, two faces side by side, a small face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

_SOUND_HZ = 48_000


def frames_of(path: Path, first: int = 0, count: int | None = None) -> Iterator[np.ndarray]:
    """Yield frames of a clip as uint8 BGR (h, w, 3)."""
    with av.open(str(path)) as container:
        stop = None if count is None else first + count
        for frame in islice(container.decode(video=0), first, stop):
            yield frame.to_ndarray(format="bgr24")


def sound_of(path: Path, start_s: float, seconds: float) -> np.ndarray:
    """Return a piece of a clip's sound as float32 (n,) at 48 kHz, as long as asked."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=_SOUND_HZ)
        blocks = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    count, first = round(seconds * _SOUND_HZ), round(start_s * _SOUND_HZ)
    piece = np.concatenate(blocks)[first : first + count]
    return np.pad(piece, (0, count - len(piece)))


def write_clip(
    path: Path, frames: Iterable[np.ndarray], sound: np.ndarray, fps: int, times_ms: Sequence[int] | None = None
) -> Path:
    """Write a clip whose picture is close to the frames given; ``times_ms``: when they are shown, if not evenly."""
    with av.open(f"file:{path}", "w", format="mp4") as out:
        track = out.add_stream("aac", rate=_SOUND_HZ, layout="mono")
        picture = None
        for number, bgr in enumerate(frames):
            if picture is None:
                picture = out.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "veryfast"})
                picture.height, picture.width = bgr.shape[:2]
                picture.pix_fmt = "yuv420p"
                if times_ms is not None:
                    picture.time_base = picture.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(bgr), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            out.mux(picture.encode(frame))
        assert picture is not None
        out.mux(picture.encode(None))
        for start in range(0, len(sound), 1024):
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound[None, start : start + 1024], dtype=np.float32), format="fltp", layout="mono"
            )
            block.sample_rate, block.pts, block.time_base = _SOUND_HZ, start, Fraction(1, _SOUND_HZ)
            out.mux(track.encode(block))
        out.mux(track.encode(None))
    return path


def zoomed(bgr: np.ndarray, scale: float, center_x: float = 0.5, center_y: float = 0.5) -> np.ndarray:
    """Return a frame cropped to 1 / scale around a point (shares of the frame) and enlarged to its own size."""
    height, width = bgr.shape[:2]
    crop_w, crop_h = round(width / scale), round(height / scale)
    left = round(np.clip(center_x * width - crop_w / 2, 0, width - crop_w))
    top = round(np.clip(center_y * height - crop_h / 2, 0, height - crop_h))
    crop = bgr[top : top + crop_h, left : left + crop_w]
    return cv2.resize(crop, (width, height), interpolation=cv2.INTER_CUBIC)


def moved_aside(bgr: np.ndarray, share: float) -> np.ndarray:
    """Return a frame moved to the right by a share of its width, over a plain wall."""
    result = np.empty_like(bgr)
    result[:] = np.median(bgr[:, :8].reshape(-1, 3), axis=0).astype(np.uint8)
    by = min(round(share * bgr.shape[1]), bgr.shape[1])
    result[:, by:] = bgr[:, : bgr.shape[1] - by]
    return result


def textured(width: int, height: int, seed: int = 3) -> np.ndarray:
    """Return a picture with the texture of a photo at every size (a 1/f spectrum), uint8 BGR."""
    rng = np.random.default_rng(seed)
    result = np.full((height, width, 3), 110.0, dtype=np.float32)
    side = 4
    while side < max(width, height):
        rows = max(2, side * height // width)
        noise = rng.normal(size=(rows, side, 1)) + 0.3 * rng.normal(size=(rows, side, 3))
        enlarged = cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        result += 90 / np.sqrt(side) * enlarged
        side *= 2
    return np.clip(result, 0, 255).astype(np.uint8)


def side_by_side(left: Iterable[np.ndarray], right: Iterable[np.ndarray], height: int) -> Iterator[np.ndarray]:
    """Yield two clips beside each other, both as high as asked (an even number)."""
    for frames in zip(left, right, strict=False):
        parts = []
        for bgr in frames:
            width = round(bgr.shape[1] * height / bgr.shape[0] / 2) * 2
            parts.append(cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA))
        yield np.concatenate(parts, axis=1)


def pasted(background: np.ndarray, bgr: np.ndarray, left: int, top: int) -> np.ndarray:
    """Return a background with a frame in it, its edge faded over a tenth of its side."""
    height, width = bgr.shape[:2]
    fade = max(1, min(height, width) // 10)
    rise_x, rise_y = (np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / fade, 0, 1) for n in (width, height))
    cover = (rise_y[:, None] * rise_x[None])[..., None]
    result = background.copy()
    part = result[top : top + height, left : left + width]
    part[:] = np.rint(part + cover * (bgr.astype(np.float32) - part)).astype(np.uint8)
    return result
