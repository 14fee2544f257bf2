"""Engines that generate faces: what a program is given, what is taken from it, and how it gets into the picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from conftest import ROOT, SAMPLE
from driven_scene import SPEAKS_MS, DrivenScene, made_speech, make_scene
from face_program import TINT

from flows.evaluate import evaluate_self
from stages import lipsync
from stages.artifacts import FaceTurn, SpeakerFaces
from stages.errors import InputError, MissingEngineError
from stages.evaluate import evaluate
from stages.evaluate.picture import outside_mask
from stages.lipsync import ENGINES, ExternalConfig, LipsyncConfig, check, hears
from stages.lipsync import external as external_engine
from stages.lipsync.composite import Box, Patch
from stages.lipsync.cover import Cover
from stages.lipsync.feedback import SeenMouth
from stages.lipsync.framing import Framing, laid
from stages.lipsync.generated import FaceJob
from stages.lipsync.pasted import PastedFace
from stages.lipsync.track_file import FaceStates
from stages.lipsync.voices import voice_of_face
from stages.media import open_source
from stages.progress import silent

PROGRAM = str(ROOT / "tests" / "face_program.py")
SIZE_PX = 128
NOTHING = np.zeros((1, 1), dtype=bool)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DrivenScene:
    return make_scene(tmp_path_factory.mktemp("scene"))


def program(how: str, **settings: float) -> LipsyncConfig:
    command = (sys.executable, PROGRAM, how)
    return LipsyncConfig(engine="external", external=ExternalConfig(command=command, size_px=SIZE_PX, **settings))


def left(first: int, last: int) -> SpeakerFaces:
    """Two men, one after the other: face 0 until ``first``, then the one that is left."""
    turns = ((0, SPEAKS_MS[0], first), (1, first, last))
    return SpeakerFaces(
        turns=tuple(FaceTurn(speaker="S1", start_ms=a, end_ms=b, face=face, margin=1.0) for face, a, b in turns)
    )


@pytest.fixture(scope="module")
def moved(scene: DrivenScene) -> list:
    return list(scene.drawn(program("move")))


def test_only_the_lower_face_of_the_speaker_is_touched(scene: DrivenScene, moved: list) -> None:
    times_ms = np.load(scene.media.file(scene.media.frame_times))
    assert sum(bool(patches) for *_, patches in moved) >= 10
    states = FaceStates(scene.track, scene.face)
    for index, source, drawn, patches in moved:
        assert outside_mask(drawn, source, patches) == 0
        if SPEAKS_MS[0] <= times_ms[index] < SPEAKS_MS[1]:
            assert set(patches) == {scene.face} and (drawn != source).any()
            eyes_px = states.landmarks(states.row(index), states.row(index) + 1)[0, [33, 263], 1].max()
            changed = np.flatnonzero((drawn != source).any(axis=(1, 2)))
            assert changed[0] > eyes_px
        elif not patches:
            np.testing.assert_array_equal(drawn, source)


def test_colours_of_the_patches_become_those_of_the_frame(scene: DrivenScene, moved: list) -> None:
    states = FaceStates(scene.track, scene.face)
    ratios = []
    for index, source, drawn, patches in moved:
        if patches and patches[scene.face].cover.max() > 0.99 and not np.isfinite(patches[scene.face].gap_iod):
            x, y = np.rint(states.landmarks(states.row(index), states.row(index) + 1)[0, 205, :2]).astype(int)
            around = (slice(y + 1, y + 5), slice(x - 2, x + 3))
            ratios.append(drawn[around].mean(axis=(0, 1)) / source[around].mean(axis=(0, 1)))
    assert len(ratios) >= 5
    np.testing.assert_allclose(np.mean(ratios, axis=0), 1, atol=0.03)  # the program took 15, 8 and 5 % away
    assert TINT.max() < 0.96


def test_returned_crops_leave_the_frame_as_it_was(scene: DrivenScene) -> None:
    """The way there and back is the same: no shift, no blur, although the crops are four times as small."""
    for _, source, drawn, patches in scene.drawn(program("echo")):
        if patches and not np.isfinite(patches[scene.face].gap_iod):
            assert np.abs(drawn.astype(int) - source).max() <= 1


def test_things_in_front_keep_their_own_pixels(scene: DrivenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_self: Cover, _row: int, _corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        kept = np.zeros(shape, dtype=np.float32)
        kept[:, : shape[1] // 2] = 1
        return kept

    monkeypatch.setattr(Cover, "kept", half)
    touched = 0
    for _, source, drawn, patches in scene.drawn(program("move")):
        for patch in patches.values():
            part = (slice(patch.box.top, patch.box.bottom), slice(patch.box.left, patch.box.right))
            middle = (patch.box.right - patch.box.left) // 2
            np.testing.assert_array_equal(drawn[part][:, :middle], source[part][:, :middle])
            assert not patch.moved[:, :middle].any()
            touched += bool((drawn[part][:, middle:] != source[part][:, middle:]).any())
    assert touched >= 10


def test_lips_meet_where_they_must(scene: DrivenScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program opens every mouth: the mesh brings its lips together, or else the clip's own mouth is shown."""
    sealed, own = [], []
    seal, draw = PastedFace._sealed, SeenMouth.draw
    monkeypatch.setattr(PastedFace, "_sealed", lambda self, *given: sealed.append(given[1]) or seal(self, *given))
    monkeypatch.setattr(SeenMouth, "draw", lambda self, *given: own.append(given[1]) or draw(self, *given))
    (line,) = scene.sync(program("move"), tmp_path / "both").closures
    assert line.expected == line.reached == 2
    assert sealed and set(own) <= set(sealed)
    monkeypatch.setattr(SeenMouth, "draw", lambda self, frame, row: (frame, Patch(Box(0, 0, 1, 1), NOTHING, NOTHING)))
    monkeypatch.setattr(PastedFace, "_sealed", lambda _self, part, *_: part)
    (line,) = scene.sync(program("move"), tmp_path / "neither").closures
    assert line.expected == 2 and line.reached < 2


