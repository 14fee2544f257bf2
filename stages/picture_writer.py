"""The re-rendered picture, encoded with exactly the source's frame times, in groups that stand alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import numpy as np
from av.video.frame import PictureType
from av.video.stream import VideoStream

from stages.artifacts import Media, Record, SourceVideo
from stages.media import MILLISECOND, opened
from stages.pixels import frame_of

_GROUP_MS = 2000.0
"""Longest group of pictures: the smallest part of a picture that can be encoded again alone."""
_ENDLESS_FRAMES = 1 << 20
_RGB_MATRIX, _UNSPECIFIED_MATRIX = 0, 2


class EncodeConfig(Record):
    """How the re-rendered picture is encoded (H.264)."""

    crf: int = 18
    """x264's constant rate factor; 17-18 is visually lossless."""
    preset: str = "veryfast"
    threads: int = 2
    """Fixed, because x264's output depends on it."""


def picture_groups(times_ms: np.ndarray, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last frame (inclusive) of every group of pictures: parts of a shot, of equal length.

    Args:
        times_ms: (frames,) presentation times.
        cuts: first frames of shots; frame 0 need not be named.
    """
    groups: list[tuple[int, int]] = []
    for shot in np.split(np.arange(len(times_ms)), sorted({*cuts} - {0})):
        length_ms = float(times_ms[shot[-1]] - times_ms[shot[0]])
        # Never a single frame: key frames in a row would have to tell each other apart.
        parts = max(1, min(ceil(length_ms / _GROUP_MS), len(shot) // 2))
        groups += [(int(part[0]), int(part[-1])) for part in np.array_split(shot, parts)]
    return groups


def frame_stamps(media: Media, time_base: Fraction) -> list[tuple[int, int]]:
    """Return when every frame is shown and for how long, in units of ``time_base`` (seconds)."""
    times = np.load(media.file(media.frame_times))
    shown = [round(Fraction(float(time)) * MILLISECOND / time_base) for time in times]
    end = round(media.picture.end_ms * MILLISECOND / time_base)
    return list(zip(shown, np.diff([*shown, max(end, shown[-1] + 1)]).tolist(), strict=True))


class PictureWriter:
    """Encodes frames with exactly the source's frame times (H.264 in MP4, no sound).

    Use as a context manager and call :meth:`write` once for every frame of the clip, in order; or for those of some
    successive groups (:func:`picture_groups`). Groups are closed, and where they begin depends on the frame times and
    the cuts alone, so that one can be encoded again without the others.
    """

    def __init__(
        self,
        path: Path,
        video: SourceVideo,
        media: Media,
        config: EncodeConfig,
        cuts: Sequence[int] = (),
        first: int = 0,
        last: int | None = None,
    ) -> None:
        self._container = av.open(f"file:{path}", "w", format="mp4")
        with opened(video.path) as source:
            template = source.streams[media.picture.index]
            assert isinstance(template, VideoStream)
            time_base, context = template.time_base, template.codec_context
            assert time_base is not None
            # Without B-frames decoding order is display order, so that MP4 stores uneven frame times exactly.
            options = {"preset": config.preset, "crf": str(config.crf), "bf": "0", "threads": str(config.threads)}
            # Trellis keeps fine detail; more deblocking takes away the noise of rounding a smooth picture twice.
            options |= {"trellis": "1", "deblock": "2:2"}
            # Looking at blocks of this size only spares a sixth of the time, at .1 dB more and 2 % more bytes. The
            # macroblock tree reads memory that x264 never wrote, so that two runs differ; without it still parts of
            # a picture are kept better (1.3 dB on talker-a).
            options["x264-params"] = "partitions=i4x4:mbtree=0"
            # Key frames where the groups begin, and nowhere else.
            options |= {"g": str(_ENDLESS_FRAMES), "sc_threshold": "0", "forced-idr": "1"}
            self._stream = self._container.add_stream("libx264", rate=media.picture.fps, options=options)
            assert isinstance(self._stream, VideoStream)
            encoder = self._stream.codec_context
            encoder.thread_type = "FRAME"  # encodes while the next frames are drawn; slices would make the drawing wait
            encoder.width, encoder.height = media.picture.width_px, media.picture.height_px
            # 4:2:0 needs even sides; odd ones keep full chroma instead of being cropped.
            odd = encoder.width % 2 or encoder.height % 2
            encoder.pix_fmt = "yuv444p" if odd else "yuv420p"
            encoder.time_base = self._stream.time_base = time_base
            encoder.color_range = context.color_range
            encoder.colorspace = _UNSPECIFIED_MATRIX if context.colorspace == _RGB_MATRIX else context.colorspace
            encoder.color_primaries, encoder.color_trc = context.color_primaries, context.color_trc
            if template.sample_aspect_ratio:
                encoder.sample_aspect_ratio = template.sample_aspect_ratio
        times = np.load(media.file(media.frame_times))
        stamps = frame_stamps(media, time_base)
        self._pts, self._duration = [pts for pts, _ in stamps], dict(stamps)
        self._group_starts = {start for start, _ in picture_groups(times, cuts)}
        self._last = len(times) - 1 if last is None else last
        self._encoder, self._time_base, self._next = encoder, time_base, first

    def __enter__(self) -> Self:
        return self

    def write(self, bgr: np.ndarray) -> None:
        """Encode the next frame, uint8 BGR (h, w, 3)."""
        frame = frame_of(bgr, self._encoder)  # the encoder only writes down matrix and range
        frame.pts, frame.time_base = self._pts[self._next], self._time_base
        if self._next in self._group_starts:
            frame.pict_type = PictureType.I
        self._next += 1
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._duration[packet.pts]
            self._container.mux(packet)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if kind is None:
            if self._next != self._last + 1:
                raise RuntimeError(f"the next frame is {self._next}, the last was to be {self._last}")
            self._mux(self._stream.encode(None))
        self._container.close()
        return False
