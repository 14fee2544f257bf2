"""Puts picture, dub, original sound and soft subtitles into one MP4.

The picture's packets are copied, never encoded a second time. The title says that the file is a dub.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from pathlib import Path

import av
import av.container
import langcodes
import numpy as np
import pysubs2
import soundfile
from av.audio.stream import AudioStream
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet

from stages.artifacts import Media, Mixdown, Picture, Script, SourceVideo
from stages.media import MILLISECOND, frames, opened
from stages.picture_writer import EncodeConfig, PictureWriter
from stages.sound import SAMPLE_RATE_HZ
from stages.subtitles import Cue

_MP4_PICTURE = {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video"}
"""Picture codecs that players find in an MP4; others are encoded to H.264."""
_MP4_SOUND = {"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}
"""Sound codecs that are copied into the MP4; others are encoded to AAC."""
_AAC_BIT_RATE = 192_000
_AAC_FRAME = 1024
_SUBTITLE_UNIT = Fraction(1, 1000)


@dataclass(frozen=True)
class _Timed:
    """A packet and when it is due, so that all streams are interleaved by time."""

    due_s: float
    packet: av.Packet

    def __lt__(self, other: _Timed) -> bool:
        return self.due_s < other.due_s


def mux(
    target: Path,
    video: SourceVideo,
    media: Media,
    picture: Picture,
    mixdown: Mixdown,
    script: Script,
    subtitles: dict[str, tuple[Cue, ...]],
    scratch: Path,
) -> None:
    """Write the dub.

    Tracks: picture; dubbed sound (default, tagged with the target language); every original sound track; one soft
    subtitle track per entry of ``subtitles`` (language tag -> cues), none shown unless the viewer asks for it.
    """
    with ExitStack() as stack:
        source = stack.enter_context(opened(video.path))
        shown = stack.enter_context(opened(_picture_file(video, media, picture, scratch)))
        origin = Fraction(source.start_time or 0, av.time_base)
        out = stack.enter_context(av.open(f"file:{target}", "w", format="mp4", options={"movflags": "+faststart"}))
        out.metadata.update(
            {
                "title": f"{Path(media.file_name).stem} ({_name(script.target)} dub)",
                "comment": f"Dubbed from {_name(script.source)} to {_name(script.target)} by Dubwright: the voices are "
                "synthetic and the lips are re-rendered.",
            }
        )
        picture_index = media.picture.index if picture.video is None else 0
        flows: list[Iterator[_Timed]] = []
        template = shown.streams[picture_index]
        shift = origin if picture.video is None and shown.name == source.name else Fraction(0)
        end_ms = media.picture.end_ms
        flows.append(_copied(shown, template, out.add_stream_from_template(template), shift, end_ms))
        dub = _aac_stream(out, script.target, "dub", is_default=True)
        flows.append(_encoded(mixdown.file(mixdown.sound), dub))
        for index, sound in enumerate(media.sounds):
            language = sound.language if sound.language not in (None, "und") else None
            if sound.index == media.sound_index:
                language = script.source
            title = "original" if len(media.sounds) == 1 else f"original {index + 1}"
            if sound.codec in _MP4_SOUND:
                own = stack.enter_context(opened(video.path))
                original = out.add_stream_from_template(own.streams[sound.index])
                _label(original, language, title, is_default=False)
                flows.append(_copied(own, own.streams[sound.index], original, origin, media.duration_ms))
            elif sound.index == media.sound_index:
                flows.append(_encoded(media.file(media.mix), _aac_stream(out, script.source, title, is_default=False)))
        for tag, cues in subtitles.items():
            track = out.add_stream("mov_text")
            assert isinstance(track, SubtitleStream)
            track.codec_context.subtitle_header = pysubs2.SSAFile().to_string("ass").encode()
            track.time_base = track.codec_context.time_base = _SUBTITLE_UNIT
            _label(track, tag, "subtitles", is_default=False)
            flows.append(_subtitles(track, cues))
        for timed in merge(*flows):
            out.mux(timed.packet)


def _picture_file(video: SourceVideo, media: Media, picture: Picture, scratch: Path) -> Path:
    """Return the file that holds the picture: the re-rendered one, or the source, or the source encoded to H.264."""
    if picture.video is not None:
        return picture.file(picture.video)
    if media.picture.codec in _MP4_PICTURE:
        return video.path
    encoded = scratch / "picture.mp4"
    with PictureWriter(encoded, video, media, EncodeConfig()) as writer:
        for bgr in frames(video, media):
            writer.write(bgr)
    return encoded


def _copied(
    container: av.container.InputContainer, stream: Stream, target: Stream, origin: Fraction, end_ms: int
) -> Iterator[_Timed]:
    """Yield a stream's packets as they are; the last one lasts no longer than the source says."""
    assert stream.time_base is not None
    shift = round(origin / stream.time_base)
    end = round(end_ms * MILLISECOND / stream.time_base)
    for packet in container.demux(stream):
        if packet.dts is None or packet.pts is None:
            continue
        packet.pts -= shift
        packet.dts -= shift
        if packet.pts < end < packet.pts + (packet.duration or 0):
            packet.duration = end - packet.pts
        due_s = float(packet.dts * stream.time_base)
        packet.stream = target
        yield _Timed(due_s, packet)


