"""An encoded picture in which some groups of pictures are replaced, or that is joined of parts: packets are copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.container
import numpy as np

from stages.errors import InputError
from stages.media import opened
from stages.picture_writer import picture_groups

_OTHER_PICTURE = (
    "the finished picture was encoded by another version of x264, so no part of it can be replaced; dub "
    "the video again with --force and without --line."
)
_OTHER_PART = (
    "the parts of the picture were encoded by different versions of x264, so they cannot be joined; install the same "
    "version of PyAV (av) on every machine, remove the folder lipsync-part of this video from the work folder, and "
    "run the same command again."
)


class Piece(NamedTuple):
    """Successive groups of pictures, encoded again."""

    first: int
    """First frame."""
    last: int
    """Last frame (inclusive)."""
    file: Path


def group_spans(frames: np.ndarray, times_ms: np.ndarray, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last frame (inclusive) of the groups that hold any of ``frames`` (n,), neighbours joined."""
    spans: list[tuple[int, int]] = []
    for first, last in picture_groups(times_ms, cuts):
        if ((frames >= first) & (frames <= last)).any():
            if spans and spans[-1][1] == first - 1:
                spans[-1] = (spans[-1][0], last)
            else:
                spans.append((first, last))
    return spans


def splice(picture: Path, pieces: Sequence[Piece], target: Path) -> None:
    """Write ``picture`` with ``pieces`` in it to ``target``; every frame keeps its time.

    Both were written by :class:`stages.picture_writer.PictureWriter`: one packet a frame, in order of presentation.

    Raises:
        InputError: the pieces cannot be decoded with the headers of the picture.
    """
    with opened(picture) as source, av.open(f"file:{target}", "w", format="mp4") as out:
        template = source.streams.video[0]
        assert template.time_base is not None
        stream = out.add_stream_from_template(template)
        stream.time_base = template.time_base
        first_of = {piece.first: piece for piece in pieces}
        replaced: Iterator[av.Packet] = iter(())
        last = -1
        for index, packet in enumerate(_packets(source)):
            if index in first_of:
                last = first_of[index].last
                replaced = _of_piece(first_of[index].file, template.codec_context.extradata, _OTHER_PICTURE)
            if index <= last:
                new = next(replaced)
                new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
                new.time_base = template.time_base
                packet = new
            packet.stream = stream
            out.mux(packet)


def join(pieces: Sequence[Piece], stamps: Sequence[tuple[int, int]], time_base: Fraction, target: Path) -> None:
    """Write ``pieces``, which hold every frame once, one after the other to ``target``.

    Args:
        pieces: in order, written by :class:`stages.picture_writer.PictureWriter`.
        stamps: when every frame is shown and for how long (:func:`stages.picture_writer.frame_stamps`): a piece knows
            where it begins only to a millisecond.
        time_base: the stamps' unit, in seconds.
        target: the file to write.

    Raises:
        InputError: the pieces were encoded by different versions of x264.
    """
    with opened(pieces[0].file) as first, av.open(f"file:{target}", "w", format="mp4") as out:
        template = first.streams.video[0]
        stream = out.add_stream_from_template(template)
        stream.time_base = time_base
        headers = template.codec_context.extradata
        for piece in pieces:
            shown = stamps[piece.first : piece.last + 1]
            for packet, (pts, duration) in zip(_of_piece(piece.file, headers, _OTHER_PART), shown, strict=True):
                packet.pts, packet.dts, packet.duration, packet.time_base = pts, pts, duration, time_base
                packet.stream = stream
                out.mux(packet)


def _of_piece(file: Path, headers: bytes | None, otherwise: str) -> Iterator[av.Packet]:
    with opened(file) as container:
        if container.streams.video[0].codec_context.extradata != headers:
            raise InputError(otherwise)
        yield from _packets(container)


def _packets(container: av.container.InputContainer) -> Iterator[av.Packet]:
    return (packet for packet in container.demux(video=0) if packet.size)
