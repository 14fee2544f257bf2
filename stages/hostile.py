"""What is read of a file that may be hostile: the formats, where they may lead, and how much of them.

A file is opened with the ``file:`` protocol, so that no name can be taken for an address, and only as a format that
holds its own content: playlists and the like, which name other files and hosts, are refused whatever they are called.
"""

from __future__ import annotations

import codecs
import os
from contextlib import suppress
from pathlib import Path

import av
import av.container
from pydantic import Field

from stages.artifacts import Record
from stages.errors import InputError

_LONGEST_SHOWN = 300
_LONGEST_STEM_BYTES = 200
"""File systems take 255; the rest is for a language tag and an ending."""
FORMATS = (
    "aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dv", "eac3", "flac", "flv", "gif", "h264", "hevc",
    "ivf", "jpeg_pipe", "m4v", "matroska", "webm", "mjpeg", "mov", "mp4", "mp3", "mpeg", "mpegts", "mpegvideo", "mxf",
    "ogg", "png_pipe", "tta", "w64", "wav", "wv",
)  # fmt: skip
"""FFmpeg's names of the formats that are read. None of them leads to another file or host, with the options below."""
OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FORMATS),
    "enable_drefs": "0",  # data references of MOV to other files
    "use_absolute_path": "0",
    "max_pixels": str(1 << 28),  # of a frame, before it is decoded; MediaConfig's limit is what users meet
}
_LISTS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat": "a list of files to join",
    b"<?xml": "an XML file",
    b"<MPD": "a DASH playlist",
    b"[playlist]": "a playlist",
    b"[Reference]": "a playlist",
    b"v=0": "a description of a stream",
    b"RTSPtext": "an address of a stream",
    b"SMIL": "a playlist",
}
"""How files begin that name others: for the message only; what is refused is all that is not in :data:`FORMATS`."""


class MediaConfig(Record):
    """How the source is read."""

    audio_track: int | None = None
    """Which sound track to dub, counted from 1; None takes the one marked default, else the first."""
    max_size_mb: float = Field(default=64_000, gt=0, exclude=True)
    """Larger files are not read. This and the following limits change no result, so they are in no key."""
    max_picture_mb: float = Field(default=200, gt=0, exclude=True)
    """Likewise, of still pictures: they are read at once."""
    max_duration_s: float = Field(default=4 * 3600, gt=0, exclude=True)
    """Of picture and sound each."""
    max_frames: int = Field(default=2_000_000, gt=0, exclude=True)
    """Of the picture: nine hours at 60 a second."""
    max_side_px: int = Field(default=8192, gt=0, exclude=True)
    """Of a frame's longer side."""
    max_pixels: int = Field(default=8192 * 4352, gt=0, exclude=True)
    """Of a frame: 8K."""
    max_streams: int = Field(default=100, gt=0, exclude=True)
    """Picture, sound, subtitles and others together."""


def printable(path: Path | str) -> str:
    """Return a path or URL for a one-line message: control characters (a newline in a name) escaped, shortened."""
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(path))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN // 2]}...{text[-_LONGEST_SHOWN // 2 :]}"


def check_name(path: Path) -> None:
    """Check that the names of what is made of a video, which begin with its own, can be names of files.

    Raises:
        InputError: they would be too long.
    """
    if len(os.fsencode(path.stem)) > _LONGEST_STEM_BYTES:
        raise InputError(
            f"{printable(path)}: the name is too long for the names of what is made of it; rename it to at most "
            f"{_LONGEST_STEM_BYTES} bytes."
        )


def list_kind(path: Path) -> str | None:
    """Return what names other files a file is (``"an HLS playlist"``), by how it begins; None where it is none."""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(256).removeprefix(codecs.BOM_UTF8).lstrip()
        return next((kind for sign, kind in _LISTS.items() if head.startswith(sign)), None)
    return None


def check_limit(path: Path | str, unit: str, value: float, name: str, most: float) -> None:
    """Refuse what exceeds ``ingest.max_<name>``.

    Raises:
        InputError: it does.
    """
    if not value <= most:  # nan is no length
        raise InputError(
            f"{printable(path)} has {value:.6g} {unit}, and {most:.6g} are allowed; raise ingest.max_{name} if it is "
            f"meant (DUBWRIGHT_INGEST__MAX_{name.upper()})."
        )


def check_container(container: av.container.InputContainer, config: MediaConfig, path: Path) -> None:
    """Check what an open file's headers say of it; how long it really is shows when it is read.

    Raises:
        InputError: it exceeds a limit.
    """
    check_limit(path, "streams", len(container.streams), "streams", config.max_streams)
    check_limit(path, "s", (container.duration or 0) / av.time_base, "duration_s", config.max_duration_s)
    for shown in container.streams.video:
        if shown.codec_context is not None:
            width, height = shown.codec_context.width, shown.codec_context.height
            check_limit(path, "pixels on a side", max(width, height), "side_px", config.max_side_px)
            check_limit(path, "pixels", width * height, "pixels", config.max_pixels)
