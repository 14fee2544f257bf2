"""Video files through PyAV: probe, decode by presentation time (:mod:`stages.picture_writer` encodes).

All times are on the clip's own clock: time zero is the container's start, so a transport stream that starts at 1.4 s
still begins at 0 here.

A file may be hostile: what is read of it is limited (:mod:`stages.hostile`).
"""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import langcodes
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream

from stages.artifacts import Media, PictureStream, SoundStream, SourceVideo
from stages.errors import InputError
from stages.hostile import OPTIONS, MediaConfig, check_container, check_limit, list_kind, printable
from stages.mix.loudness import integrated_lufs
from stages.pixels import bgr_of
from stages.progress import Progress
from stages.sound import SAMPLE_RATE_HZ

VERSION = 1
MILLISECOND = Fraction(1, 1000)

_SILENCE_BLOCK = 60 * SAMPLE_RATE_HZ
_CONVERT_TO = {"video": "MP4", "sound": "WAV", "picture": "PNG"}
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LEAST_RATE_HZ, _MOST_RATE_HZ, _MOST_CHANNELS = 1_000, 768_000, 64
"""Of a sound track. One sample a second would become 48 000."""
_TRUNCATION_TOLERANCE_S = 1.0
"""A stream that ends this much before its declared end is a damaged file, not a rounded duration."""
_SAME_TIME_MS = 0.5
_SEEK_BACK_MS = (0.0, 1000.0, 4000.0, 16000.0)
"""How far before a frame its key frame is looked for."""
_SYNC_TOLERANCE = SAMPLE_RATE_HZ // 25
"""Gaps in the sound's time stamps above 40 ms are filled with silence; smaller ones are rounding."""


def open_source(path: Path, kind: str = "video", config: MediaConfig = MediaConfig()) -> SourceVideo:  # noqa: B008
    """Check that ``path`` can be a file of a kind (as it is called in messages) and identify it by its content.

    Raises:
        InputError: no such file, a folder, an empty, an unreadable or too large a file.
    """
    shown = printable(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{shown}: no such file. Check the name and the folder.") from None
    except (OSError, ValueError) as error:  # the latter: a NUL in the name
        raise InputError(f"{shown}: there can be no such file ({_reason(error)}). Check the name.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{shown} is a folder; give one {kind} file.")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{shown} is not a regular file; give one {kind} file.")
    if status.st_size == 0:
        raise InputError(f"{shown} is empty (0 bytes); copy it again from where it came from.")
    check_limit(path, "MB", status.st_size / 1e6, "size_mb", config.max_size_mb)
    try:
        with path.open("rb") as stream:
            return SourceVideo(path=path, sha256=hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror}); check its permissions.") from error


@contextmanager
def opened(path: Path, kind: str = "video") -> Iterator[av.container.InputContainer]:
    """Open a media file for reading; FFmpeg's errors become one clear line that calls it a ``kind``.

    Raises:
        InputError: the content is nothing that FFmpeg can read, or leads to other files.
    """
    try:
        with av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace") as container:
            yield container
    except av.error.FFmpegError as error:
        if error.errno in _FULL_ERRNOS:  # of what is written meanwhile
            raise
        if is_list := list_kind(path):
            raise InputError(
                f"{printable(path)} is {is_list}, not a {kind}: it leads to other files or hosts, which are not "
                "opened. Give the file itself."
            ) from error
        raise _unreadable(path, kind, _reason(error)) from error
    except IndexError as error:
        # PyAV knows the streams that were there at the beginning; a damaged file may name another one later.
        if not _is_of_pyav(error):
            raise
        raise _unreadable(path, kind, "a stream begins in the middle") from error


def _unreadable(path: Path, kind: str, reason: str) -> InputError:
    return InputError(
        f"{printable(path)} cannot be read as a {kind}: it is damaged, cut off or not a {kind} ({reason}). Copy it "
        f"again or convert it to {_CONVERT_TO[kind]}."
    )


def _is_of_pyav(error: Exception) -> bool:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_code.co_filename.startswith("av/")  # as Cython compiled it


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def check_limits(path: Path, config: MediaConfig, kind: str = "video") -> None:
    """Check what the headers say of a file against the limits; how long it really is shows when it is read.

    Raises:
        InputError: it exceeds one, or cannot be read.
    """
    with opened(path, kind) as container:
        check_container(container, config, path)
        if kind == "picture" and not any(shown.width for shown in container.streams.video if shown.codec_context):
            raise _unreadable(path, kind, "it has no size")


