"""Kills a run again and again with SIGKILL, goes on each time, and compares what comes out. ``make soak KILLS=32``.

An undisturbed run says when each stage of each language is at work. One kill falls at a random moment into each stage
(and into each delivery); further ones anywhere in the time of the whole run. A killed run is started again by the same
command. Prints what each kill hit, what it left and what is different at the end; exit code 1: something is.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import psutil

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "samples" / "statement-en.mp4"
_TOLD_ONLY = ("seconds", "from_store")
"""What a report says of how the run went; everything else must be equal."""
_GONE_S = 5.0
"""Children may outlive a killed run by this."""
_SHORT_S = 0.05


@dataclass(frozen=True)
class Moment:
    """A stage, or a delivery, of the undisturbed run."""

    stage: str
    language: str
    scratch: Path
    """What exists while it is at work, from the lap's folder."""
    seconds: float
    before: Path | None
    """What lies there once the stage before it is done."""

    def __str__(self) -> str:
        return f"{self.stage} {self.language}".strip()


@dataclass
class Lap:
    """One run with its own folders, killed any number of times on its way."""

    folder: Path
    video: Path
    languages: tuple[str, ...]
    profile: str
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)
    complete: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Manifests that were seen: inode and time of change."""
    faults: list[str] = field(default_factory=list)
    is_done: bool = False

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        to = [part for language in self.languages for part in ("--to", language)]
        command = [sys.executable, "-m", "flows.cli", "translate", str(self.video), "--from", "en", *to]
        command += ["--profile", self.profile, "--work", "work", "--out", "out"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "SOAK": self.marker}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def finish(self) -> float:
        """Run to the end and return the seconds it took."""
        started = time.monotonic()
        code = self.start().wait()
        if code not in (0, 1):
            raise SystemExit(f"the run in {self.folder} failed with {code}:\n{(self.folder / 'log').read_text()}")
        return time.monotonic() - started

    def look(self) -> int:
        """Check that what was complete before is there unchanged; return how many stages are complete now."""
        now = {each.relative_to(self.folder): (each.stat().st_ino, each.stat().st_mtime_ns) for each in manifests(self)}
        for place, known in self.complete.items():
            if now.get(place) != known:
                self.faults.append(f"{place.parent}: was complete and was done again, or is gone")
        self.complete = now
        return len(now)

    def kill(self, process: subprocess.Popen[bytes]) -> str:
        """Kill the run, without a warning to its children; return what it was doing."""
        process.send_signal(signal.SIGKILL)
        process.wait()
        busy = sorted({f"{stage_of(each)}" for each in scratch(self.folder)})
        ends_at = time.monotonic() + _GONE_S
        while (left := list(living(self.marker))) and time.monotonic() < ends_at:
            time.sleep(0.05)
        if left:
            self.faults.append(f"a killed run left processes: {left}")
        return ", ".join(busy) or "between stages"


def manifests(lap: Lap) -> list[Path]:
    """Return the manifests of complete stages, oldest first."""
    found = [each for each in (lap.folder / "work").rglob("manifest.json") if not each.parent.name.startswith(".")]
    return sorted(found, key=lambda each: each.stat().st_mtime_ns)


def scratch(folder: Path) -> list[Path]:
    """Return unfinished folders and files below a lap's folder."""
    return [*(folder / "work").rglob(".*.tmp"), *(folder / "out").glob(".*")]


def stage_of(unfinished: Path) -> str:
    """Return whose an unfinished folder is."""
    if "work" not in unfinished.parts:
        return f"deliver ({unfinished.name})"
    inside = unfinished.parts[unfinished.parts.index("work") + 2 : -1]
    return " ".join(inside)


def living(marker: str) -> Iterator[str]:
    """Yield the processes that a lap started and that still run."""
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SOAK") == marker:
                yield f"{process.pid} {process.name()}"
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def moments(calm: Lap) -> list[Moment]:
    """Return everything the undisturbed run did, in order, as another lap will see it."""
    found: list[Moment] = []
    delivered = {each.name.split(".")[-2]: each for each in (calm.folder / "out").glob("*.mp4")}
    before: Path | None = None
    for manifest in manifests(calm):
        place = manifest.parent.relative_to(calm.folder)
        language = place.parent.name if len(place.parts) == 5 else ""
        seconds = json.loads(manifest.read_text())["seconds"]
        found.append(Moment(place.parts[2], language, place.with_name(f".{place.name}.tmp"), seconds, before))
        before = place / manifest.name
        if place.parts[2] == "measure":  # a language's last stage
            lock = next((calm.folder / "work").glob(f"*/deliver/{language}/*.lock"))
            took_s = delivered[language].stat().st_mtime - manifest.stat().st_mtime
            found.append(Moment("deliver", language, Path("out"), max(took_s, 0.01), before))
            before = (Path("out") / delivered[language].name) if lock else before
    return found


def chosen(found: list[Moment], kills: int, rng: random.Random) -> list[tuple[int, float]]:
    """Return the moments to kill at, in order: the index of a moment, and how much of it is over by then."""
    order = list(range(len(found)))
    picked = order if kills >= len(order) else rng.sample(order, kills)
    further = rng.choices(order, [each.seconds for each in found], k=max(0, kills - len(order)))
    return sorted((index, rng.random()) for index in (*picked, *further))


