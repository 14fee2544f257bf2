"""Video files through PyAV: probe, decode by presentation time (:mod:`stages.picture_writer` encodes).

All times are on the clip's own clock: time zero is the container's start, so a transport stream that starts at 1.4 s
still begins at 0 here. Files are opened with the ``file:`` protocol only, so that no name can be taken for an address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream

from stages.artifacts import Media, PictureStream, Record, SoundStream, SourceVideo
from stages.errors import InputError
from stages.mix.loudness import integrated_lufs
from stages.pixels import bgr_of
from stages.progress import Progress
from stages.sound import SAMPLE_RATE_HZ

VERSION = 1
MILLISECOND = Fraction(1, 1000)

_ONLY_FILES = {"protocol_whitelist": "file"}
_TRUNCATION_TOLERANCE_S = 1.0
"""A stream that ends this much before its declared end is a damaged file, not a rounded duration."""
_SYNC_TOLERANCE = SAMPLE_RATE_HZ // 25
"""Gaps in the sound's time stamps above 40 ms are filled with silence; smaller ones are rounding."""


class MediaConfig(Record):
    """How the source is read."""

    audio_track: int | None = None
    """Which sound track to dub, counted from 1; None takes the one marked default, else the first."""


def open_source(path: Path, kind: str = "video") -> SourceVideo:
    """Check that ``path`` can be a file of a kind (as it is called in messages) and identify it by its content.

    Raises:
        InputError: no such file, a folder, an empty or an unreadable file.
    """
    shown = printable(path)
    if not path.exists():
        raise InputError(f"{shown}: no such file. Check the name and the folder.")
    if path.is_dir():
        raise InputError(f"{shown} is a folder; give one {kind} file.")
    if not path.is_file():
        raise InputError(f"{shown} is not a regular file; give one {kind} file.")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{shown} is empty (0 bytes); copy it again from where it came from.")
        with path.open("rb") as stream:
            return SourceVideo(path=path, sha256=hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror}); check its permissions.") from error


