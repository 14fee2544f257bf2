"""What a run survives: a full disk at any stage, damaged results, a second run, a jumping clock, a kill at the end.

``make soak`` kills whole runs at random moments (docs/robustness.md).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLE, Run
from test_bad_input import refused

from flows import machine
from flows.cli import main
from stages import pipeline

sys.path.append(str(ROOT / "bench"))
from soak import content

STEM = "statement-en.pt-BR"
_WOULD_LAST_S = 300.0
JUMPING = """
import itertools, random, sys, time
real, rng = time.time, random.Random(5)
time.time = lambda: real() + rng.uniform(-1, 1) * 400 * 86_400
time.time_ns = lambda: int(time.time() * 1e9)
from flows.cli import main
sys.exit(main(sys.argv[1:]))
"""


def arguments(out: Path, work: Path, video: Path = SAMPLE) -> list[str]:
    return ["translate", str(video), "--to", "pt-BR", "--out", str(out), "--work", str(work)]


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *options]


def equal(out: Path, run: Run, but: tuple[str, ...] = ()) -> None:
    """Check that a dub is that of the undisturbed run, and that nothing else lies there."""
    names = sorted(each.name for each in run.out.iterdir())
    assert sorted(each.name for each in out.iterdir()) == names
    for name in names:
        if not name.endswith(".report.json"):  # names other folders
            assert content(out / name) == content(run.out / name), name
    mine, theirs = (
        json.loads((each / f"{STEM}.report.json").read_text())["lines"] for each in (out, run.out)
    )  # fmt: skip
    assert mine == theirs


def results(work: Path, stage: str) -> list[Path]:
    """The folders of a stage's results."""
    return [each.parent for each in work.glob(f"*/{stage}/**/manifest.json")]


@pytest.fixture
def work(run: Run, tmp_path: Path) -> Path:
    """A copy of the finished run's store."""
    return Path(shutil.copytree(run.work, tmp_path / "work"))


def mounted(place: Path, *options: str) -> bool:
    mount = ["mount", *options, str(place)]
    return bool(shutil.which("mount")) and not subprocess.run(mount, capture_output=True, check=False).returncode


