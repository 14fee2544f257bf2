"""Still pictures and given sounds: what is read, how it lives, what is made of it, and what is refused."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile
from conftest import SAMPLE, MakeClip, tone
from test_bad_input import refused
from test_media import set_display_matrix

from language_packs import PARAMETERS
from stages import media as video_files
from stages import still
from stages.artifacts import (
    Diarization,
    FaceTrack,
    Media,
    Separation,
    SourceVideo,
    SpeakerFaces,
    Trajectory,
    Turn,
    Viseme,
)
from stages.evaluate import evaluate
from stages.lipsync import LipsyncConfig, SpeakerConfig, TrackConfig, assign_faces, sync, track
from stages.lipsync.plan import demands, make_plan
from stages.lipsync.track_file import FaceStates
from stages.pixels import frame_of
from stages.progress import silent
from stages.still import StillConfig, picture
from stages.still.clip import speaking_face
from stages.still.life import Life, blinked

SPEAKER = (slice(0, 119), slice(120, 241))
"""Where the man who speaks is in the sample: odd numbers of px."""
SHUT = 23
"""A frame of the sample in which his lips touch."""


def sample_frame(number: int = 40) -> np.ndarray:
    with av.open(str(SAMPLE)) as container:
        frames = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
        return next(frame for index, frame in enumerate(frames) if index == number)


def save(path: Path, bgr: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), bgr)
    return path


def save_sound(path: Path, seconds: float, rate_hz: int = 22_050) -> Path:
    """A file of another rate than the one worked with, mono."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * time_s), rate_hz)
    return path


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    return save(tmp_path / "portrait.png", sample_frame()[SPEAKER])