def reached(lap: Lap, process: subprocess.Popen[bytes], moment: Moment, share: float) -> bool:
    """Wait until a run is at a moment; False where it ended before."""
    where, before = lap.folder / moment.scratch, moment.before and lap.folder / moment.before
    while process.poll() is None:
        if moment.stage == "deliver":
            is_there = any(where.glob(".dubwright-*"))
        else:
            is_there = where.exists() or (where.parent / where.name[1:-4]).exists()
        if is_there:
            ends_at = time.monotonic() + share * moment.seconds
            while where.exists() and time.monotonic() < ends_at:  # a machine may be faster than it was before
                time.sleep(min(0.005, max(0.0, ends_at - time.monotonic())))
            return process.poll() is None
        if before is None or not before.exists() or moment.seconds > _SHORT_S:
            time.sleep(0.002)  # short stages are waited for without a pause, once the one before is done
    return False


def packets(file: Path) -> dict[str, str]:
    """Return, for every stream of a video, a digest of its packets with their times, and one of the tags."""
    with av.open(f"file:{file}") as container:
        digests = {
            stream.index: hashlib.sha256(repr(sorted(stream.metadata.items())).encode()) for stream in container.streams
        }
        for packet in container.demux():
            if packet.size:
                digests[packet.stream_index].update(f"{packet.pts} {packet.dts} {packet.duration}".encode())
                digests[packet.stream_index].update(bytes(packet))
        return {f"stream {index}": digest.hexdigest() for index, digest in digests.items()}


def content(file: Path) -> Any:
    """Return what must be equal in a file of two runs."""
    if file.suffix == ".mp4":
        return packets(file)
    return without_times(json.loads(file.read_text())) if file.name.endswith(".report.json") else file.read_bytes()


def without_times(data: Any) -> Any:
    """Return a report without how long things took, and which of them the store had."""
    if isinstance(data, dict):
        return {key: without_times(value) for key, value in data.items() if key not in _TOLD_ONLY}
    return [without_times(each) for each in data] if isinstance(data, list) else data


def differences(calm: Lap, lap: Lap) -> Iterator[str]:
    """Yield what is not as it must be after a lap."""
    yield from lap.faults
    names = [sorted(each.name for each in (one.folder / "out").iterdir()) for one in (calm, lap)]
    if names[0] != names[1]:
        yield f"files differ: {sorted(set(names[0]) ^ set(names[1]))}"
    for name in sorted(set(names[0]) & set(names[1])):
        if content(calm.folder / "out" / name) != content(lap.folder / "out" / name):
            yield f"{name} differs"
    if [one.relative_to(calm.folder) for one in sorted(manifests(calm))] != [
        one.relative_to(lap.folder) for one in sorted(manifests(lap))
    ]:
        yield "the store holds other results"
    if left := scratch(lap.folder) + list((lap.folder / "work").rglob(".begun-*")):
        yield f"left: {', '.join(str(each) for each in left)}"
    for file in (lap.folder / "work").rglob("*.lock"):
        with file.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield f"{file} is still locked"
    yield from (f"still runs: {each}" for each in living(lap.marker))


def soak(folder: Path, video: Path, languages: tuple[str, ...], profile: str, kills: int, seed: int) -> int:
    """Do it, and return how many faults were found."""
    calm = Lap(folder / "calm", video, languages, profile)
    calm_s = calm.finish()
    found = moments(calm)
    print(f"undisturbed: {calm_s:.1f} s, {len(found)} stages and deliveries of {', '.join(languages)}", flush=True)
    started, recoveries, hits, faults = time.monotonic(), [], 0, 0
    laps = [Lap(folder / "lap-1", video, languages, profile)]
    for number, (index, share) in enumerate(chosen(found, kills, random.Random(seed)), 1):
        lap, moment = laps[-1], found[index]
        process, began = lap.start(), time.monotonic()
        if not reached(lap, process, moment, share):
            print(f"{number:3} {moment}: missed, the run had ended ({process.wait()}); a new one begins", flush=True)
            lap.is_done = process.returncode in (0, 1)
            laps.append(Lap(folder / f"lap-{len(laps) + 1}", video, languages, profile))
            continue
        recoveries.append(time.monotonic() - began)
        hit = lap.kill(process)
        hits += 1
        print(f"{number:3} at {share:4.0%} of {moment!s:<18} hit: {hit:<28} complete: {lap.look()}", flush=True)
    for lap in laps:
        if not lap.is_done:
            lap.finish()
        lap.look()
        for fault in differences(calm, lap):
            faults += 1
            print(f"FAULT {lap.folder.name}: {fault}")
    print(f"{hits} kills and the way to the end: {time.monotonic() - started:.0f} s; {faults} faults")
    return faults


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=32)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--video", type=Path, default=SAMPLE)
    parser.add_argument("--to", nargs="+", default=["pt-BR", "pt-PT"])
    parser.add_argument("--profile", default="draft")
    parser.add_argument("--folder", type=Path, help="where to work, and leave everything [a temporary folder]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = given.folder or Path(temporary)
        faults = soak(folder.resolve(), given.video.resolve(), tuple(given.to), given.profile, given.kills, given.seed)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