def ingest(video: SourceVideo, config: MediaConfig, out: Path, progress: Progress) -> Media:
    """Probe the file, read the time of every frame, and decode the sound once to ``mix.wav``.

    Raises:
        InputError: no picture, no sound, damaged or cut off.
    """
    if video.made_of is not None:
        config = config.model_copy(update={"audio_track": None})  # the clip was made with the one track that was chosen
    with opened(video.path) as container:
        check_container(container, config, video.path)
        picture = _picture_stream(container, video.path)
        sounds = _sound_streams(container, video.path)
        sound_index = _chosen_sound(container, config, video.path).index
        origin = _origin(container)
        times, end_ms = _frame_times(container, picture, origin, video.path, config)
        index = picture.index
        size = (picture.codec_context.width, picture.codec_context.height)
        codec = picture.codec_context.name
    np.save(out / "frame_times.npy", times)
    progress(0.3)
    sound_samples = _decode_sound(video.path, sound_index, origin, out / "mix.wav", config)
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

    Starts decoding at a key frame before ``first``; a damaged frame repeats its predecessor so that the count holds.
    ``tell_decoded`` is called for every frame that was decoded, those before ``first`` included.
    """
    times = np.load(media.file(media.frame_times))
    last = len(times) - 1 if last is None else last
    turns = -media.picture.rotation_deg // 90
    expected, shown = first, None
    steps_ms = _SEEK_BACK_MS if first else ()
    for time_ms, frame in _decoded_from(video, media, float(times[first]), steps_ms, tell_decoded):
        if time_ms < times[first] - _SAME_TIME_MS:
            continue
        upright = bgr_of(frame)
        shown = np.rot90(upright, turns) if turns else upright
        while expected <= last and times[expected] <= time_ms + _SAME_TIME_MS:
            yield np.ascontiguousarray(shown)
            expected += 1
        if expected > last:
            return
    while shown is not None and expected <= last:
        yield np.ascontiguousarray(shown)
        expected += 1


def _decoded_from(
    video: SourceVideo, media: Media, at_ms: float, steps_ms: Sequence[float], tell_decoded: Callable[[], object]
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield (time in ms, frame) from a key frame at or before ``at_ms`` on.

    ``steps_ms``: how far before it one is looked for, one after the other; then all is decoded from the beginning. A
    seek may lead behind what is sought: broadcasts have no index, and others go by the time of decoding, which is no
    help for frames that are shown before a key frame and decoded after it.
    """
    for back_ms in steps_ms:
        with _picture_of(video, media) as (container, stream, origin):
            assert stream.time_base is not None
            sought = (Fraction(at_ms - back_ms) * MILLISECOND + origin) / stream.time_base
            try:
                container.seek(int(sought), stream=stream, backward=True)
            except av.error.FFmpegError:  # that far back there is nothing, or nothing can be sought at all
                break
            is_whole = False
            for time_ms, frame in _timed(container, stream, origin, tell_decoded):
                if not is_whole and frame.key_frame and time_ms > at_ms + _SAME_TIME_MS:
                    break
                is_whole |= frame.key_frame
                if is_whole:
                    yield time_ms, frame
            if is_whole:
                return
    with _picture_of(video, media) as (container, stream, origin):
        yield from _timed(container, stream, origin, tell_decoded)


@contextmanager
def _picture_of(
    video: SourceVideo, media: Media
) -> Iterator[tuple[av.container.InputContainer, VideoStream, Fraction]]:
    with opened(video.path) as container:
        stream = container.streams[media.picture.index]
        assert isinstance(stream, VideoStream)
        stream.thread_type = "AUTO"
        yield container, stream, _origin(container)


def _timed(
    container: av.container.InputContainer, stream: VideoStream, origin: Fraction, tell_decoded: Callable[[], object]
) -> Iterator[tuple[float, av.VideoFrame]]:
    assert stream.time_base is not None
    for frame in container.decode(stream):
        tell_decoded()
        if frame.pts is not None:
            yield float((frame.pts * stream.time_base - origin) * 1000), frame


def picture_time_base(video: SourceVideo, media: Media) -> Fraction:
    """Return the unit of the picture's times in the file, in seconds."""
    with opened(video.path) as container:
        unit = container.streams[media.picture.index].time_base
    assert unit is not None
    return unit


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
            language=_language(stream),
            is_default=bool(stream.disposition & Disposition.default),
        )
        for stream in container.streams.audio
        if stream.codec_context is not None  # others can neither be decoded nor copied
    )


def _language(stream: AudioStream) -> str | None:
    """Return the language that a track names; None where it names none, or what is none."""
    try:
        langcodes.get(stream.language or "").to_alpha3()
    except (LookupError, ValueError):  # the latter: no tag at all
        return None
    return stream.language


