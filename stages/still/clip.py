"""The clip that a still or mute picture and a sound become, written so that it can be read like any other video."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from fractions import Fraction
from heapq import merge
from pathlib import Path

import av
import av.container
import cv2
import numpy as np
import soundfile
from av.stream import Disposition
from av.video.stream import VideoStream

from stages.artifacts import Clip, SourceVideo
from stages.errors import InputError
from stages.lipsync import TrackConfig
from stages.lipsync.detector import FaceReader, FaceReading
from stages.lipsync.tracking import faces_in
from stages.media import MediaConfig, extract_sound, opened, picture_length, printable
from stages.pixels import frame_of
from stages.progress import Progress
from stages.sound import SAMPLE_RATE_HZ
from stages.still import StillConfig, picture
from stages.still.life import Life

_MP4_PICTURE = {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video"}
"""Codecs whose packets MP4 holds with their exact times; Matroska, which holds all others, rounds them to 1 ms."""
_BLOCK_SAMPLES = 4800
_ENCODER_THREADS = 2
"""Fixed, because x264's output depends on it."""


def check_sound(path: Path) -> None:
    """Check that a file has a sound track.

    Raises:
        InputError: it has none, or cannot be read.
    """
    with opened(path, "sound") as container:
        if not container.streams.audio:
            raise InputError(f"{printable(path)} has no sound; give --audio a file in which somebody speaks.")


def compose(video: SourceVideo, audio_track: int | None, config: StillConfig, out: Path, progress: Progress) -> Clip:
    """See :func:`stages.still.compose`."""
    kind = picture.kind(video.path)
    still = picture.of_still_video(video.path) if kind is None else picture.read(video.path)
    sound = out / ".sound.wav"
    samples = extract_sound((video.sound or video).path, MediaConfig(audio_track=audio_track), sound)
    if still is None:
        target = _given_sound(video.path, sound, out)
    else:
        own_length = picture_length(video.path) if kind is None else None
        length = own_length if own_length and video.sound is None else Fraction(samples, SAMPLE_RATE_HZ)
        still = picture.sized(still, config.max_side_px, config.max_pixels)
        face = speaking_face(still, video.file_name, config.min_lead)
        times = enlargement(face, still.shape, config)
        still = cv2.resize(still, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
        life = Life(still, face.landmarks * np.float32(times), config, seed=video.sha256)
        target = _alive(life, sound, length, config, out, progress)
    sound.unlink()
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Clip(video=target.name, sha256=digest, is_still=still is not None)


def speaking_face(bgr: np.ndarray, name: str, min_lead: float) -> FaceReading:
    """Return the face of a picture (uint8 BGR (h, w, 3)) that is to speak: the largest one.

    Raises:
        InputError: there is none, or the largest is less than ``min_lead`` times as large as the next.
    """
    with FaceReader() as reader:
        found = sorted(faces_in(reader, bgr, TrackConfig().min_face_px), key=lambda face: -face.window.side)
    if not found:
        raise InputError(f"{name}: no face was found in the picture; give one that shows a face from the front.")
    if len(found) > 1 and found[0].window.side < min_lead * found[1].window.side:
        raise InputError(
            f"{name}: {len(found)} faces of like size were found in the picture; cut it to the one who speaks."
        )
    return found[0]


def enlargement(face: FaceReading, shape: tuple[int, ...], config: StillConfig) -> int:
    """Return how many times a picture (h, w, ...) is enlarged so that a small face has pixels for a moving mouth."""
    wanted = math.ceil(config.min_face_px / face.window.side)
    fits = min(config.max_side_px / max(shape[:2]), (config.max_pixels / (shape[0] * shape[1])) ** 0.5)
    return max(1, min(wanted, config.max_enlargement, int(fits)))


def _alive(life: Life, sound: Path, length: Fraction, config: StillConfig, out: Path, progress: Progress) -> Path:
    """Write the living portrait with its sound, frame by frame."""
    target, frames = out / "clip.mp4", max(1, -(-length.numerator * config.fps // length.denominator))
    with av.open(f"file:{target}", "w", format="mp4") as container:
        options = {"preset": "veryfast", "crf": str(config.crf), "bf": "0", "threads": str(_ENCODER_THREADS)}
        stream = container.add_stream("libx264", rate=config.fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = life.shape
        stream.pix_fmt = "yuv420p"
        _mux(container, _encoded(stream, life, frames, config.fps, progress), _spoken(container, sound, None))
    return target


def _encoded(stream: VideoStream, life: Life, frames: int, fps: int, progress: Progress) -> Iterator[av.Packet]:
    for index in range(frames):
        frame = frame_of(life.frame(index / fps), stream.codec_context)
        frame.pts, frame.time_base = index, Fraction(1, fps)
        yield from stream.encode(frame)
        progress(index / frames)
    yield from stream.encode(None)


def _given_sound(path: Path, sound: Path, out: Path) -> Path:
    """Write a video's own picture packets with another sound, cut off or filled up to the picture's length."""
    length = picture_length(path)
    with opened(path) as source:
        streams = [one for one in source.streams.video if not one.disposition & Disposition.attached_pic]
        is_mp4 = streams[0].codec_context.name in _MP4_PICTURE
        target = out / ("clip.mp4" if is_mp4 else "clip.mkv")
        with av.open(f"file:{target}", "w", format="mp4" if is_mp4 else "matroska") as container:
            stream = container.add_stream_from_template(streams[0])
            _mux(container, _copied(source, streams[0], stream, length), _spoken(container, sound, length))
    return target


def _copied(
    source: av.container.InputContainer, stream: VideoStream, target: VideoStream, length: Fraction
) -> Iterator[av.Packet]:
    assert stream.time_base is not None
    shift = round(Fraction(source.start_time or 0, av.time_base) / stream.time_base)
    end = round(length / stream.time_base)
    for packet in source.demux(stream):
        if packet.dts is not None and packet.pts is not None:
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.pts < end < packet.pts + (packet.duration or 0):
                packet.duration = end - packet.pts
            packet.stream = target
            yield packet


def _spoken(container: av.container.OutputContainer, sound: Path, length: Fraction | None) -> Iterator[av.Packet]:
    """Yield the sound's packets; with a length, exactly so many seconds of it, silence at its end where it is short."""
    stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="stereo")
    return _pcm(stream, sound, None if length is None else round(length * SAMPLE_RATE_HZ))


def _pcm(stream: av.AudioStream, sound: Path, samples: int | None) -> Iterator[av.Packet]:
    with soundfile.SoundFile(sound) as file:
        end = file.frames if samples is None else samples
        for start in range(0, end, _BLOCK_SAMPLES):
            wanted = min(_BLOCK_SAMPLES, end - start)
            block = file.read(wanted, dtype="int16", always_2d=True)
            block = np.pad(block, ((0, wanted - len(block)), (0, 0)))
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _mux(container: av.container.OutputContainer, *streams: Iterator[av.Packet]) -> None:
    """Write the streams' packets, interleaved by time."""
    for packet in merge(*streams, key=lambda one: (one.dts or 0) * (one.time_base or Fraction(1))):
        container.mux(packet)