# What is a picture, and its pixels


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert EXIF data that say how a JPEG is to be turned."""
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + b"\x00" * 4
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def animated(png: bytes) -> bytes:
    """Insert the chunk that makes a PNG an animation."""
    body = b"acTL" + struct.pack(">II", 2, 0)
    return png[:33] + struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


def test_a_jpeg_is_turned_upright(tmp_path: Path) -> None:
    bgr = np.zeros((20, 40, 3), np.uint8)
    bgr[:, :20] = 255  # white on the left
    jpeg = save(tmp_path / "plain.jpg", bgr).read_bytes()
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(with_orientation(jpeg, 6))  # shown a quarter clockwise: white above
    upright = picture.read(turned)
    assert upright.shape == (40, 20, 3) and upright[:15].min() > 240 and upright[25:].max() < 15


def test_transparent_grey_and_deep_pictures_become_plain_ones(tmp_path: Path) -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    assert (picture.read(save(tmp_path / "clear.png", clear)) == 255).all()
    grey = np.full((8, 8), 77, np.uint8)
    assert (picture.read(save(tmp_path / "grey.png", grey)) == 77).all()
    deep = np.full((8, 8, 3), 257 * 90, np.uint16)
    assert (picture.read(save(tmp_path / "deep.png", deep)) == 90).all()


def test_sizes_are_even_and_sensible() -> None:
    odd = np.arange(21 * 33 * 3, dtype=np.uint16).astype(np.uint8).reshape(21, 33, 3)
    even = picture.sized(odd, 1920, 1920 * 1080)
    assert even.shape == (20, 32, 3) and (even == odd[:20, :32]).all()  # cut, not scaled
    assert picture.sized(np.zeros((3001, 1001, 3), np.uint8), 1920, 10**9).shape == (1920, 640, 3)
    height, width = picture.sized(np.zeros((3000, 3000, 3), np.uint8), 1920, 1920 * 1080).shape[:2]
    assert height == width and 0.98 < height * width / (1920 * 1080) <= 1
    assert picture.sized(np.zeros((1, 9, 3), np.uint8), 1920, 10**9).shape == (2, 8, 3)


def test_a_still_video_is_told_from_a_moving_one(tmp_path: Path, make_clip: MakeClip) -> None:
    path = tmp_path / "still.mp4"
    bgr, noise = sample_frame(), np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(40):
            grainy = np.clip(bgr + noise.normal(0, 1, bgr.shape), 0, 255).astype(np.uint8)
            out.mux(stream.encode(frame_of(grainy, stream.codec_context)))
        out.mux(stream.encode(None))
    found = picture.of_still_video(path)
    assert found is not None and found.shape == (240, 320, 3)
    assert abs(found.mean() - bgr.mean()) < 0.5  # neither darker nor lighter
    assert picture.of_still_video(SAMPLE) is None
    assert picture.of_still_video(make_clip()) is None  # a slow fade


# Life


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    bgr = picture.sized(cv2.resize(sample_frame()[SPEAKER], None, fx=2, fy=2), 1920, 10**9)
    return bgr, speaking_face(bgr, "portrait", 1.25).landmarks


def test_blinks_come_15_to_20_times_a_minute_and_last_about_150_ms(face: tuple[np.ndarray, np.ndarray]) -> None:
    life = Life(*face, StillConfig(), seed="0123456789abcdef")
    times_s = np.arange(0, 600, 0.01)
    closed = np.array([life.closed(time_s) for time_s in times_s])
    starts = times_s[1:][np.diff((closed > 0.5).astype(int)) == 1]
    assert 15 <= len(starts) / 10 <= 20
    pauses = np.diff(starts)
    assert pauses.min() > 1 and np.std(pauses) > 0.8  # no metronome
    assert 0.1 < (closed > 0.5).mean() * 600 / len(starts) < 0.2
    assert max(closed) == 1.0
    again = Life(*face, StillConfig(), seed="0123456789abcdef")
    assert again.closed(float(starts[-1])) == life.closed(float(starts[-1]))  # whatever was asked before
    other = Life(*face, StillConfig(), seed="fedcba9876543210")
    assert [other.closed(time_s) for time_s in times_s[:2000]] != closed[:2000].tolist()


def test_a_blink_covers_the_iris_with_skin_and_changes_nothing_else(face: tuple[np.ndarray, np.ndarray]) -> None:
    bgr, landmarks = face
    shut = blinked(bgr, landmarks, 1.0)
    changed = np.abs(shut.astype(int) - bgr).max(axis=-1) > 0
    y = np.nonzero(changed)[0]
    eyes = landmarks[[33, 133, 362, 263, 225, 445, 145, 374], :2]
    assert (y >= eyes[:, 1].min() - 6).all() and (y <= eyes[:, 1].max() + 6).all()
    for iris in (468, 473):
        center = np.rint(landmarks[iris, :2]).astype(int)
        part = (slice(center[1] - 1, center[1] + 2), slice(center[0] - 1, center[0] + 2))
        assert shut[part].mean() > bgr[part].mean() + 10


def test_the_head_sways_a_little_and_the_picture_around_it_stands_still(face: tuple[np.ndarray, np.ndarray]) -> None:
    bgr = np.ascontiguousarray(cv2.copyMakeBorder(face[0], 300, 300, 300, 300, cv2.BORDER_REFLECT_101))
    landmarks = face[1] + np.array([300, 300, 0])
    life = Life(bgr, landmarks, StillConfig(blinks_per_min=0), seed="0123456789abcdef")
    sway = np.array([life.sway(time_s) for time_s in np.arange(0, 60, 0.04)])
    lean_deg = np.degrees(sway[:, 0])
    assert 0.3 < lean_deg.std() < 1 and np.abs(lean_deg).max() < 2
    assert np.abs(np.diff(lean_deg)).max() < 0.1  # smooth
    frames = [life.frame(time_s) for time_s in (1.0, 4.0)]
    assert (frames[0] != frames[1]).any()
    for frame in frames:
        assert (frame[:60] == bgr[:60]).all() and (frame[:, :60] == bgr[:, :60]).all()
    still_one = Life(bgr, landmarks, StillConfig(blinks_per_min=0, sway_deg=0), seed="0123456789abcdef")
    assert (still_one.frame(3.0) == bgr).all()


# The clip


def composed(video: SourceVideo, out: Path, config: StillConfig | None = None) -> tuple[SourceVideo, Media]:
    out.mkdir()
    clip = still.compose(video, None, config or StillConfig(), out, silent).at(out)
    source = clip.source(video)
    return source, video_files.ingest(source, video_files.MediaConfig(), out, silent).at(out)


def test_a_portrait_lasts_as_long_as_its_sound(portrait: Path, tmp_path: Path) -> None:
    sound = save_sound(tmp_path / "sound.wav", 2.35)
    before = [hashlib.sha256(path.read_bytes()).digest() for path in (portrait, sound)]
    video = still.open_inputs(portrait, sound)
    assert still.is_needed(video)
    source, media = composed(video, tmp_path / "a")
    assert (media.picture.width_px, media.picture.height_px) == (360, 354)  # its small face is enlarged
    assert media.picture.frames == 59 and media.picture.fps == 25
    assert media.duration_ms == 2350 and media.is_still and media.speaks_in_picture
    assert media.file_name == "portrait.png" and len(media.sounds) == 1
    heard, _ = soundfile.read(media.file(media.mix))
    assert np.abs(heard).max() > 0.15
    again, _ = composed(video, tmp_path / "b")
    assert again.sha256 == source.sha256
    assert [hashlib.sha256(path.read_bytes()).digest() for path in (portrait, sound)] == before
    first = next(video_files.frames(source, media))
    enlarged = cv2.resize(sample_frame()[:118, 120:240], None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert np.abs(first.astype(int) - enlarged).mean() < 8  # swayed, but the same


@pytest.mark.parametrize("seconds", [1.0, 12.0])
def test_a_video_keeps_its_frames_and_its_length(tmp_path: Path, seconds: float) -> None:
    video = still.open_inputs(SAMPLE, save_sound(tmp_path / "sound.wav", seconds))
    source, media = composed(video, tmp_path / "a")
    own_folder = tmp_path / "own"
    own_folder.mkdir()
    own = video_files.ingest(video_files.open_source(SAMPLE), video_files.MediaConfig(), own_folder, silent)
    own = own.at(own_folder)
    times, own_times = (np.load(each.file(each.frame_times)) for each in (media, own))
    assert np.abs(times - own_times).max() < 0.01
    assert media.picture.end_ms == media.duration_ms == own.picture.end_ms
    assert not media.is_still and media.speaks_in_picture
    mix, rate_hz = soundfile.read(media.file(media.mix))
    inside = mix[: int(min(seconds, 8.7) * rate_hz), 0]
    assert np.abs(inside[-2000:]).max() > 0.15
    assert not mix[int(seconds * rate_hz) + 2000 :].any()
    pairs = zip(video_files.frames(source, media), video_files.frames(video, own), strict=True)
    assert all((one == other).all() for one, other in pairs)


def test_a_turned_video_stays_turned(tmp_path: Path, make_clip: MakeClip) -> None:
    upright, turned = make_clip(), tmp_path / "turned.mp4"
    set_display_matrix(turned, upright)
    _, media = composed(still.open_inputs(turned, save_sound(tmp_path / "sound.wav", 1)), tmp_path / "a")
    assert media.picture.rotation_deg == 90 and (media.picture.width_px, media.picture.height_px) == (48, 64)


def test_a_still_video_with_its_own_sound_comes_to_life_in_its_own_length(tmp_path: Path) -> None:
    path = tmp_path / "cover.mkv"
    bgr = np.ascontiguousarray(sample_frame()[:118, 120:240])
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 120, 118, "yuv420p"
        tracks = [out.add_stream("pcm_s16le", rate=48_000, layout="mono") for _ in range(2)]
        for _ in range(20):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(bgr, format="bgr24")))
        out.mux(stream.encode(None))
        for track, level in zip(tracks, (0, 9000), strict=True):
            frame = av.AudioFrame.from_ndarray(np.full((1, 144_000), level, np.int16), format="s16", layout="mono")
            frame.sample_rate = 48_000
            out.mux(track.encode(frame))
    video = still.open_inputs(path, None)
    assert still.is_needed(video) and not still.is_needed(still.open_inputs(SAMPLE, None))
    folder = tmp_path / "a"
    folder.mkdir()
    clip = still.compose(video, 2, StillConfig(), folder, silent).at(folder)
    second = video_files.MediaConfig(audio_track=2)
    media = video_files.ingest(clip.source(video), second, folder, silent).at(folder)
    assert media.is_still and media.speaks_in_picture and media.file_name == "cover.mkv"
    assert media.picture.end_ms == 2000 and media.picture.fps == 25
    assert soundfile.read(media.file(media.mix))[0].max() > 0.15  # the second track


# Who speaks in it, and how it looks


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[SourceVideo, Media, FaceTrack, Path]:
    folder = tmp_path_factory.mktemp("spoken")
    bgr = cv2.resize(sample_frame(SHUT)[SPEAKER], None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    sound = save_sound(folder / "sound.wav", 4)
    video = still.open_inputs(save(folder / "portrait.png", bgr), sound)
    source, media = composed(video, folder / "clip")
    tracked = track(source, media, TrackConfig(), folder, silent).at(folder)
    return source, media, tracked, folder


@pytest.fixture(scope="module")
def faces(spoken: tuple[SourceVideo, Media, FaceTrack, Path]) -> SpeakerFaces:
    _, media, tracked, folder = spoken
    heard = Diarization(turns=(Turn(speaker="S1", start_ms=0, end_ms=4000),), speakers=("S1",))
    soundfile.write(folder / "voice_16k.wav", tone(4)[::3], 16_000)
    return assign_faces(tracked, media, heard, Separation().at(folder), SpeakerConfig(), folder, silent)


@pytest.fixture(scope="module")
def trajectory(spoken: tuple[SourceVideo, Media, FaceTrack, Path]) -> Trajectory:
    """Open and shut every 600 ms; the jaw goes along."""
    _, media, _, folder = spoken
    times_ms = np.load(media.file(media.frame_times))
    parameters = np.zeros((len(times_ms), len(PARAMETERS)), dtype=np.float32)
    column = {name: PARAMETERS.index(name) for name in PARAMETERS}
    since_ms = np.abs((times_ms + 300) % 600 - 300)
    parameters[:, column["width"]] = 0.5
    parameters[:, column["aperture"]] = np.clip(since_ms / 330, 0, 0.9)
    parameters[:, column["jaw"]] = np.clip(since_ms / 400, 0, 0.7)
    parameters[since_ms <= 60, column["closure"]] = 1
    closing = [
        Viseme(line_id=1, ipa="p", viseme="p", start_ms=ms - 60, end_ms=ms + 60, contact="closure")
        for ms in range(600, 3600, 600)
    ]
    np.savez(folder / "trajectory.npz", **{"S1": parameters, "S1.speaking": np.ones(len(times_ms), dtype=bool)})
    return Trajectory(speakers=("S1",), visemes=tuple(closing)).at(folder)


def test_the_face_of_a_portrait_has_the_voice(
    spoken: tuple[SourceVideo, Media, FaceTrack, Path], faces: SpeakerFaces
) -> None:
    _, media, tracked, folder = spoken
    assert [turn.face for turn in faces.turns] == [tracked.faces[0].id]
    assert faces.turns[0].reason == ""
    # The same mouth in a video whose sound is its own: it keeps silent.
    own = media.model_copy(update={"speaks_in_picture": False}).at(media.file(""))
    heard = Diarization(turns=(Turn(speaker="S1", start_ms=0, end_ms=4000),), speakers=("S1",))
    refused_turn = assign_faces(tracked, own, heard, Separation().at(folder), SpeakerConfig(), folder, silent).turns[0]
    assert refused_turn.face is None and "no mouth moves" in refused_turn.reason


def test_a_portrait_speaks_with_a_drawn_mouth(
    spoken: tuple[SourceVideo, Media, FaceTrack, Path], faces: SpeakerFaces, trajectory: Trajectory
) -> None:
    source, media, tracked, folder = spoken
    made = sync(source, media, tracked, faces, trajectory, LipsyncConfig(), folder, silent).at(folder)
    assert made.changed_frames == media.picture.frames and made.unsynced == ()
    assert [(line.reached, line.expected) for line in made.closures] == [(5, 5)]
    rendered = video_files.open_source(made.file("picture.mp4"))
    judged = evaluate(source, media, rendered, tracked, faces, trajectory, LipsyncConfig(), folder, silent)
    figures = {each.key: each for each in judged.total}
    assert (figures["closure_rate"].dub or 0) == 1
    assert (figures["aperture_correlation"].dub or 0) > 0.95
    assert 0.7 < (figures["aperture_std_ratio"].dub or 0) < 1.2
    assert figures["outside_mask"].dub == 0 and figures["coverage"].dub == 1
    assert figures["closure_rate"].source is None and figures["flicker"].dub is None  # nothing to compare with


def test_a_mouth_that_never_opens_is_told_by_its_motion(
    spoken: tuple[SourceVideo, Media, FaceTrack, Path], faces: SpeakerFaces, trajectory: Trajectory
) -> None:
    _, media, tracked, _ = spoken
    times_ms = np.load(media.file(media.frame_times))
    ((face, demand),) = demands(faces, trajectory, media).items()
    plan = make_plan(FaceStates(tracked, face), {0}, demand, times_ms, LipsyncConfig())
    assert plan.never_opens
    assert plan.reach.aperture_95 >= 0.1 and plan.reach.jaw_95 - plan.reach.rest[2] > 0.04
    assert plan.target[:, 0].max() == pytest.approx(plan.reach.aperture_95, rel=0.1)


# What is refused


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_unusable_pictures_and_sounds(
    capsys: pytest.CaptureFixture[str], portrait: Path, tmp_path: Path, out: Path, make_clip: MakeClip
) -> None:
    sound = save_sound(tmp_path / "sound.wav", 1.5)
    gif, moving, half, empty_face, pair, mute, text = (
        tmp_path / name for name in ("a.gif", "moving.png", "half.jpg", "wall.png", "pair.png", "mute.mp4", "text.wav")
    )
    gif.write_bytes(b"GIF89a" + bytes(100))
    moving.write_bytes(animated(portrait.read_bytes()))
    jpeg = save(tmp_path / "whole.jpg", sample_frame()).read_bytes()
    half.write_bytes(jpeg[: len(jpeg) // 2])
    save(empty_face, np.full((240, 320, 3), 128, np.uint8))
    bgr = cv2.resize(sample_frame()[SPEAKER], None, fx=2, fy=2)
    save(pair, np.hstack([bgr, bgr[:, ::-1]]))
    mute = make_clip("mute.mp4")
    text.write_text("Dear diary\n" * 99)
    for given, heard, message in (
        (portrait, None, "a picture needs --audio SOUND"),
        (gif, sound, "is a GIF picture; save it as PNG or JPEG"),
        (moving, sound, "is an animated PNG picture"),
        (half, sound, "cannot be read as a picture"),
        (empty_face, sound, "wall.png: no face was found"),
        (pair, sound, "2 faces of like size"),
        (portrait, tmp_path / "nothing.wav", "nothing.wav: no such file"),
        (portrait, mute, "mute.mp4 has no sound"),
        (portrait, text, "text.wav cannot be read as a sound"),
        (portrait, tmp_path, "is a folder; give one sound file"),
    ):
        arguments = ["--to", "pt-BR", "--out", out, "--work", tmp_path / "work"]
        arguments += [] if heard is None else ["--audio", heard]
        assert message in refused(capsys, 2, out, "translate", given, *arguments)


def test_a_given_sound_has_no_tracks_to_choose_from(
    capsys: pytest.CaptureFixture[str], portrait: Path, tmp_path: Path, out: Path
) -> None:
    sound = save_sound(tmp_path / "sound.wav", 1)
    line = refused(
        capsys, 2, out, "translate", portrait, "--audio", sound, "--audio-track", 2, "--to", "en", "--out", out
    )
    assert "give one of them" in line