@pytest.fixture
def disk(run: Run, tmp_path: Path) -> Iterator[Path]:
    """A disk with little more room than the finished run's store takes, and the store on it."""
    place = tmp_path / "disk"
    place.mkdir()
    size = sum(each.stat().st_size + 4096 for each in run.work.rglob("*")) + (24 << 20)
    if not mounted(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        pytest.skip("a small disk cannot be mounted here (needs root)")
    shutil.copytree(run.work, place / "work")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, but_bytes: int = 0) -> Path:
    """Leave ``but_bytes`` of a disk; returns the file that takes the rest."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - but_bytes))
    return filler


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_stage(
    run: Run, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "disk", lambda folder: machine.Disk(1, 10**12))  # another program fills it later
    out, work = tmp_path / "out", disk / "work"
    stages = [stage for stage in (*pipeline.SHARED_STAGES, *pipeline.LANGUAGE_STAGES) if results(work, stage.name)]
    assert len(stages) == len(pipeline.SHARED_STAGES) + len(pipeline.LANGUAGE_STAGES) - 1, "all but compose"
    for stage in stages:
        # other tests of the session may have left results of other settings: without them there is one
        kept = {
            place: shutil.move(place, tmp_path / f"{stage.name}-{place.name}") for place in results(work, stage.name)
        }
        filler = fill(disk)
        assert "is full; free some space" in refused(capsys, 2, tmp_path / "none", *arguments(out, work)), stage.name
        assert not results(work, stage.name) and not list(work.rglob(".*.tmp")), stage.name
        filler.unlink()
        if stage != stages[-1]:
            for place, moved in kept.items():
                shutil.copytree(moved, place)
    assert main(arguments(out, work)) in (0, 1), "the last one is made now"
    equal(out, run)


def test_a_disk_that_is_full_at_the_delivery(
    run: Run, disk: Path, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "disk", lambda folder: machine.Disk(1, 10**12))
    for free_bytes in (200_000, 20_000):
        filler = fill(disk, free_bytes)
        line = refused(capsys, 2, disk / "none", *arguments(disk / "out", work))
        assert f"the disk of {disk / 'out'} is full; free some space and run the same command again" in line
        assert [each.name for each in (disk / "out").iterdir()] == ["statement-en.speakers.toml"], "all or nothing"
        filler.unlink()
    assert main(arguments(disk / "out", work)) in (0, 1)
    equal(disk / "out", run)


@pytest.mark.slow
def test_damaged_results_of_all_stages_are_found_and_made_anew(run: Run, work: Path, tmp_path: Path) -> None:
    """One bit in one file of every stage; a file that is cut off in every second one."""
    for number, manifest in enumerate(sorted(work.rglob("manifest.json"))):
        files = [each for each in manifest.parent.rglob("*") if each.is_file() and each != manifest]
        victim = max(files, key=lambda each: each.stat().st_size, default=manifest)
        data = bytearray(victim.read_bytes())
        if number % 2:
            data[len(data) // 2] ^= 4
        else:
            del data[len(data) // 2 :]
        victim.write_bytes(data)
    assert main(arguments(tmp_path / "out", work)) in (0, 1)
    report = json.loads((tmp_path / "out" / f"{STEM}.report.json").read_text())
    assert [each["name"] for each in report["stages"] if each["from_store"]] == []
    equal(tmp_path / "out", run)


@pytest.mark.slow
def test_two_runs_of_the_same_video_at_once(run: Run, work: Path, tmp_path: Path) -> None:
    gone = ("transcribe", "translate", "fit", "plan", "speak", "mix", "measure")
    for stage in gone:
        for place in results(work, stage):
            shutil.rmtree(place)
    outs = [tmp_path / "one", tmp_path / "other"]
    both = [
        subprocess.Popen(command(*arguments(out, work)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for out in outs
    ]
    assert all(each.wait(_WOULD_LAST_S) in (0, 1) for each in both)
    told = [json.loads((out / f"{STEM}.report.json").read_text())["stages"] for out in outs]
    for one, other in zip(*told, strict=True):
        assert one["key"] == other["key"]
        done = [not each["from_store"] for each in (one, other)]
        assert sum(done) == (one["name"] in gone), f"{one['name']} is done once"
    for out in outs:
        equal(out, run)


@pytest.mark.slow
def test_a_clock_that_jumps(run: Run, work: Path, tmp_path: Path) -> None:
    """More than a year to and fro at every look at it, and files whose times say nothing."""
    for number, each in enumerate(sorted(work.rglob("*"))):
        os.utime(each, (number * 86_400 % 10**9, (-number) * 7_777_777 % 2 * 10**9))
    gone = ("ingest", "diarize", "translate", "plan", "mix")
    for stage in gone:
        for place in results(work, stage):
            shutil.rmtree(place)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", JUMPING, *arguments(tmp_path / "out", work)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    took_s = time.monotonic() - started
    assert done.returncode in (0, 1), done.stderr
    stages = json.loads((tmp_path / "out" / f"{STEM}.report.json").read_text())["stages"]
    assert sorted(each["name"] for each in stages if not each["from_store"]) == sorted(gone)
    assert all(0 <= each["seconds"] <= took_s for each in stages if not each["from_store"])
    equal(tmp_path / "out", run)


def test_a_source_that_can_only_be_read(run: Run, work: Path, tmp_path: Path) -> None:
    for place in results(work, "ingest"):
        shutil.rmtree(place)
    folder = tmp_path / "source"
    folder.mkdir()
    if not mounted(folder, "-t", "tmpfs", "tmpfs"):
        pytest.skip("a disk cannot be mounted here (needs root)")
    try:
        video = Path(shutil.copy(SAMPLE, folder))
        video.chmod(0o444)
        folder.chmod(0o555)
        before = [(each.name, each.stat()) for each in folder.iterdir()]
        assert mounted(folder, "-o", "remount,ro,noatime")
        with pytest.raises(OSError, match="Read-only"):
            (folder / "x").touch()
        assert main(arguments(tmp_path / "out", work, video)) in (0, 1)
        assert [(each.name, each.stat()) for each in folder.iterdir()] == before
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    equal(tmp_path / "out", run)


def test_a_kill_while_delivering_leaves_nothing_in_the_way(
    run: Run, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(*arguments(out, work)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(out.glob(".dubwright-*/*.srt")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = out.glob(".dubwright-*")
    (out / f"{STEM}.mp4").write_bytes(b"as if it had been killed a moment later")
    assert main(arguments(out, work)) in (0, 1), "the same command, without --force"
    assert not left.exists()
    equal(out, run)
    assert not list(work.rglob(".begun-*"))
    capsys.readouterr()
    assert main(arguments(out, work)) == 2
    assert "already holds this video's dub" in capsys.readouterr().err, "a run that came to its end is safe"
