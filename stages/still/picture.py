"""Pictures: which files are some, their pixels, and whether a video is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from av.stream import Disposition

from stages.errors import InputError
from stages.media import opened, printable
from stages.pixels import bgr_of

READABLE = ("a PNG", "a JPEG")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", 0, "a PNG"),
    (b"\xff\xd8\xff", 0, "a JPEG"),
    (b"GIF8", 0, "a GIF"),
    (b"WEBP", 8, "a WebP"),
    (b"BM", 0, "a BMP"),
    (b"II*\x00", 0, "a TIFF"),
    (b"MM\x00*", 0, "a TIFF"),
    (b"ftypheic", 4, "a HEIC"),
    (b"ftypheix", 4, "a HEIC"),
    (b"ftypmif1", 4, "a HEIC"),
    (b"ftypavif", 4, "an AVIF"),
    (b"\x00\x00\x00\x0cjP  ", 0, "a JPEG 2000"),
)
"""How picture files begin, with the place of these bytes."""
_HEAD_BYTES = 4096
_PAPER = 255
"""What shows through a transparent picture: white."""
_THUMB_PX = 160
_NOISE_LEVELS = 8.0
"""Grey levels by which coding may change a pixel of the thumbnail of a still; the least motion of a face in it, a
blink, changes its pixels by more. Measured on untouched clips of people: 13 or more within a second."""
_LARGEST = 99.9
"""Percentile of the thumbnail's differences that is looked at."""


def kind(path: Path) -> str | None:
    """Return what picture a file is, with its article (``"a PNG"``), by its first bytes; None where it is none."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    found = next((name for sign, at, name in _SIGNATURES if head[at : at + len(sign)] == sign), None)
    # The chunk that announces an animation comes before the first pixels.
    return "an animated PNG" if found == "a PNG" and b"acTL" in head.split(b"IDAT")[0] else found


def read(path: Path) -> np.ndarray:
    """Return a PNG's or JPEG's pixels, uint8 BGR (h, w, 3), upright as its EXIF data says, on white paper.

    Raises:
        InputError: it is damaged or of a kind that cannot be decoded.
    """
    content = path.read_bytes()
    data = np.frombuffer(content, np.uint8)
    flags = cv2.IMREAD_COLOR if kind(path) == "a JPEG" else cv2.IMREAD_UNCHANGED
    try:
        pixels = cv2.imdecode(data, flags) if _is_whole(content) else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise InputError(
            f"{printable(path)} cannot be read as a picture: it is damaged or cut off. Copy it again or save it anew."
        )
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == 4:
        opacity = pixels[..., 3:].astype(np.float32) / 255
        return np.rint(pixels[..., :3] * opacity + _PAPER * (1 - opacity)).astype(np.uint8)
    return pixels


def _is_whole(content: bytes) -> bool:
    """Return whether a PNG or JPEG has its end: decoders fill up what is missing with grey.

    A PNG's chunks must lie in the file as well: OpenCV makes room for as many bytes as a chunk says that it has.
    """
    if not content.startswith(b"\x89PNG"):
        return b"\xff\xd9" in content
    at, name = len(b"\x89PNG\r\n\x1a\n"), b""
    while name != b"IEND" and at < len(content):
        name = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4])  # length, name and check sum take 12 bytes
    return name == b"IEND" and at <= len(content)


def sized(bgr: np.ndarray, max_side_px: int, max_pixels: int) -> np.ndarray:
    """Return a picture with even sides, as the video codec wants them, and no larger than asked.

    Even sides come from leaving out the last row or column, never from scaling.
    """
    height, width = bgr.shape[:2]
    scale = min(1.0, max_side_px / max(height, width), (max_pixels / (height * width)) ** 0.5)
    if scale < 1:
        size = (max(2, int(width * scale)), max(2, int(height * scale)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    height, width = bgr.shape[:2]
    if min(height, width) < 2:
        bgr = cv2.resize(bgr, (max(2, width), max(2, height)), interpolation=cv2.INTER_NEAREST)
    height, width = bgr.shape[:2]
    return np.ascontiguousarray(bgr[: height - height % 2, : width - width % 2])


def of_still_video(path: Path) -> np.ndarray | None:
    """Return the picture, uint8 BGR (h, w, 3), that a video shows from beginning to end; None where it changes.

    Raises:
        InputError: it cannot be read as a video.
    """
    frames = _shown(path)
    first = next(frames, None)
    if first is None:
        return None
    thumb, count = _thumb(first), 1
    for frame in frames:
        if np.percentile(np.abs(_thumb(frame) - thumb), _LARGEST) > _NOISE_LEVELS:
            return None
        count += 1
    return first if count > 1 else None


def _shown(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video, upright; nothing where it has no picture, which ingesting it will say."""
    with opened(path) as container:
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams or streams[0].codec_context is None:
            return
        streams[0].thread_type = "AUTO"
        for frame in container.decode(streams[0]):
            turns = round(frame.rotation / 90) % 4
            yield np.ascontiguousarray(np.rot90(bgr_of(frame), turns))


def _thumb(bgr: np.ndarray) -> np.ndarray:
    step = max(1, min(bgr.shape[:2]) // _THUMB_PX)
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (grey.shape[1] // step, grey.shape[0] // step), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
