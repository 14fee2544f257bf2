"""Fixtures: the committed sample and its dub, the shared clips where they are, and small videos made on the spot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import stages  # noqa: F401  (first: it sets how many threads numpy's BLAS takes)

# isort: split
import av
import numpy as np
import pytest

from stages.artifacts import Artifact

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "samples" / "statement-en.mp4"
CLIPS = ROOT.parent / "shared" / "clips"

MakeClip = Callable[..., Path]
ArtifactT = TypeVar("ArtifactT", bound=Artifact)
WATCHED = [sys.executable, str(ROOT / "tests" / "watched.py")]


@pytest.fixture
def sample() -> Path:
    return SAMPLE


@pytest.fixture
def clip() -> Callable[[str], Path]:
    """A real clip that is not part of the repository."""

    def find(name: str) -> Path:
        if not (CLIPS / name).is_file():
            pytest.skip(f"the real clip {name} is not on this machine")
        return CLIPS / name

    return find


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Make a video of grey frames (each as bright as its number) and, per track, the given mono sound at 48 kHz."""

    def make(
        name: str = "clip.mp4",
        times_ms: Sequence[int] = tuple(range(0, 2000, 40)),
        sounds: Sequence[np.ndarray] = (),
        size: tuple[int, int] = (64, 48),
        options: dict[str, str] | None = None,
        default_sound: int = 0,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(f"file:{path}", "w", format="mp4", options=options or {}) as out:
            picture = out.add_stream("libx264", rate=25, options={"crf": "0", "preset": "ultrafast"})
            picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
            picture.time_base = picture.codec_context.time_base = Fraction(1, 1000)
            tracks = [out.add_stream("aac", rate=48_000, layout="mono") for _ in sounds]
            for number, track in enumerate(tracks):
                track.disposition = av.stream.Disposition.default if number == default_sound else 0
            for number, time_ms in enumerate(times_ms):
                grey = np.full((size[1], size[0], 3), 16 + 2 * number % 200, np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
                out.mux(picture.encode(frame))
            out.mux(picture.encode(None))
            for track, sound in zip(tracks, sounds, strict=True):
                for start in range(0, len(sound), 1024):
                    block = sound[start : start + 1024].astype(np.float32)[None]
                    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
                    frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
                    out.mux(track.encode(frame))
                out.mux(track.encode(None))
        return path

    return make


def tone(seconds: float, frequency_hz: float = 440.0, amplitude: float = 0.3) -> np.ndarray:
    """A 48 kHz sine."""
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * 48_000)) / 48_000)


@dataclass(frozen=True)
class Run:
    """A finished run of ``dubwright translate`` on the sample."""

    work: Path
    out: Path
    code: int
    errors: str
    addresses: str
    """What Python connected to."""
    system_calls: str | None
    """What any thread or child connected to, as strace saw it; None where there is no strace."""

    @property
    def report(self) -> dict:
        return json.loads((self.out / "statement-en.pt-BR.report.json").read_text())

    @property
    def video(self) -> Path:
        return self.out / "statement-en.pt-BR.mp4"


def _network_free() -> list[str]:
    """Return the prefix that runs a command in a network namespace without routes, where that is permitted."""
    prefix = ["unshare", "--net"]
    if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
        return prefix
    return []


def _strace(log: Path) -> list[str]:
    if not shutil.which("strace"):
        return []
    prefix = ["strace", "--follow-forks", "--trace=connect", "--output", str(log)]
    works = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if works else []


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The sample dubbed into Brazilian Portuguese, once for all tests, without a network."""
    base = tmp_path_factory.mktemp("end-to-end")
    out, work, addresses, log = base / "out", base / "work", base / "addresses", base / "strace"
    arguments = ["translate", str(SAMPLE), "--to", "pt-BR", "--out", str(out), "--work", str(work)]
    done = subprocess.run(
        [*_network_free(), *_strace(log), *WATCHED, str(addresses), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
        check=False,
    )
    system_calls = log.read_text() if log.exists() else None
    return Run(work, out, done.returncode, done.stderr, addresses.read_text(), system_calls)


def stored(run: Run, stage: str, kind: type[ArtifactT]) -> ArtifactT:
    """Read a stage's artifact from the run's work folder."""
    (manifest,) = [*run.work.glob(f"*/{stage}/*/manifest.json"), *run.work.glob(f"*/{stage}/pt-BR/*/manifest.json")]
    return kind.model_validate(json.loads(manifest.read_text())["artifact"]).at(manifest.parent)
