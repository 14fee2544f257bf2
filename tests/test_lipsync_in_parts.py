"""A clip whose lips are moved in parts: the picture is that of the whole, whatever happens between the parts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from conftest import SAMPLE
from driven_scene import made_speech
from made_clips import frames_of, sound_of, write_clip, zoomed

from flows.job import Job, Runner, whole
from language_packs import PARAMETERS
from stages import lipsync, pipeline
from stages import media as video_files
from stages.artifacts import (
    FaceTrack,
    FaceTurn,
    Media,
    Picture,
    PicturePart,
    PictureParts,
    PicturePlan,
    SourceVideo,
    SpeakerFaces,
    Trajectory,
    Viseme,
)
from stages.errors import InputError
from stages.lipsync import LipsyncConfig, parts, render
from stages.lipsync.parts import part_spans
from stages.lipsync.splice import Piece, join
from stages.lipsync.track_file import FaceStates
from stages.picture_writer import EncodeConfig, PictureWriter, frame_stamps, picture_groups
from stages.progress import Progress, silent
from stages.settings import Settings, load
from stages.store import Stage

SHOTS = ((0, 35), (36, 47), (48, 71))
"""The middle one is zoomed."""
QUIET_MS = 4700
"""From then on nobody speaks."""
PART_S = 1.5
CONFIG = LipsyncConfig(part_s=PART_S)
# Never the same twice in a row, and no multiple of each other.
TIMES_MS = np.concatenate([[0], np.cumsum(np.resize([67, 83, 101, 79], 71))])


@dataclass(frozen=True)
class Scene:
    """The sample with cuts and uneven frame times; the man on the right speaks."""

    video: SourceVideo
    media: Media
    track: FaceTrack
    faces: SpeakerFaces
    trajectory: Trajectory

    @property
    def cuts(self) -> list[int]:
        return [first for first, _ in self.track.shots]

    @property
    def times_ms(self) -> np.ndarray:
        return np.load(self.media.file(self.media.frame_times))


class Recording(PictureWriter):
    """Keeps what it is given to encode, by number of the frame."""

    seen: dict[int, np.ndarray]

    def write(self, bgr: np.ndarray) -> None:
        assert self._next not in self.seen
        self.seen[self._next] = bgr.copy()
        super().write(bgr)


@dataclass(frozen=True)
class Made:
    """The picture made in one stage and in parts, with the frames that were encoded."""

    single: Picture
    single_frames: dict[int, np.ndarray]
    plan: PicturePlan
    parts: list[PicturePart]
    joined: Picture
    part_frames: dict[int, np.ndarray]


def trajectory_of(folder: Path, quickened_from_ms: float = np.inf) -> Trajectory:
    """A mouth that closes twice a second; three times from some time on."""
    steady, quick = np.arange(300, 5200, 500), np.arange(300, 5200, 333)
    closing_ms = np.concatenate([steady[steady < quickened_from_ms], quick[quick >= quickened_from_ms]])
    folder.mkdir(exist_ok=True)
    speaking = TIMES_MS < QUIET_MS
    away_ms = np.min(np.abs(TIMES_MS[:, None] - closing_ms), axis=1)
    parameters = np.zeros((len(TIMES_MS), len(PARAMETERS)), dtype=np.float32)
    parameters[:, PARAMETERS.index("width")] = 0.5
    for name, slope_ms, most in (("aperture", 300, 0.8), ("jaw", 400, 0.6)):
        parameters[speaking, PARAMETERS.index(name)] = np.clip(away_ms[speaking] / slope_ms, 0, most)
    parameters[speaking & (away_ms <= 60), PARAMETERS.index("closure")] = 1
    np.savez(folder / "trajectory.npz", allow_pickle=False, **{"S1": parameters, "S1.speaking": speaking})
    visemes = tuple(
        Viseme(line_id=1, ipa="p", viseme="p", start_ms=ms - 60, end_ms=ms + 60, contact="closure")
        for ms in closing_ms.tolist()
        if ms < QUIET_MS
    )
    return Trajectory(speakers=("S1",), visemes=visemes).at(folder)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("parts")
    frames = (
        zoomed(bgr, 1.3, 0.7, 0.4) if SHOTS[1][0] <= index <= SHOTS[1][1] else bgr
        for index, bgr in enumerate(frames_of(SAMPLE, count=len(TIMES_MS)))
    )
    clip = write_clip(folder / "cut.mp4", frames, sound_of(SAMPLE, 0, TIMES_MS[-1] / 1000), 12, TIMES_MS.tolist())
    video = video_files.open_source(clip)
    media = video_files.ingest(video, video_files.MediaConfig(), folder, silent).at(folder)
    track = lipsync.track(video, media, lipsync.TrackConfig(), folder, silent).at(folder)
    assert track.shots == SHOTS and media.picture.is_variable_rate
    turns = []
    for first, last in SHOTS:
        seen = {face.id: FaceStates(track, face.id) for face in track.faces}
        inside = {face: (each.frames >= first) & (each.frames <= last) for face, each in seen.items()}
        right = max(
            (face for face in seen if inside[face].any()),
            key=lambda face: float(seen[face].landmarks()[inside[face], :, 0].mean()),
        )
        start_ms, end_ms = int(TIMES_MS[first]), int(TIMES_MS[last]) + 60
        if start_ms < QUIET_MS:
            turns.append(
                FaceTurn(speaker="S1", start_ms=start_ms, end_ms=min(end_ms, QUIET_MS), face=right, margin=1.0)
            )
    return Scene(video, media, track, SpeakerFaces(turns=tuple(turns)), trajectory_of(folder / "spoken"))


def drawn_in_parts(scene: Scene, folder: Path, backwards: bool) -> tuple[PicturePlan, list[PicturePart], Picture]:
    folders = [folder / name for name in ("plan", "joined")]
    for each in folders:
        each.mkdir(parents=True)
    video, media, track = scene.video, scene.media, scene.track
    plan = lipsync.plan_picture(media, track, scene.faces, scene.trajectory, CONFIG, folders[0], silent).at(folders[0])
    drawn = []
    for span in reversed(plan.parts) if backwards else plan.parts:
        own = folder / str(span[0])
        own.mkdir()
        drawn.append(lipsync.draw_part(video, media, track, plan, span, CONFIG, own, silent).at(own))
    together = PictureParts(tuple(drawn))
    picture = lipsync.join_parts(video, media, track, plan, together, CONFIG, folders[1], silent).at(folders[1])
    return plan, drawn, picture


@pytest.fixture(scope="module")
def made(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, frames = tmp_path_factory.mktemp("made"), []
    with pytest.MonkeyPatch.context() as patch:
        for module in (render, parts):
            patch.setattr(module, "PictureWriter", Recording)
        Recording.seen = {}
        inputs = scene.video, scene.media, scene.track, scene.faces, scene.trajectory
        single = lipsync.sync(*inputs, CONFIG, folder, silent).at(folder)
        frames.append(Recording.seen)
        Recording.seen = {}
        plan, drawn, joined = drawn_in_parts(scene, folder / "parts", backwards=True)
        frames.append(Recording.seen)
    return Made(single, frames[0], plan, drawn, joined, frames[1])


def video_of(picture: Picture | PicturePart) -> Path:
    assert picture.video is not None
    return picture.file(picture.video)


def packets_of(file: Path) -> list[tuple[Fraction, Fraction, Fraction, bool, bytes]]:
    with av.open(str(file)) as container:
        base = container.streams.video[0].time_base
        assert base is not None
        return [
            (each.pts * base, each.dts * base, each.duration * base, each.is_keyframe, bytes(each))
            for each in container.demux(video=0)
            if each.size and each.pts is not None and each.dts is not None and each.duration is not None
        ]


def test_the_parts_are_groups_of_the_clip_and_a_boundary_lies_where_the_mouth_moves(scene: Scene, made: Made) -> None:
    groups = picture_groups(scene.times_ms, scene.cuts)
    firsts, lasts = zip(*made.plan.parts, strict=True)
    assert len(made.plan.parts) >= 3
    assert firsts == (0, *(last + 1 for last in lasts[:-1])) and lasts[-1] == 71
    assert set(firsts) <= {first for first, _ in groups}
    inside = [first for first in firsts if first not in (0, 36, 48)]
    moved = [
        np.abs(made.single_frames[first].astype(int) - made.single_frames[first - 1]).max() > 20 for first in inside
    ]
    assert inside and any(moved) and all(scene.times_ms[first] < QUIET_MS for first in inside[:1])


@pytest.mark.parametrize("part_s", [0.1, 2.5, 7.0, 1e6])
def test_parts_hold_every_frame_once_and_are_about_as_long_as_asked(part_s: float) -> None:
    rng = np.random.default_rng(3)
    times_ms = np.cumsum(rng.uniform(15, 60, 2000))
    cuts = [0, 1, 40, 41, 900, 1990]
    spans = part_spans(times_ms, cuts, part_s)
    assert [frame for first, last in spans for frame in range(first, last + 1)] == list(range(2000))
    assert {first for first, _ in spans} <= {first for first, _ in picture_groups(times_ms, cuts)}
    lengths_ms = [times_ms[last] - times_ms[first] for first, last in spans]
    assert max(lengths_ms) <= min(1000 * part_s, times_ms[-1]) + 2100
    assert len(spans) == {0.1: 40, 2.5: 30, 7.0: 11, 1e6: 1}[part_s]


def test_what_is_drawn_is_what_one_stage_draws(scene: Scene, made: Made) -> None:
    assert sorted(made.part_frames) == sorted(made.single_frames) == list(range(72))
    for index, bgr in made.single_frames.items():
        assert np.array_equal(bgr, made.part_frames[index]), index
    changed = [
        not np.array_equal(made.part_frames[index], source)
        for index, source in enumerate(video_files.frames(scene.video, scene.media))
    ]
    (left,) = made.joined.unsynced
    assert not any(changed[left.first_frame : left.last_frame + 1]) and not any(changed[64:])
    assert sum(changed) == made.joined.changed_frames > 40


def test_the_joined_picture_decodes_to_the_frames_of_its_parts(made: Made) -> None:
    ordered = sorted(made.parts, key=lambda part: part.first_frame)
    apart = [bgr for part in ordered for bgr in frames_of(video_of(part))]
    joined = list(frames_of(video_of(made.joined)))
    assert len(joined) == len(apart) == 72
    for index, (one, other) in enumerate(zip(joined, apart, strict=True)):
        assert np.array_equal(one, other), index
        error = np.mean((one.astype(float) - made.part_frames[index]) ** 2)
        assert 10 * np.log10(255**2 / error) > 36, index


def test_the_joined_picture_has_the_same_times_and_form_as_one_stage_makes(scene: Scene, made: Made) -> None:
    single, joined = packets_of(video_of(made.single)), packets_of(video_of(made.joined))
    assert [packet[:4] for packet in joined] == [packet[:4] for packet in single]
    assert [float(packet[0] * 1000) for packet in joined] == pytest.approx(scene.times_ms.tolist(), abs=1e-6)
    forms = []
    for picture in (made.single, made.joined):
        with av.open(str(video_of(picture))) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            forms.append(
                (
                    *(stream.time_base, stream.duration, stream.average_rate, stream.sample_aspect_ratio),
                    *(context.extradata, context.pix_fmt, context.width, context.height, context.colorspace),
                    *(context.color_range, context.color_primaries, context.color_trc),
                )
            )
    assert forms[0] == forms[1]


def test_the_rest_of_the_picture_is_what_one_stage_returns(made: Made) -> None:
    assert made.joined.model_dump() == made.single.model_dump()
    (line,) = made.joined.closures
    assert line.expected == line.reached >= 5
    kept = [np.load(picture.file(picture.mouths)) for picture in (made.single, made.joined)]
    assert sorted(kept[0]) == sorted(kept[1])
    for name in kept[0]:
        assert np.array_equal(kept[0][name], kept[1][name], equal_nan=kept[0][name].dtype.kind == "f"), name
    for face in kept[0]["faces"]:
        files = [picture.file(f"mouths_{face}.bgr") for picture in (made.single, made.joined)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_line_of_a_joined_picture_is_made_anew(scene: Scene, made: Made, tmp_path: Path) -> None:
    now = trajectory_of(tmp_path / "spoken", quickened_from_ms=4000)
    inputs = scene.video, scene.media, scene.track, scene.faces, now
    out = tmp_path / "again"
    out.mkdir()
    again = lipsync.resync(*inputs, made.joined, CONFIG, out, silent).at(out)
    assert again.redrawn is not None and 0 < again.redrawn.changed_frames <= again.redrawn.drawn_frames < 40
    before, after = packets_of(video_of(made.joined)), packets_of(video_of(again))
    assert [packet[:4] for packet in before] == [packet[:4] for packet in after]
    new = [index for index, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert new and len(new) <= again.redrawn.drawn_frames and TIMES_MS[new[0]] > 2000


@dataclass
class Killed(BaseException):
    """What ends a run at once."""


def runner(scene: Scene, settings: Settings, folder: Path, killed_in: str = "") -> Runner:
    def watch(stage: Stage, _language: str | None) -> Progress:
        def tell(share_done: float) -> None:
            if stage.title == killed_in and share_done > 0.3:
                raise Killed

        return tell

    return Runner(Job(scene.video, ("pt-BR",), settings, folder), watch)


def shared_of(scene: Scene) -> pipeline.Shared:
    seen = SimpleNamespace(video=scene.video, media=scene.media, track=scene.track, faces=scene.faces)
    return cast(pipeline.Shared, seen)


def test_a_killed_part_is_the_only_one_done_again_and_the_report_counts_one_stage(
    scene: Scene, made: Made, tmp_path: Path
) -> None:
    settings = load("embedded", {"work": tmp_path / "work", "lipsync": {"part_s": PART_S}})
    speech = made_speech(tmp_path, ("S1", 0, QUIET_MS))
    inputs: tuple[Any, ...] = shared_of(scene), "pt-BR", scene.trajectory, speech, settings
    count = len(made.plan.parts)
    first = runner(scene, settings, tmp_path, killed_in=f"Moving the lips, 2 of {count}")
    with pytest.raises(Killed):
        pipeline.move_lips(first, *inputs)
    second = runner(scene, settings, tmp_path)
    picture = pipeline.move_lips(second, *inputs)
    assert [(run.name, run.from_store) for run in second.runs] == [
        ("lipsync-plan", True),
        ("lipsync-part", True),
        *[("lipsync-part", False)] * (count - 1),
        ("lipsync", False),
    ]
    assert video_of(picture).read_bytes() == video_of(made.joined).read_bytes(), "drawn in the other order"
    (told,) = second.runs_for("pt-BR")
    assert (told.name, told.engine, told.key, told.from_store) == ("lipsync", "mesh", second.runs[-1].key, False)
    assert told.seconds == pytest.approx(sum(run.seconds for run in second.runs), abs=0.01)
    kept = pipeline.LIPSYNC
    assert first.runs[0].key == second.runs[0].key and kept.name == told.name
    again = runner(scene, settings, tmp_path)
    pipeline.move_lips(again, *inputs)
    (told_again,) = whole(again.runs)
    assert told_again.from_store and told_again.seconds == told.seconds


def test_a_clip_that_is_not_longer_keeps_the_single_stage(scene: Scene, tmp_path: Path) -> None:
    class Names(pipeline.RunStage):
        def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Any:
            done.append(stage.name)
            return Picture(video=None, changed_frames=0)

    done: list[str] = []
    speech = made_speech(tmp_path, ("S1", 0, QUIET_MS))
    for chosen in ({}, {"part_s": PART_S, "engine": "wav2lip"}):
        settings = load("embedded", {"lipsync": chosen})
        pipeline.move_lips(Names(), shared_of(scene), "pt-BR", scene.trajectory, speech, settings)
    assert done == ["lipsync", "lipsync"]


def test_where_no_mouth_moves_there_is_nothing_to_draw(scene: Scene, tmp_path: Path) -> None:
    settings = load("embedded", {"work": tmp_path / "work", "lipsync": {"part_s": PART_S}})
    unseen = tuple(turn.model_copy(update={"face": None, "reason": "no face"}) for turn in scene.faces.turns)
    shared = shared_of(Scene(scene.video, scene.media, scene.track, SpeakerFaces(turns=unseen), scene.trajectory))
    run = runner(scene, settings, tmp_path)
    speech = made_speech(tmp_path, ("S1", 0, QUIET_MS))
    picture = pipeline.move_lips(run, shared, "pt-BR", scene.trajectory, speech, settings)
    assert picture.video is None and picture.unsynced and picture.changed_frames == 0
    assert [each.name for each in run.runs] == ["lipsync-plan", "lipsync"]


def test_parts_of_another_encoder_are_refused(scene: Scene, tmp_path: Path) -> None:
    pieces = []
    for (first, last), preset in zip(((0, 35), (36, 71)), ("veryfast", "placebo"), strict=True):
        pieces.append(Piece(first, last, tmp_path / f"{first}.mp4"))
        config = EncodeConfig(preset=preset)
        with PictureWriter(pieces[-1].file, scene.video, scene.media, config, scene.cuts, first, last) as writer:
            for bgr in video_files.frames(scene.video, scene.media, first, last):
                writer.write(bgr)
    base = video_files.picture_time_base(scene.video, scene.media)
    with pytest.raises(InputError, match="different versions of x264"):
        join(pieces, frame_stamps(scene.media, base), base, tmp_path / "joined.mp4")
