"""Every bad input that a user may give: one clear line, the right exit code, and nothing half-written left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT, SAMPLE, MakeClip, tone

from flows import machine
from flows.cli import main
from stages import models


def refused(capsys: pytest.CaptureFixture[str], code: int, out: Path, *arguments: object) -> str:
    """Run the command, check that it refuses in one line and leaves no output, and return the line."""
    assert main([str(argument) for argument in arguments]) == code
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("dubwright: ")]
    assert "Traceback" not in line and len(line) < 500
    assert not out.exists() or list(out.iterdir()) == []
    return line


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def to(tmp_path: Path, out: Path) -> list[str]:
    return ["--to", "pt-BR", "--out", str(out), "--work", str(tmp_path / "work")]


def sample_sound() -> np.ndarray:
    """The sample's own sound: 48 kHz mono."""
    with av.open(str(SAMPLE)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def test_files_that_are_no_video(
    capsys: pytest.CaptureFixture[str], make_clip: MakeClip, tmp_path: Path, to: list[str], out: Path
) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("Dear diary, this is not a video.\n" * 50)
    half, mute = tmp_path / "half.mp4", make_clip("mute.mp4")
    content = SAMPLE.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    for path, message in {
        tmp_path / "nothing.mp4": "no such file",
        tmp_path: "is a folder",
        empty: "is empty",
        text: "cannot be read as a video",
        half: "cannot be read as a video|cut off",
        mute: "has no sound track",
    }.items():
        line = refused(capsys, 2, out, "translate", path, *to)
        assert any(part in line for part in message.split("|")), line
        assert str(path) in line


def test_a_clip_cut_in_the_middle_with_its_header_whole(
    capsys: pytest.CaptureFixture[str], make_clip: MakeClip, tmp_path: Path, to: list[str], out: Path
) -> None:
    whole = make_clip(times_ms=range(0, 8000, 40), sounds=[tone(8)], size=(320, 240), options={"movflags": "faststart"})
    half = tmp_path / "half.mp4"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "is cut off" in refused(capsys, 2, out, "translate", half, *to)


def music(seconds: float) -> np.ndarray:
    chords = [(220, 277, 330), (196, 247, 294), (175, 220, 262)]
    length = seconds / len(chords)
    return np.concatenate([sum(tone(length, float(hz), 0.12) for hz in chord) for chord in chords])


@pytest.mark.parametrize("sound", [np.zeros(48_000 * 4), music(6)], ids=["silence", "music"])
def test_no_speech(
    capsys: pytest.CaptureFixture[str], make_clip: MakeClip, to: list[str], out: Path, sound: np.ndarray
) -> None:
    path = make_clip(times_ms=range(0, 4000, 40), sounds=[sound])
    assert "no speech was found" in refused(capsys, 2, out, "translate", path, *to)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "klingon!"], 2, "is not a language tag"),
        (["--to", "xx"], 2, "is not a known language"),
        (["--to", "ja"], 2, "pt-BR"),
        (["--to", "en", "--from", "en"], 2, "already English"),
        (["--to", "pt-BR", "--from", "tlh-no!"], 2, "is not a language tag"),
        (["--to", "pt-BR", "--profile", "warp9"], 2, "embedded"),
        (["--to", "pt-BR", "--audio-track", "7"], 2, "--audio-track 1 to 1"),
        ([], 2, "--to"),
    ],
)
def test_options_that_cannot_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, out: Path, arguments: list[str], code: int, message: str
) -> None:
    line = refused(capsys, code, out, "translate", SAMPLE, *arguments, "--out", out, "--work", tmp_path / "work")
    assert message in line
    assert not list((tmp_path / "work").rglob("separate")), "no work is done first"


def test_target_is_found_to_be_the_source(capsys: pytest.CaptureFixture[str], tmp_path: Path, out: Path) -> None:
    line = refused(capsys, 2, out, "translate", SAMPLE, "--to", "en", "--out", out, "--work", tmp_path / "work")
    assert "already English" in line


def test_output_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    work = ["--work", str(tmp_path / "work")]
    assert main(["translate", str(SAMPLE), "--to", "pt-BR", "--out", str(file / "dub"), *work]) == 2
    assert "give another folder with --out" in capsys.readouterr().err
    assert main(["translate", str(SAMPLE), "--to", "pt-BR", "--out", "/proc/dub", *work]) == 2
    assert "give another folder with --out" in capsys.readouterr().err


def test_weights_with_a_wrong_hash(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, to: list[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "models"
    shutil.copytree(models.folder(), copy, copy_function=os.link)
    broken = copy / "kokoro-82m" / "vocab.json"
    content = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(content.replace(b"1", b"2", 1))
    monkeypatch.setenv("DUBWRIGHT_MODELS", str(copy))
    line = refused(capsys, 3, out, "translate", SAMPLE, *to)
    assert "wrong SHA-256" in line and "dubwright models fetch kokoro-82m" in line
    assert main(["models", "verify"]) == 3
    assert "BAD kokoro-82m" in capsys.readouterr().out


def test_weights_that_are_not_here(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, to: list[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUBWRIGHT_MODELS", str(tmp_path / "nothing"))
    assert "dubwright models fetch" in refused(capsys, 3, out, "translate", SAMPLE, *to)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_too_small_for_the_clip_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], out: Path, small_disk: Path
) -> None:
    line = refused(capsys, 2, out, "translate", SAMPLE, "--to", "pt-BR", "--out", out, "--work", small_disk / "work")
    assert "small/work does not suffice: at least 9 MB are needed and 2 MB are free." in line and "--work DIR" in line
    assert not list(small_disk.iterdir())


def test_a_full_disk_while_working(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, out: Path, small_disk: Path
) -> None:
    monkeypatch.setattr(machine, "disk", lambda folder: machine.Disk(1, 10**12))  # another program fills it later
    line = refused(capsys, 2, out, "translate", SAMPLE, "--to", "pt-BR", "--out", out, "--work", small_disk / "work")
    assert "is full; free some space" in line
    assert not list(small_disk.rglob(".*.tmp"))


def test_a_clip_without_a_face_is_dubbed_in_sound_and_says_so(make_clip: MakeClip, tmp_path: Path) -> None:
    sound = sample_sound()
    path = make_clip(times_ms=range(0, 8700, 40), sounds=[sound], size=(320, 240))
    arguments = ["translate", str(path), "--to", "pt-BR", "--out", str(tmp_path / "out"), "--work", str(tmp_path / "w")]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no face" in done.stderr
    with av.open(str(path)) as before, av.open(str(tmp_path / "out" / "clip.pt-BR.mp4")) as after:
        source = [bytes(packet) for packet in before.demux(video=0) if packet.size]
        copied = [bytes(packet) for packet in after.demux(video=0) if packet.size]
    assert copied == source, "the picture is copied, not encoded again"