def printable(path: Path) -> str:
    """Return a path for a one-line message: control characters (a newline in a name) escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(path))


@contextmanager
def opened(path: Path, kind: str = "video") -> Iterator[av.container.InputContainer]:
    """Open a media file for reading; FFmpeg's errors become one clear line that calls it a ``kind``.

    Raises:
        InputError: the content is nothing that FFmpeg can read.
    """
    try:
        with av.open(f"file:{path}", options=_ONLY_FILES) as container:
            yield container
    except (av.error.InvalidDataError, av.error.EOFError, av.error.ArgumentError) as error:
        raise InputError(
            f"{printable(path)} cannot be read as a {kind}: it is damaged, cut off or not a {kind} "
            f"({error.strerror}). Copy it again or convert it to {'MP4' if kind == 'video' else 'WAV'}."
        ) from error


def ingest(video: SourceVideo, config: MediaConfig, out: Path, progress: Progress) -> Media:
    """Probe the file, read the time of every frame, and decode the sound once to ``mix.wav``.

    Raises:
        InputError: no picture, no sound, damaged or cut off.
    """
    if video.made_of is not None:
        config = MediaConfig()  # the clip was made with the one track that was chosen
    with opened(video.path) as container:
        picture = _picture_stream(container, video.path)
        sounds = _sound_streams(container, video.path)
        sound_index = _chosen_sound(container, config, video.path).index
        origin = _origin(container)
        times, end_ms = _frame_times(container, picture, origin, video.path)
        index = picture.index
        size = (picture.codec_context.width, picture.codec_context.height)
        codec = picture.codec_context.name
    np.save(out / "frame_times.npy", times)
    progress(0.3)
    sound_samples = _decode_sound(video.path, sound_index, origin, out / "mix.wav")
    rotation = _rotation_deg(video.path, index)
    width, height = size if rotation % 180 == 0 else size[::-1]
    intervals = np.diff(times)
    span_ms = float(times[-1] - times[0])
    return Media(
        file_name=video.file_name,
        speaks_in_picture=video.speaks_in_picture,
        is_still=video.is_still,
        duration_ms=sound_samples * 1000 // SAMPLE_RATE_HZ,
        picture=PictureStream(
            index=index,
            width_px=width,
            height_px=height,
            rotation_deg=rotation,
            fps=Fraction((len(times) - 1) * 1000 / span_ms if span_ms else 1000 / end_ms).limit_denominator(1001),
            is_variable_rate=bool(len(intervals) and np.ptp(intervals) > 1.0 + 0.02 * np.median(intervals)),
            frames=len(times),
            end_ms=round(end_ms),
            codec=codec,
        ),
        sounds=sounds,
        sound_index=sound_index,
        integrated_lufs=integrated_lufs(out / "mix.wav"),
    )


def frames(
    video: SourceVideo,
    media: Media,
    first: int = 0,
    last: int | None = None,
    tell_decoded: Callable[[], object] = lambda: None,
) -> Iterator[np.ndarray]:
    """Yield shown (rotated) frames ``first..last`` (inclusive), uint8 BGR (h, w, 3), in presentation order.

    Starts decoding at the key frame before ``first``; a damaged frame repeats its predecessor so that the count holds.
    ``tell_decoded`` is called for every frame that was decoded, those before ``first`` included.
    """
    times = np.load(media.file(media.frame_times))
    last = len(times) - 1 if last is None else last
    turns = -media.picture.rotation_deg // 90
    with opened(video.path) as container:
        stream = container.streams[media.picture.index]
        assert isinstance(stream, VideoStream)
        assert stream.time_base is not None
        stream.thread_type = "AUTO"
        origin = _origin(container)
        if first:
            seconds = Fraction(float(times[first])) * MILLISECOND + origin
            container.seek(int(seconds / stream.time_base), stream=stream, backward=True)
        expected, shown = first, None
        for frame in container.decode(stream):
            tell_decoded()
            if frame.pts is None:
                continue
            time_ms = float((frame.pts * stream.time_base - origin) * 1000)
            if time_ms < times[first] - 0.5:
                continue
            upright = bgr_of(frame)
            shown = np.rot90(upright, turns) if turns else upright
            while expected <= last and times[expected] <= time_ms + 0.5:
                yield np.ascontiguousarray(shown)
                expected += 1
            if expected > last:
                return
        while shown is not None and expected <= last:
            yield np.ascontiguousarray(shown)
            expected += 1


def _origin(container: av.container.InputContainer) -> Fraction:
    """Return the container's start in seconds: time zero of the clip."""
    return Fraction(container.start_time or 0, av.time_base)


def _picture_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None or not stream.codec_context.width:
                raise InputError(f"{printable(path)}: its picture has a codec that cannot be decoded here.")
            return stream
    raise InputError(f"{printable(path)} has no picture, only sound; give a video file.")


def _sound_streams(container: av.container.InputContainer, path: Path) -> tuple[SoundStream, ...]:
    if not container.streams.audio:
        raise InputError(
            f"{printable(path)} has no sound track, so there is no speech to translate; give it one with --audio."
        )
    return tuple(
        SoundStream(
            index=stream.index,
            codec=stream.codec_context.name,
            rate_hz=stream.rate,
            channels=stream.channels,
            language=stream.language,
            is_default=bool(stream.disposition & Disposition.default),
        )
        for stream in container.streams.audio
    )


def _chosen_sound(container: av.container.InputContainer, config: MediaConfig, path: Path) -> AudioStream:
    tracks = container.streams.audio
    if config.audio_track is not None:
        if not 1 <= config.audio_track <= len(tracks):
            raise InputError(
                f"{printable(path)} has {len(tracks)} sound track(s), not a number {config.audio_track}; "
                f"give --audio-track 1 to {len(tracks)}."
            )
        return tracks[config.audio_track - 1]
    return next((track for track in tracks if track.disposition & Disposition.default), tracks[0])


