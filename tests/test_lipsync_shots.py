"""Cuts, faces that leave and return, two speakers in one picture, a small face: on clips made from real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import soxr
from conftest import CLIPS
from made_clips import (
    frames_of,
    moved_aside,
    pasted,
    side_by_side,
    sound_of,
    textured,
    write_clip,
    zoomed,
)

from language_packs import PARAMETERS
from stages import media as video_files
from stages import sound
from stages.artifacts import (
    Diarization,
    FaceTrack,
    FaceTurn,
    Media,
    Separation,
    SourceVideo,
    SpeakerFaces,
    Trajectory,
    Turn,
    Viseme,
)
from stages.evaluate import evaluate
from stages.lipsync import LipsyncConfig, SpeakerConfig, TrackConfig, assign_faces, drawn_frames, sync, track
from stages.lipsync.render import painting, plan_faces
from stages.lipsync.track_file import FaceStates
from stages.progress import silent

FPS = 25
UNSEEN, NO_FACE = "the face is not seen", "no face"


@dataclass(frozen=True)
class Made:
    """A clip made of others, tracked."""

    folder: Path
    video: SourceVideo
    media: Media
    track: FaceTrack

    @property
    def shots(self) -> list[tuple[int, int]]:
        return list(self.track.shots)

    def states(self, face: int) -> FaceStates:
        return FaceStates(self.track, face)

    def turns(self, face: int, first: int, last: int, speaker: str = "S1") -> FaceTurn:
        return FaceTurn(speaker=speaker, start_ms=first * 40, end_ms=(last + 1) * 40, face=face, margin=1.0)


Make = Callable[[str, Iterable[np.ndarray], np.ndarray], Made]


@pytest.fixture(scope="module")
def talker_a() -> Path:
    return real("talker-a.mp4")


@pytest.fixture(scope="module")
def talker_b() -> Path:
    return real("talker-b.mp4")


def real(name: str) -> Path:
    if not (CLIPS / name).is_file():
        pytest.skip(f"the real clip {name} is not on this machine")
    return CLIPS / name


@pytest.fixture(scope="module")
def woman(talker_b: Path) -> list[np.ndarray]:
    return list(frames_of(talker_b, count=150))


@pytest.fixture(scope="module")
def man(talker_a: Path) -> list[np.ndarray]:
    """At 25 frames/s, cropped around the face."""
    every = [cv2.resize(bgr[:, 180:900], (512, 512)) for bgr in frames_of(talker_a, count=180)]
    return [every[round(frame * 30 / FPS)] for frame in range(150)]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def made(name: str, frames: Iterable[np.ndarray], voice: np.ndarray) -> Made:
        folder = tmp_path_factory.mktemp(name)
        video = video_files.open_source(write_clip(folder / f"{name}.mp4", frames, voice, FPS))
        media = video_files.ingest(video, video_files.MediaConfig(), folder, silent).at(folder)
        return Made(folder, video, media, track(video, media, TrackConfig(), folder, silent).at(folder))

    return made


def driven(made: Made, *speakers: str) -> Trajectory:
    """Mouths that open and close twice a second through the whole clip."""
    times_ms = np.load(made.media.file(made.media.frame_times))
    closing_ms = np.arange(500, times_ms[-1] - 200, 500)
    parameters = np.zeros((len(times_ms), len(PARAMETERS)), dtype=np.float32)
    column = {name: PARAMETERS.index(name) for name in PARAMETERS}
    since_ms = np.min(np.abs(times_ms[:, None] - closing_ms), axis=1)
    parameters[:, column["width"]] = 0.5
    parameters[:, column["aperture"]] = np.clip(since_ms / 300, 0, 0.7)
    parameters[:, column["jaw"]] = np.clip(since_ms / 400, 0, 0.6)
    parameters[since_ms <= 60, column["closure"]] = 1
    arrays: dict[str, np.ndarray] = {}
    for speaker in speakers:
        arrays |= {speaker: parameters, f"{speaker}.speaking": np.ones(len(times_ms), dtype=bool)}
    np.savez(made.folder / "trajectory.npz", **arrays)  # type: ignore[arg-type]
    visemes = [
        Viseme(line_id=1, ipa="p", viseme="p", start_ms=int(ms) - 40, end_ms=int(ms) + 40, contact="closure")
        for ms in closing_ms
    ]
    return Trajectory(speakers=speakers, visemes=tuple(visemes)).at(made.folder)


# cuts


@pytest.fixture(scope="module")
def cut(make: Make, woman: list[np.ndarray], talker_b: Path) -> Made:
    """Full, zoomed, full again: 1.6 s each."""
    frames = [zoomed(bgr, 1.4, 0.5, 0.45) if 40 <= index < 80 else bgr for index, bgr in enumerate(woman[:120])]
    return make("cut", frames, sound_of(talker_b, 0, 4.8))


def test_one_person_is_one_face_across_cuts_and_nothing_is_smoothed_over_them(cut: Made) -> None:
    assert cut.shots == [(0, 39), (40, 79), (80, 119)]
    (face,) = cut.track.faces
    states = cut.states(face.id)
    assert states.frames.tolist() == list(range(120))
    heights = np.ptp(states.landmarks()[..., 1], axis=1)
    for before, after in ((39, 40), (80, 79)):
        assert heights[after] / heights[before] == pytest.approx(1.4, abs=0.1)
    steps = np.abs(np.diff(heights)) / heights[1:]
    assert np.delete(steps, [39, 79]).max() < 0.08


def test_every_shot_is_driven_and_every_closure_reached(cut: Made, tmp_path: Path) -> None:
    (face,) = cut.track.faces
    turns = tuple(cut.turns(face.id, first, last) for first, last in cut.shots)
    result = sync(
        cut.video, cut.media, cut.track, SpeakerFaces(turns=turns), driven(cut, "S1"), LipsyncConfig(), tmp_path, silent
    )
    assert result.changed_frames == 120 and not result.unsynced
    (line,) = result.closures
    assert line.reached == line.expected == 9


def test_a_mouth_is_not_enlarged_into_a_closer_shot(cut: Made, tmp_path: Path) -> None:
    (face,) = cut.track.faces
    turns = tuple(cut.turns(face.id, first, last) for first, last in cut.shots)
    _, plans = plan_faces(cut.media, cut.track, SpeakerFaces(turns=turns), driven(cut, "S1"), LipsyncConfig())
    plan = plans[face.id]
    with painting(cut.track, plans, LipsyncConfig()):
        picks = plan.picks[:, 0]
    enlarged = plan.face_px / plan.face_px[picks]
    assert (picks >= 0).all() and enlarged.max() <= 1.15
    far = np.abs(plan.states.pose[picks, :2] - plan.states.pose[:, :2]).max(axis=1)
    assert far[plan.shot != plan.shot[picks]].max(initial=0) <= 12
    assert (plan.shot[40:80] == plan.shot[picks[40:80]]).all()


# a face that leaves and returns


def left_as_it_is(made: Made, faces: SpeakerFaces, gone: range, tmp_path: Path) -> None:
    """Check that the frames without the face are the source's, and that the report names them and no others."""
    trajectory = driven(made, "S1")
    args = made.video, made.media, made.track, faces, trajectory, LipsyncConfig(), tmp_path, silent
    changed = [bool(patches) for _, _, patches in drawn_frames(*args[:6])]
    assert changed == [index not in gone for index in range(len(changed))]
    result = sync(*args)
    assert [(part.first_frame, part.last_frame) for part in result.unsynced] == [(gone[0], gone[-1])]
    assert {part.reason for part in result.unsynced} <= {UNSEEN, NO_FACE}
    assert sum(line.reached for line in result.closures) == sum(line.expected for line in result.closures) > 0
    expected_ms = [500 * n for n in range(1, 20) if 500 * n < 40 * len(changed) - 240]
    assert sum(line.expected for line in result.closures) <= sum(ms // 40 not in gone for ms in expected_ms)


def heard(made: Made, *turns: Turn) -> SpeakerFaces:
    mix, rate_hz = sound.read(made.media.file(made.media.mix))
    sound.write(made.folder / "voice_16k.wav", soxr.resample(mix.mean(axis=1), rate_hz, 16_000), 16_000)
    diarization = Diarization(turns=turns, speakers=tuple(dict.fromkeys(turn.speaker for turn in turns)))
    diarization = diarization.at(made.folder)
    np.savez(made.folder / "embeddings.npz", S1=np.eye(256)[0], S2=np.eye(256)[1])
    voice = Separation().at(made.folder)
    return assign_faces(made.track, made.media, diarization, voice, SpeakerConfig(), made.folder, silent)


def test_a_face_that_is_cut_away_from_returns_as_the_same(
    make: Make, woman: list[np.ndarray], talker_b: Path, tmp_path: Path
) -> None:
    frames = [np.zeros_like(bgr) if 40 <= index < 90 else bgr for index, bgr in enumerate(woman[:130])]
    made = make("black", frames, sound_of(talker_b, 0, 5.2))
    (face,) = made.track.faces
    assert made.states(face.id).frames.tolist() == [*range(40), *range(90, 130)]
    faces = heard(made, Turn(speaker="S1", start_ms=0, end_ms=5200))
    assert [turn.face for turn in faces.turns] == [face.id, None, face.id]
    left_as_it_is(made, faces, range(40, 90), tmp_path)


def test_another_person_is_another_face(
    make: Make, woman: list[np.ndarray], man: list[np.ndarray], talker_b: Path
) -> None:
    frames = [*woman[:30], *man[:30], *woman[30:60], *(zoomed(bgr, 1.2) for bgr in man[30:60])]
    made = make("other", frames, sound_of(talker_b, 0, 4.8))
    seen = {face.id: made.states(face.id).frames.tolist() for face in made.track.faces}
    assert sorted(seen.values()) == [[*range(30), *range(60, 90)], [*range(30, 60), *range(90, 120)]]


def test_a_face_that_walks_out_and_comes_back_is_the_same(
    make: Make, woman: list[np.ndarray], talker_b: Path, tmp_path: Path
) -> None:
    away = np.interp(np.arange(130), [20, 45, 85, 110], [0, 1, 1, 0])
    frames = [moved_aside(bgr, float(share)) for bgr, share in zip(woman[:130], away, strict=True)]
    made = make("walks", frames, sound_of(talker_b, 0, 5.2))
    (face,) = made.track.faces
    states = made.states(face.id)
    gone = sorted(set(range(130)) - set(states.frames.tolist()))
    assert gone == list(range(gone[0], gone[-1] + 1)) and 25 <= gone[0] <= 45 and 85 <= gone[-1] <= 112
    faces = SpeakerFaces(turns=(made.turns(face.id, 0, 129),))
    left_as_it_is(made, faces, range(gone[0], gone[-1] + 1), tmp_path)
    _, plans = plan_faces(made.media, made.track, faces, driven(made, "S1"), LipsyncConfig())
    strength = dict(zip(states.frames.tolist(), plans[face.id].strength.tolist(), strict=True))
    assert strength[gone[0] - 1] < 0.2 and strength[gone[-1] + 1] < 0.2
    assert all(abs(a - b) < 0.25 for (i, a), (j, b) in pairwise(strength.items()) if j == i + 1)


# two speakers in one picture


def two_speakers(make: Make, name: str, left: list[np.ndarray], right: list[np.ndarray], voice: np.ndarray) -> Made:
    return make(name, side_by_side(left, right, 360), voice)


@pytest.mark.parametrize("other_moves", [False, True])
def test_each_speaks_in_turn_and_the_other_is_not_touched(
    make: Make,
    woman: list[np.ndarray],
    man: list[np.ndarray],
    talker_a: Path,
    talker_b: Path,
    other_moves: bool,
    tmp_path: Path,
) -> None:
    if other_moves:
        left, right = man[:150], [*woman[75:150], *woman[:75]]
    else:
        left, right = [*man[:75], *[man[74]] * 75], [*[woman[0]] * 75, *woman[:75]]
    voice = np.concatenate([sound_of(talker_a, 0, 3), sound_of(talker_b, 0, 3)])
    made = two_speakers(make, f"two_{other_moves}", left, right, voice)
    by_place = sorted(made.track.faces, key=lambda face: float(made.states(face.id).landmarks()[..., 0].mean()))
    his, hers = (face.id for face in by_place)
    assert all(len(made.states(face).frames) == 150 for face in (his, hers))
    turns = Turn(speaker="S1", start_ms=0, end_ms=3000), Turn(speaker="S2", start_ms=3000, end_ms=6000)
    faces = heard(made, *turns)
    assert {(turn.speaker, turn.face) for turn in faces.turns} == {("S1", his), ("S2", hers)}
    args = made.video, made.media, made.track, faces, spoken_in_turn(made), LipsyncConfig(), tmp_path, silent
    for (index, bgr, patches), source in zip(
        drawn_frames(*args[:6]), video_files.frames(made.video, made.media), strict=True
    ):
        if index in (*range(10, 65), *range(85, 140)):
            speaks, listens = (slice(0, 360), slice(360, 720)) if index < 75 else (slice(360, 720), slice(0, 360))
            assert np.array_equal(bgr[:, listens], source[:, listens]), index
            assert set(patches) == {his if index < 75 else hers}
            assert not np.array_equal(bgr[:, speaks], source[:, speaks]), index


def test_a_voice_from_outside_does_not_move_the_face_of_another_speaker(
    make: Make, man: list[np.ndarray], talker_a: Path, talker_b: Path
) -> None:
    made = make(
        "outside", (bgr[::2, ::2] for bgr in man), np.concatenate([sound_of(talker_a, 0, 3), sound_of(talker_b, 0, 3)])
    )
    (face,) = made.track.faces
    faces = heard(made, Turn(speaker="S1", start_ms=0, end_ms=3000), Turn(speaker="S2", start_ms=3000, end_ms=6000))
    assert [turn.face for turn in faces.turns] == [face.id, None]
    assert faces.turns[1].reason == "the face in the picture has another voice"


def spoken_in_turn(made: Made) -> Trajectory:
    trajectory = driven(made, "S1", "S2")
    with np.load(made.folder / "trajectory.npz") as stored:
        arrays = dict(stored)
    arrays["S1.speaking"][75:] = False
    arrays["S2.speaking"][:75] = False
    np.savez(made.folder / "trajectory.npz", **arrays)
    return trajectory


# a small face in a tall picture


def test_a_small_face_in_a_tall_picture_is_found_and_driven(
    make: Make, woman: list[np.ndarray], talker_b: Path, tmp_path: Path
) -> None:
    background = textured(1080, 1920)
    side = 312  # the face is 192 px high
    small = (cv2.resize(bgr, (side, side), interpolation=cv2.INTER_AREA) for bgr in islice(woman, 50))
    made = make("small", (pasted(background, bgr, 560, 900) for bgr in small), sound_of(talker_b, 0, 2))
    (face,) = made.track.faces
    states = made.states(face.id)
    assert states.frames.tolist() == list(range(50))
    assert np.median(np.ptp(states.landmarks()[..., 1], axis=1)) == pytest.approx(192, abs=15)
    faces, trajectory = SpeakerFaces(turns=(made.turns(face.id, 0, 49),)), driven(made, "S1")
    result = sync(made.video, made.media, made.track, faces, trajectory, LipsyncConfig(), tmp_path, silent).at(tmp_path)
    assert result.changed_frames == 50 and not result.unsynced and result.video is not None
    (line,) = result.closures
    assert line.reached == line.expected
    judged = evaluate(
        made.video,
        made.media,
        video_files.open_source(result.file(result.video)),
        made.track,
        faces,
        trajectory,
        LipsyncConfig(),
        tmp_path,
        silent,
    )
    figures = {each.key: each.dub for each in judged.total}
    assert (figures["closure_rate"] or 0) >= 0.99 and (figures["aperture_correlation"] or 0) > 0.9
    assert figures["offset_frames"] == 0