def test_the_same_patches_give_the_same_file(scene: DrivenScene, tmp_path: Path) -> None:
    files = [scene.sync(program("move"), tmp_path / name).file("picture.mp4").read_bytes() for name in "ab"]
    assert files[0] == files[1]
    assert not list(tmp_path.rglob("*.png"))


def test_what_a_program_is_given(scene: DrivenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict = {}

    def look(self: external_engine.ExternalEngine, folder: Path) -> None:
        seen.update(json.loads((folder / "job.json").read_text()))
        (face,) = seen["faces"]
        seen["crops"] = [cv2.imread(str(folder / face["crops"] / each["file"])) for each in face["images"]]
        seen["voice"], seen["rate"] = soundfile.read(folder / face["voice"])
        run(self, folder)

    run = external_engine.ExternalEngine._run
    monkeypatch.setattr(external_engine.ExternalEngine, "_run", look)
    list(scene.drawn(program("echo")))
    times_ms = np.load(scene.media.file(scene.media.frame_times))
    (face,) = seen["faces"]
    images = face["images"]
    assert (seen["format"], seen["size_px"], seen["fps"]) == (1, SIZE_PX, pytest.approx(float(scene.media.picture.fps)))
    assert face["id"] == scene.face and face["runs"] == [[0, len(images) - 1]]
    assert [each["time_ms"] for each in images] == [pytest.approx(times_ms[each["frame"]]) for each in images]
    assert all(crop.shape == (SIZE_PX, SIZE_PX, 3) for crop in seen["crops"])
    states = FaceStates(scene.track, scene.face)
    for each in images:
        corners = np.array(each["corners_px"])
        points = states.landmarks(states.row(each["frame"]), states.row(each["frame"]) + 1)[0, :, :2]
        assert (points >= corners.min(axis=0)).all() and (points <= corners.max(axis=0)).all()
    assert seen["rate"] == 16_000 and len(seen["voice"]) == pytest.approx(scene.media.picture.end_ms * 16, abs=16)
    loud = np.flatnonzero(np.abs(seen["voice"]) > 0.01) / 16
    assert loud[0] == pytest.approx(SPEAKS_MS[0], abs=5) and loud[-1] == pytest.approx(SPEAKS_MS[1], abs=5)


def test_a_face_says_the_lines_of_its_own_speaker(scene: DrivenScene, tmp_path: Path) -> None:
    speech = made_speech(tmp_path, ("S1", 2100, 2300), ("S1", 2600, 2900), ("S2", 2000, 3000), ("S1", 2320, 2590))
    voices = [voice_of_face(face, left(2500, 3000), scene.trajectory, speech, scene.media) for face in (0, 1)]
    spoken = [[bool(voice[ms * 16 : ms * 16 + 800].any()) for ms in (2050, 2200, 2400, 2700, 2920)] for voice in voices]
    # The last line is spoken across the change, so both hear all of it.
    assert spoken == [[False, True, True, False, False], [False, False, True, True, False]]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("few", r"lipsync\.external\.command: \d+ of \d+ patches came back; face_\d/patches lacks 0000\d\d\.png"),
        ("more", r"nobody asked for face_\d/patches/extra\.png"),
        ("small", r"face_\d/patches/000001\.png is 127x128x3 uint8, not 128x128x3 uint8"),
        ("deep", r"000000\.png is 128x128x3 uint16, not"),
        ("spoilt", r"000000\.png is no PNG that can be read"),
        ("crash", r"ended with code 1; it last said: no graphics card \[31m here$"),
    ],
)
def test_a_program_that_misbehaves(scene: DrivenScene, tmp_path: Path, how: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        scene.sync(program(how), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_program_that_hangs_is_ended_with_its_children(
    scene: DrivenScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[int] = []
    end = external_engine._end

    def note(started: subprocess.Popen[bytes]) -> None:
        children.append(int(Path(str(started.args[-1]), "child").read_text()))
        end(started)

    monkeypatch.setattr(external_engine, "_end", note)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"was ended after 5 s .* it last said: step 3 of 9"):
        scene.sync(program("hang", time_limit_s=5), tmp_path)
    assert time.monotonic() - begun < 60
    (child,) = children
    for _ in range(100):
        if not _runs(child):
            break
        time.sleep(0.05)
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_cannot_be_is_said_before_any_work() -> None:
    check(LipsyncConfig(), (1,))
    check(program("echo"), ())
    assert not hears(LipsyncConfig()) and hears(program("echo"))
    with pytest.raises(InputError, match=r"--line: only lipsync\.engine mesh makes single lines anew; with external"):
        check(program("echo"), (1,))
    with pytest.raises(InputError, match=r"external needs lipsync\.external\.command"):
        check(LipsyncConfig(engine="external"), ())
    with pytest.raises(MissingEngineError, match=r"there is no program 'no-such-program'"):
        check(LipsyncConfig(engine="external", external=ExternalConfig(command=("no-such-program",))), ())
    with pytest.raises(InputError, match=r"lipsync\.engine: there is no engine 'sadtalker'; choose one of: mesh"):
        check(LipsyncConfig(engine="sadtalker"), ())
    assert list(ENGINES) == ["mesh", "wav2lip", "external"]


def test_a_model_that_is_nowhere_is_said_before_any_work(tmp_path: Path) -> None:
    settings = {"DUBWRIGHT_LIPSYNC__ENGINE": "wav2lip", "DUBWRIGHT_LIPSYNC__WAV2LIP__MODEL": str(tmp_path / "gone")}
    command = [sys.executable, "-m", "flows.cli", "translate", str(SAMPLE), "--to", "pt-BR", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2 and f"there is no model '{tmp_path / 'gone'}'" in " ".join(done.stderr.split())


def test_a_clip_is_not_driven_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUBWRIGHT_LIPSYNC__ENGINE", "wav2lip")
    with pytest.raises(InputError, match="--self drives a clip by its own lips"):
        evaluate_self(SAMPLE, tmp_path, lambda *_: silent)


def test_without_speech_nothing_is_drawn(scene: DrivenScene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="goes by the dub's sound"):
        lipsync.sync(*scene[:5], program("echo"), tmp_path, silent)


def test_evaluate_measures_these_engines(scene: DrivenScene, tmp_path: Path) -> None:
    config = program("move")
    made = scene.sync(config, tmp_path)
    assert made.video is not None
    rendered = open_source(made.file(made.video))
    inputs = (scene.video, scene.media, rendered, *scene[2:5])
    found = {each.key: each for each in evaluate(*inputs, config, tmp_path, silent, speech=scene.speech).total}
    assert found["outside_mask"].dub == 0 and found["closure_rate"].count == 2
    assert found["coverage"].dub == 1


@pytest.mark.parametrize("size_px", [48, 96, 400])
def test_a_crop_goes_back_to_where_it_was_cut(size_px: int) -> None:
    y, x = np.mgrid[:240, :320].astype(np.float32)
    frame = np.stack([x / 2, y / 2, (x + y) / 4], axis=-1).astype(np.uint8)
    turn = np.deg2rad(20)
    linear = 120 / size_px * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    to_picture = np.concatenate([linear, np.array([[160.0], [120.0]]) - linear @ np.full((2, 1), (size_px - 1) / 2)], 1)
    crop = Framing(size_px, 0, 0, 0, True).cut(frame, to_picture)
    assert crop.shape == (size_px, size_px, 3)
    back = laid(crop.astype(np.float32), to_picture, Box(140, 100, 180, 140))
    assert np.abs(back - frame[100:140, 140:180]).max() < 1.6  # frame and crop are both cut to whole grey levels


def test_the_documented_adapter_serves_programs_that_take_a_video(scene: DrivenScene, tmp_path: Path) -> None:
    """A stand-in for such a program: it darkens the video by the loudness of the voice, frame by frame."""
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(
        "import sys, wave, cv2, numpy as np\n"
        "video, voice, result = sys.argv[1:]\n"
        "voice = wave.open(voice)\n"
        "sound = np.frombuffer(voice.readframes(voice.getnframes()), '<i2').reshape(-1, 640)\n"
        "taken, frames = cv2.VideoCapture(video), []\n"
        "while (read := taken.read())[0]: frames.append(read[1])\n"
        "assert len(frames) == len(sound) and taken.get(cv2.CAP_PROP_FPS) == 25\n"
        "out = cv2.VideoWriter(result, cv2.VideoWriter_fourcc(*'mp4v'), 25, frames[0].shape[1::-1])\n"
        "for frame, heard in zip(frames, sound): out.write(frame // (2 if np.abs(heard).max() > 99 else 1))\n"
        "out.release()\n"
    )
    adapter = str(ROOT / "docs" / "lipsync_adapter.py")
    inner = (sys.executable, str(stand_in), "{video}", "{voice}", "{result}")
    command = (sys.executable, adapter, "--in", str(tmp_path), *inner)
    config = LipsyncConfig(engine="external", external=ExternalConfig(command=command, size_px=SIZE_PX))
    generator = external_engine.ExternalEngine(config.external)
    count, size = 30, SIZE_PX
    times_ms = 1000 + np.arange(count) * 41.7
    crops = np.full((count, size, size, 3), 200, dtype=np.uint8)
    voice = np.zeros(16_000 * 3, dtype=np.float32)
    voice[16 * 1500 : 16 * 1900] = 0.5
    job = FaceJob(
        crops=crops,
        to_picture=np.tile(np.eye(2, 3), (count, 1, 1)),
        frames=np.arange(count),
        times_ms=times_ms,
        runs=((0, 9), (10, count - 1)),
        voice=voice,
        patches=np.zeros_like(crops),
    )
    (tmp_path / "exchange").mkdir()
    generator.generate({3: job}, 24.0, tmp_path / "exchange", silent)
    is_dark = job.patches.mean(axis=(1, 2, 3)) < 150
    np.testing.assert_array_equal(is_dark, (times_ms > 1475) & (times_ms < 1905))