def _chosen_sound(container: av.container.InputContainer, config: MediaConfig, path: Path) -> AudioStream:
    tracks = container.streams.audio
    if config.audio_track is not None:
        if not 1 <= config.audio_track <= len(tracks):
            raise InputError(
                f"{printable(path)} has {len(tracks)} sound track(s), not a number {config.audio_track}; "
                f"give --audio-track 1 to {len(tracks)}."
            )
        chosen = tracks[config.audio_track - 1]
    else:
        chosen = next((track for track in tracks if track.disposition & Disposition.default), tracks[0])
    if chosen.codec_context is None:
        raise InputError(f"{printable(path)}: its sound has a codec that cannot be decoded here; convert it first.")
    return chosen


def _frame_times(
    container: av.container.InputContainer, picture: VideoStream, origin: Fraction, path: Path, config: MediaConfig
) -> tuple[np.ndarray, float]:
    """Return every frame's presentation time and the end of the last frame, in ms, from the packets alone."""
    if picture.time_base is None:
        raise InputError(f"{printable(path)}: its picture has no times; it is damaged.")
    unit_ms = float(picture.time_base * 1000)
    stamps = []
    for packet in container.demux(picture):
        if packet.pts is not None and packet.size and not packet.is_discard:
            stamps.append((packet.pts, packet.duration or 0))
            check_limit(path, "frames", len(stamps), "frames", config.max_frames)
    if not stamps:
        raise InputError(f"{printable(path)} has no picture frames: it is damaged or cut off.")
    stamps.sort()
    times = np.array([pts for pts, _ in stamps], dtype=np.float64) * unit_ms - float(origin * 1000)
    end_ms = float(times[-1] + max(stamps[-1][1] * unit_ms, 1.0))
    check_limit(path, "s", (end_ms - min(0.0, float(times[0]))) / 1000, "duration_s", config.max_duration_s)
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


def _decode_sound(path: Path, index: int, origin: Fraction, target: Path, config: MediaConfig) -> int:
    """Write the track as 48 kHz stereo 16-bit from time zero and return its length in samples.

    Time stamps are honoured: a late start or a gap becomes silence.
    """

    def check_length(samples: float) -> None:
        check_limit(path, "s", samples / SAMPLE_RATE_HZ, "duration_s", config.max_duration_s)

    resampler, made_for = _resampler(), None
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
            if not _LEAST_RATE_HZ <= frame.sample_rate <= _MOST_RATE_HZ or frame.layout.nb_channels > _MOST_CHANNELS:
                raise InputError(
                    f"{printable(path)}: its sound has {frame.sample_rate} samples a second in "
                    f"{frame.layout.nb_channels} channels; it is damaged, or must be converted first."
                )
            if frame.pts is not None and frame.time_base is not None:
                position = round((frame.pts * frame.time_base - origin) * SAMPLE_RATE_HZ)
                check_length(position)
                _keep_time(out, position)
            check_length(out.frames + frame.samples / frame.sample_rate * SAMPLE_RATE_HZ)
            frame.pts = None
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
            if made_for is not None and form != made_for:
                _append(out, resampler.resample(None), end)  # broadcasts go from stereo to 5.1 and back
                resampler = _resampler()
            made_for = form
            _append(out, resampler.resample(frame), end)
        _append(out, resampler.resample(None), end)
        if not out.frames:
            raise InputError(f"{printable(path)}: its sound track holds no sound (it is damaged or empty).")
        return out.frames


def _resampler() -> av.AudioResampler:
    return av.AudioResampler(format="s16", layout="stereo", rate=SAMPLE_RATE_HZ)


def picture_length(path: Path, config: MediaConfig = MediaConfig()) -> Fraction:  # noqa: B008
    """Return how many seconds a video's picture lasts.

    Raises:
        InputError: it has none, or is cut off.
    """
    with opened(path) as container:
        _, end_ms = _frame_times(container, _picture_stream(container, path), _origin(container), path, config)
    return Fraction(end_ms) * MILLISECOND


def extract_sound(path: Path, config: MediaConfig, target: Path) -> int:
    """Write a file's chosen sound track to ``target`` as 48 kHz stereo 16-bit; return its length in samples.

    Raises:
        InputError: it has none, or an empty one.
    """
    with opened(path, "sound") as container:
        check_container(container, config, path)
        _sound_streams(container, path)
        index, origin = _chosen_sound(container, config, path).index, _origin(container)
    return _decode_sound(path, index, origin, target, config)


def _keep_time(out: soundfile.SoundFile, position: int) -> None:
    gap = position - out.frames
    if gap > _SYNC_TOLERANCE:
        for start in range(0, gap, _SILENCE_BLOCK):
            out.write(np.zeros((min(_SILENCE_BLOCK, gap - start), 2), dtype=np.int16))


def _append(out: soundfile.SoundFile, resampled: list[av.AudioFrame], end: int | None) -> None:
    """Write what the resampler gave, but nothing beyond the declared end: that is the codec's padding."""
    for frame in resampled:
        samples = frame.to_ndarray().reshape(-1, 2)
        out.write(samples if end is None else samples[: max(0, end - out.frames)])