def _frame_times(
    container: av.container.InputContainer, picture: VideoStream, origin: Fraction, path: Path
) -> tuple[np.ndarray, float]:
    """Return every frame's presentation time and the end of the last frame, in ms, from the packets alone."""
    assert picture.time_base is not None
    unit_ms = float(picture.time_base * 1000)
    stamps = [
        (packet.pts, packet.duration or 0)
        for packet in container.demux(picture)
        if packet.pts is not None and packet.size and not packet.is_discard
    ]
    if not stamps:
        raise InputError(f"{printable(path)} has no picture frames: it is damaged or cut off.")
    stamps.sort()
    times = np.array([pts for pts, _ in stamps], dtype=np.float64) * unit_ms - float(origin * 1000)
    end_ms = float(times[-1] + max(stamps[-1][1] * unit_ms, 1.0))
    if picture.duration is not None:
        declared_ms = ((picture.start_time or 0) + picture.duration) * unit_ms - float(origin * 1000)
        if end_ms < declared_ms - _TRUNCATION_TOLERANCE_S * 1000:
            raise InputError(
                f"{printable(path)} is cut off: it should last {declared_ms / 1000:.1f} s but its picture ends at "
                f"{end_ms / 1000:.1f} s. Copy it again from where it came from."
            )
        if declared_ms > times[-1]:
            end_ms = min(end_ms, declared_ms)  # an edit list shows the last frame for less than its packet says
    return times, end_ms


def _rotation_deg(path: Path, index: int) -> int:
    """Return the clockwise turn a player applies, from the first frame's display matrix."""
    with opened(path) as container:
        frame = next(container.decode(container.streams[index]), None)
    if not isinstance(frame, av.VideoFrame):
        raise InputError(f"{printable(path)}: not one frame of its picture can be decoded.")
    return round(-frame.rotation / 90) * 90 % 360


def _decode_sound(path: Path, index: int, origin: Fraction, target: Path) -> int:
    """Write the track as 48 kHz stereo 16-bit from time zero and return its length in samples.

    Time stamps are honoured: a late start or a gap becomes silence.
    """
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=SAMPLE_RATE_HZ)
    with (
        opened(path) as container,
        soundfile.SoundFile(target, "w", SAMPLE_RATE_HZ, channels=2, subtype="PCM_16") as out,
    ):
        stream = container.streams[index]
        end = None
        if stream.duration is not None and stream.time_base is not None:
            end = round((((stream.start_time or 0) + stream.duration) * stream.time_base - origin) * SAMPLE_RATE_HZ)
        for frame in container.decode(stream):
            assert isinstance(frame, av.AudioFrame)
            if frame.pts is not None and frame.time_base is not None:
                position = round((frame.pts * frame.time_base - origin) * SAMPLE_RATE_HZ)
                _keep_time(out, position)
            frame.pts = None
            _append(out, resampler.resample(frame), end)
        _append(out, resampler.resample(None), end)
        if not out.frames:
            raise InputError(f"{printable(path)}: its sound track holds no sound (it is damaged or empty).")
        return out.frames


def picture_length(path: Path) -> Fraction:
    """Return how many seconds a video's picture lasts.

    Raises:
        InputError: it has none, or is cut off.
    """
    with opened(path) as container:
        _, end_ms = _frame_times(container, _picture_stream(container, path), _origin(container), path)
    return Fraction(end_ms) * MILLISECOND


def extract_sound(path: Path, config: MediaConfig, target: Path) -> int:
    """Write a file's chosen sound track to ``target`` as 48 kHz stereo 16-bit; return its length in samples.

    Raises:
        InputError: it has none, or an empty one.
    """
    with opened(path, "sound") as container:
        _sound_streams(container, path)
        index, origin = _chosen_sound(container, config, path).index, _origin(container)
    return _decode_sound(path, index, origin, target)


def _keep_time(out: soundfile.SoundFile, position: int) -> None:
    gap = position - out.frames
    if gap > _SYNC_TOLERANCE:
        out.write(np.zeros((gap, 2), dtype=np.int16))


def _append(out: soundfile.SoundFile, resampled: list[av.AudioFrame], end: int | None) -> None:
    """Write what the resampler gave, but nothing beyond the declared end: that is the codec's padding."""
    for frame in resampled:
        samples = frame.to_ndarray().reshape(-1, 2)
        out.write(samples if end is None else samples[: max(0, end - out.frames)])
