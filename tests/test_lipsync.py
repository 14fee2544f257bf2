"""The three stages of the lip-sync on the sample: two men, of whom the one on the right speaks (8.7 s, 12 frames/s)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr

from language_packs import PARAMETERS
from stages import media as video_files
from stages import sound
from stages.artifacts import (
    Diarization,
    FaceTrack,
    FaceTurn,
    Media,
    Picture,
    Separation,
    SourceVideo,
    SpeakerFaces,
    Trajectory,
    Turn,
    Viseme,
)
from stages.evaluate import evaluate
from stages.lipsync import LipsyncConfig, SpeakerConfig, TrackConfig, assign_faces, drawn_frames, sync, track
from stages.lipsync.track_file import FaceStates
from stages.progress import silent

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
CLOSING_MS = tuple(range(1500, 6500, 700))
SPEAKS_MS = (1000, 6500)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lipsync")


@pytest.fixture(scope="module")
def video() -> SourceVideo:
    return video_files.open_source(SAMPLE)


@pytest.fixture(scope="module")
def clip(video: SourceVideo, folder: Path) -> Media:
    return video_files.ingest(video, video_files.MediaConfig(), folder, silent).at(folder)


@pytest.fixture(scope="module")
def tracked(video: SourceVideo, clip: Media, folder: Path) -> FaceTrack:
    return track(video, clip, TrackConfig(), folder, silent).at(folder)


@pytest.fixture(scope="module")
def voice(clip: Media, folder: Path) -> Separation:
    """The mix taken for the voice: there is little else in this clip."""
    mix, rate_hz = sound.read(clip.file(clip.mix))
    sound.write(folder / "voice_16k.wav", soxr.resample(mix.mean(axis=1), rate_hz, 16_000), 16_000)
    return Separation().at(folder)


def middle_px(tracked: FaceTrack, face: int) -> float:
    return float(FaceStates(tracked, face).landmarks()[..., 0].mean())


@pytest.fixture(scope="module")
def right(tracked: FaceTrack) -> int:
    return max((face.id for face in tracked.faces), key=lambda face: middle_px(tracked, face))


@pytest.fixture(scope="module")
def driven(clip: Media, right: int, folder: Path) -> tuple[SpeakerFaces, Trajectory]:
    """A mouth that opens and closes between 1.0 and 6.5 s, and rests in the remainder of the turn."""
    times_ms = np.load(clip.file(clip.frame_times))
    speaking = (times_ms >= SPEAKS_MS[0]) & (times_ms < SPEAKS_MS[1])
    parameters = np.zeros((len(times_ms), len(PARAMETERS)), dtype=np.float32)
    column = {name: PARAMETERS.index(name) for name in PARAMETERS}
    parameters[:, column["width"]] = 0.5
    since_ms = np.min(np.abs(times_ms[:, None] - np.array(CLOSING_MS)), axis=1)
    parameters[speaking, column["aperture"]] = np.clip(since_ms[speaking] / 350, 0, 0.9)
    parameters[speaking, column["jaw"]] = np.clip(since_ms[speaking] / 500, 0, 0.7)
    parameters[speaking & (since_ms <= 90), column["closure"]] = 1
    visemes = tuple(
        Viseme(line_id=1, ipa="p", viseme="p", start_ms=ms - 60, end_ms=ms + 60, contact="closure") for ms in CLOSING_MS
    )
    np.savez(folder / "trajectory.npz", **{"S1": parameters, "S1.speaking": speaking})
    turn = FaceTurn(speaker="S1", start_ms=300, end_ms=8000, face=right, margin=1.0)
    return SpeakerFaces(turns=(turn,)), Trajectory(speakers=("S1",), visemes=visemes).at(folder)


@pytest.fixture(scope="module")
def picture(
    video: SourceVideo,
    clip: Media,
    tracked: FaceTrack,
    driven: tuple[SpeakerFaces, Trajectory],
    folder: Path,
) -> Picture:
    return sync(video, clip, tracked, *driven, LipsyncConfig(), folder, silent).at(folder)


def test_both_faces_are_followed_through_the_clip(clip: Media, tracked: FaceTrack) -> None:
    assert tracked.shots == ((0, clip.picture.frames - 1),)
    assert len(tracked.faces) == 2
    for face in tracked.faces:
        states = FaceStates(tracked, face.id)
        assert len(states.frames) == clip.picture.frames
        assert np.abs(states.pose).max() < 40
        steps = np.linalg.norm(np.diff(states.landmarks()[:, 1, :2], axis=0), axis=1)
        assert steps.max() < 20  # px: one man, not now one and then the other


def test_the_right_man_speaks(tracked: FaceTrack, clip: Media, voice: Separation, right: int, folder: Path) -> None:
    turns = (Turn(speaker="S1", start_ms=200, end_ms=4000), Turn(speaker="S1", start_ms=4200, end_ms=8500))
    heard = Diarization(turns=turns, speakers=("S1",))
    told = assign_faces(tracked, clip, heard, voice, SpeakerConfig(), folder, silent)
    assert [turn.face for turn in told.turns] == [right, right]
    assert all(turn.margin > 0.15 and not turn.reason for turn in told.turns)


def test_no_face_is_chosen_below_the_margin(tracked: FaceTrack, clip: Media, voice: Separation, folder: Path) -> None:
    heard = Diarization(turns=(Turn(speaker="S1", start_ms=200, end_ms=8500),), speakers=("S1",))
    told = assign_faces(tracked, clip, heard, voice, SpeakerConfig(min_margin=2.0), folder, silent)
    assert told.turns[0].face is None
    assert told.turns[0].reason == "unclear which of 2 faces speaks"


def test_a_mouth_that_does_not_move_does_not_speak(
    tracked: FaceTrack, clip: Media, voice: Separation, right: int, folder: Path
) -> None:
    listener = tuple(face for face in tracked.faces if face.id != right)
    alone = tracked.model_copy(update={"faces": listener}).at(folder)
    heard = Diarization(turns=(Turn(speaker="S1", start_ms=200, end_ms=8500),), speakers=("S1",))
    told = assign_faces(alone, clip, heard, voice, SpeakerConfig(min_motion_iod=0.02), folder, silent)
    assert told.turns[0].face is None and "no mouth moves" in told.turns[0].reason


def test_the_lips_meet_in_every_closing_phone(picture: Picture) -> None:
    (line,) = picture.closures
    # The mouth is 15 px wide here, where landmarks often call closed lips open: those frames were drawn anew.
    assert line.reached == line.expected == len(CLOSING_MS)


def test_the_mouth_follows_the_trajectory_and_rests_in_silence(
    picture: Picture,
    video: SourceVideo,
    clip: Media,
    tracked: FaceTrack,
    driven: tuple[SpeakerFaces, Trajectory],
    tmp_path: Path,
) -> None:
    assert picture.video is not None
    rendered = video_files.open_source(picture.file(picture.video))
    result = evaluate(video, clip, rendered, tracked, *driven, LipsyncConfig(), tmp_path, silent)
    figures = {each.key: each for each in result.total}
    aperture, closures = figures["aperture_correlation"], figures["closure_rate"]
    assert aperture.dub is not None and aperture.source is not None and closures.dub is not None
    assert aperture.dub > 0.85 > 0.3 > aperture.source
    assert figures["offset_frames"].dub == 0
    assert figures["silence_motion"].met
    assert closures.dub >= 0.8


def test_only_the_driven_mouth_changes_and_all_else_is_the_source(
    video: SourceVideo,
    clip: Media,
    tracked: FaceTrack,
    driven: tuple[SpeakerFaces, Trajectory],
    right: int,
    tmp_path: Path,
) -> None:
    states = {face.id: FaceStates(tracked, face.id) for face in tracked.faces}
    times_ms = np.load(clip.file(clip.frame_times))
    sources = video_files.frames(video, clip)
    drawn = drawn_frames(video, clip, tracked, *driven, LipsyncConfig())
    changed = 0
    for (index, bgr, patches), source in zip(drawn, sources, strict=True):
        differs = (bgr != source).any(axis=-1)
        for patch in patches.values():
            differs[patch.box.top : patch.box.bottom, patch.box.left : patch.box.right] &= ~patch.moved
        assert not differs.any()
        for face, known in states.items():
            mouth = known.landmarks(index, index + 1)[0, [0, 17, 61, 291], :2]
            (x0, y0), (x1, y1) = mouth.min(axis=0).astype(int), mouth.max(axis=0).astype(int)
            if face != right or not patches:
                assert np.array_equal(bgr[y0:y1, x0:x1], source[y0:y1, x0:x1])
        if patches:
            changed += 1
            ear = tuple(np.rint(states[right].landmarks(index, index + 1)[0, 10, :2]).astype(int))  # forehead
            assert np.array_equal(bgr[ear[1], ear[0]], source[ear[1], ear[0]])
        elif 300 <= times_ms[index] <= 8000:
            pytest.fail(f"frame {index} of the turn was left as it is")
    assert changed > 0.8 * clip.picture.frames
    assert not list(tmp_path.iterdir())


def test_the_same_input_gives_the_same_bytes(
    picture: Picture,
    video: SourceVideo,
    clip: Media,
    tracked: FaceTrack,
    driven: tuple[SpeakerFaces, Trajectory],
    folder: Path,
    tmp_path: Path,
) -> None:
    track(video, clip, TrackConfig(), tmp_path, silent)
    assert (tmp_path / "track.npz").read_bytes() == (folder / "track.npz").read_bytes()
    again = sync(video, clip, tracked, *driven, LipsyncConfig(), tmp_path, silent)
    assert again.model_dump() == picture.model_dump()
    assert (tmp_path / "picture.mp4").read_bytes() == (folder / "picture.mp4").read_bytes()


def test_progress_never_goes_back(
    video: SourceVideo, clip: Media, tracked: FaceTrack, driven: tuple[SpeakerFaces, Trajectory], tmp_path: Path
) -> None:
    told: list[float] = []
    sync(video, clip, tracked, *driven, LipsyncConfig(), tmp_path, told.append)
    assert told[-1] == pytest.approx(1.0) and all(a <= b for a, b in pairwise(told))


def test_a_face_that_is_too_small_stays_and_the_report_says_so(
    video: SourceVideo,
    clip: Media,
    tracked: FaceTrack,
    driven: tuple[SpeakerFaces, Trajectory],
    tmp_path: Path,
) -> None:
    result = sync(video, clip, tracked, *driven, LipsyncConfig(min_face_px=400), tmp_path, silent)
    assert result.video is None and result.changed_frames == 0
    assert {part.reason for part in result.unsynced} == {"the face is too small"}
    assert not (tmp_path / "picture.mp4").exists()


def test_a_clip_without_a_face_is_left_as_it_is(clip: Media, voice: Separation, make_clip, tmp_path: Path) -> None:
    video = video_files.open_source(make_clip(sounds=[np.zeros(96_000)]))
    media = video_files.ingest(video, video_files.MediaConfig(), tmp_path, silent).at(tmp_path)
    nobody = track(video, media, TrackConfig(), tmp_path, silent).at(tmp_path)
    assert nobody.faces == ()
    heard = Diarization(turns=(Turn(speaker="S1", start_ms=200, end_ms=1800),), speakers=("S1",))
    faces = assign_faces(nobody, media, heard, voice, SpeakerConfig(), tmp_path, silent)
    assert faces.turns[0].face is None and faces.turns[0].reason == "no face"
    frames = media.picture.frames
    arrays = {"S1": np.zeros((frames, len(PARAMETERS)), np.float32), "S1.speaking": np.ones(frames, dtype=bool)}
    np.savez(tmp_path / "trajectory.npz", **arrays)
    trajectory = Trajectory(speakers=("S1",), visemes=()).at(tmp_path)
    result = sync(video, media, nobody, faces, trajectory, LipsyncConfig(), tmp_path, silent)
    assert result.video is None
    assert [part.reason for part in result.unsynced] == ["no face"]
    judged = evaluate(video, media, video, nobody, faces, trajectory, LipsyncConfig(), tmp_path, silent)
    assert judged.faces == () and judged.unsynced == result.unsynced and judged.met
    assert [(each.key, each.dub) for each in judged.total] == [("coverage", 0.0)]
