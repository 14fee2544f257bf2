"""Estimates of ``dubwright doctor`` beside what a run then took: ``python -m bench.estimates``.

Each clip is dubbed into Brazilian Portuguese by the command, in a process of its own and from an empty work folder.
Time is estimated twice: by the committed rates alone, and corrected by the clips before it. talker-a and the clip of
640x360 are no part of what the rates were made from (``bench.rates``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.looping import looped
from bench.rates import CLIPS, ROOT, SAMPLE, own_bytes
from bench.scaling import scaled
from flows.doctor import Diagnosis, diagnose
from stages.settings import load

_TARGET = "pt-BR"
_POLL_S = 0.1


@dataclass(frozen=True)
class Truth:
    """What a run took."""

    seconds: float
    cpu_s: float
    own_bytes: int
    """Largest unshared memory of all its processes."""
    disk_bytes: int
    """In the work folder."""


def run(clip: Path, work: Path, out: Path) -> Truth:
    """Dub a clip in a process of its own."""
    command = [sys.executable, "-m", "flows.cli", "translate", str(clip), "--to", _TARGET, "--from", "en"]
    command += ["--work", str(work), "--out", str(out)]
    before_bytes, started = size_bytes(work), time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak_bytes = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        peak_bytes = max(peak_bytes, own_bytes(psutil.Process(process.pid)))
        time.sleep(_POLL_S)
    seconds = time.perf_counter() - started
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{clip.name} failed")
    return Truth(seconds, usage.ru_utime + usage.ru_stime, peak_bytes, size_bytes(work) - before_bytes)


def size_bytes(folder: Path) -> int:
    """Return what the files of a folder take."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def compared(clip: Path, scratch: Path) -> None:
    """Print estimates and truth of one clip."""
    first, later = (
        diagnose(clip, None, (_TARGET,), load("embedded", {"work": work, "transcribe": {"language": "en"}}))
        for work in (scratch / "empty", scratch / "work")
    )
    truth = run(clip, scratch / "work", scratch / f"out-{clip.stem}")
    assert first.task is not None and first.total is not None and later.total is not None
    print(f"\n{clip.name}: {first.task.seconds:.1f} s, {first.task.frames} frames of {first.task.megapixels:.2f} "
          f"megapixels; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    of_runs = max(row.estimate.measured_here for row in later.stages if row.estimate is not None)
    line("processor time, s", cpu_s(first), truth.cpu_s)
    line("time, s: by rates", first.total.seconds, truth.seconds)
    line(f"time, s: and {of_runs} run(s) here", later.total.seconds, truth.seconds)
    line("memory, MB", first.total.memory_bytes / 1e6, truth.own_bytes / 1e6)
    least_bytes = max(row.estimate.least_memory_bytes for row in first.stages if row.estimate is not None)
    line("least memory, MB", least_bytes / 1e6, truth.own_bytes / 1e6)
    line("disk, MB", first.total.disk_bytes / 1e6, truth.disk_bytes / 1e6)


def cpu_s(found: Diagnosis) -> float:
    """Return the processor time of all stages."""
    return sum(row.estimate.cpu_s or 0 for row in found.stages if row.estimate is not None)


def line(name: str, estimated: float, true: float) -> None:
    """Print one figure."""
    print(f"  {name:<25} estimate {estimated:7.1f}  truth {true:7.1f}  ratio {estimated / true:.2f}")


def main() -> None:
    """Compare on all clips that are here."""
    with tempfile.TemporaryDirectory(prefix="dubwright-estimates-") as name:
        scratch = Path(name)
        compared(SAMPLE, scratch)
        talker_a, talker_b = CLIPS / "talker-a.mp4", CLIPS / "talker-b.mp4"
        if not (talker_a.is_file() and talker_b.is_file()):
            sys.exit("talker-a.mp4, talker-b.mp4: not on this machine, left out")
        small = scaled(talker_b, scratch / "talker-b-360.mp4", 640, 360)
        for clip in (
            talker_b,
            talker_a,
            looped(small, scratch / "talker-b-360-24s.mp4", 24),
            looped(talker_b, scratch / "talker-b-64s.mp4", 64),
        ):
            compared(clip, scratch)


if __name__ == "__main__":
    main()
