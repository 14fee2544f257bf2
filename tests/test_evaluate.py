"""``dubwright evaluate`` on the sample's dub: the figures must react to what is done to the picture."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import ROOT, SAMPLE, Run, stored

from stages.artifacts import FaceTrack, Media, SourceVideo, SpeakerFaces, Trajectory
from stages.evaluate import evaluate
from stages.evaluate.goals import ROWS, Evaluation, Figure
from stages.evaluate.picture import rendered_frames
from stages.evaluate.retrack import mouth_box
from stages.lipsync import LipsyncConfig
from stages.lipsync.track_file import FaceStates
from stages.media import open_source
from stages.picture_writer import EncodeConfig, PictureWriter
from stages.progress import silent

pytestmark = pytest.mark.slow
SELF_ROWS = {"lmd_px", "lmd_iod", "psnr_db", "ssim"}


def command(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "evaluate", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, timeout=600, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(run: Run) -> dict:
    done = command(run.out, "--json")
    assert done.returncode in (0, 1), done.stderr
    (dub,) = json.loads(done.stdout)
    assert done.returncode == (0 if dub["met"] else 1)
    return dub


def judged(run: Run, rendered: Path, out: Path) -> dict[str, Figure]:
    video, clip, track = open_source(SAMPLE), stored(run, "ingest", Media), stored(run, "track", FaceTrack)
    faces, trajectory = stored(run, "faces", SpeakerFaces), stored(run, "visemes", Trajectory)
    result: Evaluation = evaluate(
        video, clip, open_source(rendered), track, faces, trajectory, LipsyncConfig(), out, silent
    )
    return {each.key: each for each in result.total}


def written(run: Run, frames: Iterator[np.ndarray], path: Path) -> Path:
    with PictureWriter(path, open_source(SAMPLE), stored(run, "ingest", Media), EncodeConfig()) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def dubbed_frames(run: Run) -> Iterator[np.ndarray]:
    return rendered_frames(SourceVideo(path=run.video, sha256=""), stored(run, "ingest", Media))


def test_every_row_of_the_table_is_there(told: dict, run: Run) -> None:
    figures = {item["key"]: item for item in told["total"]}
    heard = [item["key"] for item in told["sound"]["total"]]
    assert [*figures, *heard] == [key for key in ROWS if key not in SELF_ROWS]
    assert told["sound"]["total"] == run.report["totals"]["sound"]
    assert told["sound"]["lines"][0]["rate"] == run.report["lines"][0]["sound"]["rate"]
    assert told["target"] == "pt-BR" and Path(told["video"]).name == "statement-en.pt-BR.mp4"
    assert [len(face["figures"]) for face in told["faces"]] == [len(figures)]
    assert figures["closure_rate"]["dub"] == 1 > figures["closure_rate"]["source"]
    assert figures["closure_rate"]["goal"] == ">= 0.99" and figures["closure_rate"]["met"] is True
    assert figures["aperture_correlation"]["dub"] > 0.6 > 0.3 > figures["aperture_correlation"]["source"]
    assert abs(figures["offset_frames"]["dub"]) <= 1
    assert figures["outside_mask"]["dub"] == 0 and figures["outside_mask"]["count"] > 80
    assert figures["coverage"]["dub"] > 0.9 and told["unsynced"] == []


def test_people_get_a_table(run: Run) -> None:
    done = command(run.out)
    assert "aperture correlation" in done.stdout and ">= 0.97" in done.stdout
    assert "lines that start within 80 ms" in done.stdout and "voice similarity" in done.stdout
    assert "pass" in done.stdout and run.video.name in done.stdout


def test_the_untouched_source_taken_for_the_dub(run: Run, tmp_path: Path) -> None:
    figures = judged(run, SAMPLE, tmp_path)
    for key in ("closure_rate", "aperture_correlation", "width_correlation", "flicker", "sharpness"):
        assert figures[key].dub == pytest.approx(figures[key].source, rel=1e-6)
    assert figures["closure_rate"].met is False and figures["aperture_correlation"].met is False
    assert figures["sharpness"].value == 1 and figures["flicker"].value == 1
    assert figures["outside_mask"].dub == 0


def test_a_picture_that_is_three_frames_late(run: Run, tmp_path: Path) -> None:
    frames = list(dubbed_frames(run))
    late = written(run, iter([frames[0]] * 3 + frames[:-3]), tmp_path / "late.mp4")
    figures = judged(run, late, tmp_path)
    assert figures["offset_frames"].dub == 3 and figures["offset_frames"].met is False
    assert figures["aperture_correlation"].dub < 0.5


def test_a_blurred_and_flickering_mouth(run: Run, told: dict, tmp_path: Path) -> None:
    track, (face,) = stored(run, "track", FaceTrack), told["faces"]
    states = FaceStates(track, face["face"])

    def spoilt() -> Iterator[np.ndarray]:
        for index, frame in enumerate(dubbed_frames(run)):
            row = states.row(index)
            if row is not None:
                box = mouth_box(states.landmarks(row, row + 1)[0], frame.shape)
                blurred = cv2.GaussianBlur(frame[box], (0, 0), 2).astype(np.int16)
                frame[box] = np.clip(blurred + (25 if index % 2 else -25), 0, 255)
            yield frame

    figures = judged(run, written(run, spoilt(), tmp_path / "spoilt.mp4"), tmp_path)
    before = {item["key"]: item["value"] for item in told["total"]}
    assert figures["sharpness"].value < 0.5 * before["sharpness"]
    assert figures["sharpness_equal_aperture"].met is False
    assert figures["flicker"].value > 1.5 * before["flicker"] and figures["flicker"].met is False


def test_pictures(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(run.out, folder)
    done = command(folder, "--pictures", "--json")
    assert done.returncode in (0, 1) and done.stdout, done.stderr
    (dub,) = json.loads(done.stdout)
    sheet, clip = (Path(path) for path in dub["pictures"])
    assert sheet == folder / "statement-en.pt-BR.contact-sheet.png"
    picture = cv2.imread(str(sheet))
    assert picture.shape[0] > 400 and picture.shape[1] > 1000
    assert picture.std() > 20
    with av.open(str(clip)) as container, av.open(str(SAMPLE)) as source:
        after, before = container.streams.video[0], source.streams.video[0]
        assert after.frames == before.frames
        assert float(after.duration * after.time_base) == pytest.approx(
            4 * float(before.duration * before.time_base), abs=0.4
        )
        frame = next(container.decode(video=0)).to_ndarray(format="bgr24")
    # Nothing is said in the first frame, so both halves show the same picture.
    left, right = np.hsplit(frame.astype(int), 2)
    assert np.abs(left - right).mean() < 4


def test_a_clip_driven_by_itself(run: Run) -> None:
    done = command("--self", SAMPLE, "--work", run.work, "--json")
    assert done.returncode in (0, 1), done.stderr
    (told,) = json.loads(done.stdout)
    figures = {item["key"]: item["dub"] for item in told["total"]}
    assert set(figures) == SELF_ROWS
    assert 0.2 < figures["lmd_px"] < 6  # not nothing: the true frames were kept out
    assert 20 < figures["psnr_db"] < 45 and 0.3 < figures["ssim"] < 1


def test_too_short_to_be_driven_by_itself(make_clip, tmp_path: Path) -> None:
    clip = make_clip(sounds=[np.zeros(96_000)])
    done = command("--self", clip, "--work", tmp_path / "work")
    assert done.returncode == 2 and "too short" in done.stderr and len(done.stderr.strip().splitlines()[-1:]) == 1


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("empty", [], "holds no dub"),
        ("moved", [], "--source"),
        ("moved", ["--source", "other.mp4"], "not the source of this dub"),
        ("other", [], "another version"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    run: Run, make_clip, tmp_path: Path, change: str, options: list[str], message: str
) -> None:
    folder = tmp_path / "dub"
    shutil.copytree(run.out, folder)
    make_clip("other.mp4")
    report = folder / "statement-en.pt-BR.report.json"
    if change == "empty":
        report.unlink()
    elif change == "moved":
        report.write_text(report.read_text().replace(str(SAMPLE), str(tmp_path / "gone.mp4")))
    else:
        visemes = folder / "statement-en.pt-BR.visemes.json"
        content = json.loads(visemes.read_text())
        content["lines"][0]["phones"][0]["start_ms"] += 10
        visemes.write_text(json.dumps(content))
    done = command(folder, *options, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("dubwright: ")


def test_one_of_the_two_must_be_given(run: Run) -> None:
    for arguments in ([], [run.out, "--self", SAMPLE]):
        assert command(*arguments).returncode == 2