def _aac_stream(out: av.container.OutputContainer, tag: str, title: str, is_default: bool) -> AudioStream:
    stream = out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="stereo", bit_rate=_AAC_BIT_RATE)
    assert isinstance(stream, AudioStream)
    _label(stream, tag, title, is_default)
    return stream


def _encoded(sound: Path, stream: AudioStream) -> Iterator[_Timed]:
    """Encode a 48 kHz stereo file block by block."""
    with soundfile.SoundFile(sound) as file:
        position = 0
        for block in file.blocks(_AAC_FRAME, dtype="float32", always_2d=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = (
                SAMPLE_RATE_HZ,
                position,
                Fraction(1, SAMPLE_RATE_HZ),
            )
            position += len(block)
            yield from _due(stream.encode(frame))
    yield from _due(stream.encode(None))


def _due(packets: list[av.Packet]) -> Iterator[_Timed]:
    for packet in packets:
        yield _Timed(float((packet.dts or 0) * (packet.time_base or 0)), packet)


def _subtitles(stream: SubtitleStream, cues: Sequence[Cue]) -> Iterator[_Timed]:
    """Yield the cues and the empty samples between them: in MP4 a cue lasts until the next sample."""
    end_ms = 0
    for cue in cues:
        if cue.start_ms > end_ms:
            yield _sample(stream, end_ms, cue.start_ms, "")
        yield _sample(stream, cue.start_ms, cue.end_ms, cue.text)
        end_ms = cue.end_ms


def _sample(stream: SubtitleStream, start_ms: int, end_ms: int, text: str) -> _Timed:
    if text:
        dialogue = "0,0,Default,,0,0,0,," + text.replace("\n", "\\N")
        cue = SubtitleSet.create(text=dialogue.encode(), start=0, end=end_ms - start_ms, pts=start_ms)
        packet = stream.codec_context.encode_subtitle(cue)
    else:
        packet = av.Packet(b"\x00\x00")  # a timed-text sample of length 0 (3GPP TS 26.245, 5.17)
    packet.stream = stream
    packet.time_base = _SUBTITLE_UNIT
    packet.pts = packet.dts = start_ms
    packet.duration = end_ms - start_ms
    return _Timed(start_ms / 1000, packet)


def _label(stream: Stream, tag: str | None, title: str, is_default: bool) -> None:
    if tag is not None:
        stream.metadata["language"] = langcodes.get(tag).to_alpha3()
    stream.metadata["title"] = title
    stream.metadata["handler_name"] = title
    stream.disposition = Disposition.default if is_default else Disposition(0)


def _name(tag: str) -> str:
    return langcodes.get(tag).display_name()
