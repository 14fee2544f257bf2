"""Measures what every stage costs and writes ``flows/rates.yaml``: ``python -m bench.rates --write``.

Every stage runs in a process of its own (forked), so that its processor time and its peak memory are its own. The clips
are the sample and, where they are, talker-b as it is, at 1280x720, looped to 64 s, with two people's voices, and a
portrait. Costs are then split into a start and shares of what a clip has (seconds, frames, megapixels, speakers) by
non-negative least squares of relative errors. Measure on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import soundfile
import yaml
from scipy.optimize import nnls

from bench.looping import looped
from bench.scaling import scaled
from flows.estimates import RATES, Rate
from flows.history import Task, task_of
from stages import pipeline
from stages.artifacts import Artifact, SourceVideo
from stages.media import MediaConfig, extract_sound
from stages.progress import silent
from stages.settings import Settings, load
from stages.sound import SAMPLE_RATE_HZ
from stages.speakers import Speakers
from stages.still import open_inputs
from stages.store import Stage, Store

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "samples" / "statement-en.mp4"
CLIPS = ROOT.parent / "shared" / "clips"
HEAD = """# What the stages took, by stage and engine, on 2 cores without a GPU: `python -m bench.rates --write`.
# cpu_s, memory_mb (10^6 bytes), disk_mb: so much for any clip (start) and for each unit of it.
"""
_POLL_S = 0.02
_LEVEL = 0.05
"""Root mean square of the voices that are put together, of full scale."""


@dataclass(frozen=True)
class Cost:
    """What one stage took."""

    stage: str
    engine: str
    language: str | None
    cpu_s: float
    wall_s: float
    own_bytes: int
    """Largest memory that was its own: neither shared nor backed by files."""
    resident_bytes: int
    """Largest resident set."""
    disk_bytes: int


@dataclass
class Meter(pipeline.RunStage):
    """Runs every stage in a process of its own (:class:`stages.pipeline.RunStage`)."""

    store: Store
    settings: Settings
    costs: list[Cost] = field(default_factory=list)

    def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Artifact:
        """Run one stage and keep what it took."""
        config = getattr(self.settings, stage.config)
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            try:
                self.store.run(stage, inputs, config, language, silent)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        own = 0
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            own = max(own, own_bytes(psutil.Process(child)))
            time.sleep(_POLL_S)
        wall_s = time.perf_counter() - started
        _, status, usage = os.wait4(child, 0)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{stage.name} failed")
        artifact, run = self.store.run(stage, inputs, config, language, silent)
        place = self.store.folder / stage.name / (language or "") / run.key[:12]
        self.costs.append(
            Cost(
                stage=stage.name,
                engine=run.engine,
                language=language,
                cpu_s=round(usage.ru_utime + usage.ru_stime, 3),
                wall_s=round(wall_s, 3),
                own_bytes=own,
                resident_bytes=usage.ru_maxrss * 1024,
                disk_bytes=sum(file.stat().st_size for file in place.rglob("*") if file.is_file()),
            )
        )
        return artifact


def own_bytes(process: psutil.Process) -> int:
    """Return the unshared memory of a process and those it started, in bytes."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            memory = each.memory_info()
        except psutil.Error:  # it has just ended
            continue
        total += memory.rss - memory.shared
    return total


def measured(video: Path, sound: Path | None, work: Path, settings: Settings, target: str = "pt-BR") -> dict[str, Any]:
    """Dub a clip and return what it has and what every stage took."""
    source: SourceVideo = open_inputs(video, sound)
    meter = Meter(Store(work, source), settings)
    known = Speakers()
    shared = pipeline.prepare(meter, source, (target,), settings, known)
    dub = pipeline.dub(meter, shared, target, settings)
    return {
        "clip": video.name if sound is None else f"{video.name} + {sound.name}",
        "has": task_of(shared, dub).model_dump(),
        "load": os.getloadavg()[0],
        "costs": [asdict(cost) for cost in meter.costs],
    }


_PARTS = {
    "compose": ("still_frames",),
    "ingest": ("seconds",),
    "separate": ("seconds",),
    "diarize": ("seconds",),
    "transcribe": ("seconds",),
    "track": ("frames", "megapixel_frames"),
    "faces": ("seconds",),
    "personal": ("seconds",),
    "translate": ("seconds",),
    "cast": ("further_speakers",),
    "fit": ("seconds",),
    "read": ("seconds",),
    "plan": ("seconds",),
    "speak": ("seconds",),
    "visemes": ("seconds",),
    "lipsync": ("frames", "megapixel_frames"),
    "mix": ("seconds",),
    "inspect": ("seconds",),
    "measure": ("seconds",),
}
"""What the costs of a stage go by, beside a start that every clip takes."""


def fitted(tasks: Sequence[Task], truth: Sequence[float], parts: Sequence[str]) -> dict[str, float]:
    """Return what a start and each unit takes: non-negative, with the least squares of relative errors."""
    names = ("start", *parts)
    units = np.array([[task.units()[name] for name in names] for task in tasks])
    known = np.maximum(np.array(truth, dtype=float), 1e-6)
    found, _ = nnls(units / known[:, None], np.ones(len(known)))
    return {name: float(f"{amount:.3g}") for name, amount in zip(names, found, strict=True) if amount > 0}


def rate(tasks: Sequence[Task], costs: Sequence[Cost], stage: Stage, settings: Settings) -> Rate:
    """Return the rate of one stage from what it took on several clips."""
    parts = _PARTS.get(stage.name, ())
    own_mb = [cost.own_bytes / 1e6 for cost in costs]
    pixels = ("megapixels",) if "megapixel_frames" in parts else ()
    return Rate(
        models=stage.models_for(getattr(settings, stage.config)),
        cpu_s=fitted(tasks, [cost.cpu_s for cost in costs], parts),
        cores=round(max(cost.cpu_s / cost.wall_s for cost in costs), 2),  # what other work takes away counts least
        memory_mb=fitted(tasks, own_mb, ("seconds", *pixels)),
        least_memory_mb=round(min(own_mb)),
        disk_mb=fitted(tasks, [cost.disk_bytes / 1e6 for cost in costs], parts),
    )


def all_rates(runs: Sequence[dict[str, Any]], settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the rates of all stages, by stage and engine, as ``rates.yaml`` has them."""
    found: dict[str, dict[str, Any]] = {}
    for stage in (*pipeline.SHARED_STAGES, *pipeline.LANGUAGE_STAGES):
        pairs = [(run, cost) for run in runs for cost in run["costs"] if cost["stage"] == stage.name]
        if pairs:
            tasks = [Task.model_validate(run["has"]) for run, _ in pairs]
            costs = [Cost(**cost) for _, cost in pairs]
            engine = stage.engine_for(getattr(settings, stage.config))
            found[stage.name] = {engine: rate(tasks, costs, stage, settings).model_dump(mode="json")}
    return found


def table(run: dict[str, Any]) -> None:
    """Print what one clip took."""
    has = run["has"]
    print(f"\n{run['clip']}: {has['seconds']:.1f} s, {has['frames']} frames of {has['megapixels']:.2f} megapixels, "
          f"{has['speakers']} speaker(s); load {run['load']:.1f}")  # fmt: skip
    for cost in run["costs"]:
        print(f"  {cost['stage']:<11} cpu {cost['cpu_s']:6.2f} s, {cost['wall_s']:6.2f} s; memory "
              f"{cost['own_bytes'] / 1e6:4.0f} MB ({cost['resident_bytes'] / 1e6:4.0f} with shared); "
              f"disk {cost['disk_bytes'] / 1e6:7.2f} MB")  # fmt: skip


def clips(scratch: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yield the clips, each with the sound that is given to it, or None."""
    yield SAMPLE, None
    talker_a, talker_b = CLIPS / "talker-a.mp4", CLIPS / "talker-b.mp4"
    if not (talker_a.is_file() and talker_b.is_file()):
        print("talker-a.mp4, talker-b.mp4: not on this machine, left out")
        return
    yield talker_b, None
    yield scaled(talker_b, scratch / "talker-b-720.mp4", 1280, 720), None
    yield looped(talker_b, scratch / "talker-b-64s.mp4", 64), None
    both = two_voices(talker_a, talker_b, scratch / "two-voices.wav")
    small = scaled(talker_b, scratch / "talker-b-360.mp4", 640, 360)
    yield looped(small, scratch / "talker-b-360-24s.mp4", 24), both
    yield portrait(talker_b, scratch / "portrait.png"), both


def two_voices(first: Path, second: Path, target: Path) -> Path:
    """Write the sound of two clips, one after the other and equally loud."""
    sounds = []
    for clip in (first, second):
        extract_sound(clip, MediaConfig(), target)
        sound, _ = soundfile.read(target)
        sounds += [sound * _LEVEL / np.sqrt(np.mean(sound**2)), np.zeros((SAMPLE_RATE_HZ // 2, 2))]
    soundfile.write(target, np.concatenate(sounds), SAMPLE_RATE_HZ)
    return target


def portrait(clip: Path, target: Path) -> Path:
    """Write the first frame of a clip as a picture."""
    with av.open(str(clip)) as container:
        cv2.imwrite(str(target), next(container.decode(video=0)).to_ndarray(format="bgr24"))
    return target


def main() -> None:
    """Measure, print, and write the rates where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write flows/rates.yaml")
    parser.add_argument("--raw", type=Path, help="keep what was measured in this JSON file, or go by it if it is there")
    options = parser.parse_args()
    settings = load("embedded", {"transcribe": {"language": "en"}})
    if options.raw is not None and options.raw.is_file():
        runs = json.loads(options.raw.read_text())
    else:
        with tempfile.TemporaryDirectory(prefix="dubwright-rates-") as name:
            scratch = Path(name)
            runs = [measured(video, sound, scratch / f"work-{video.stem}", settings) for video, sound in clips(scratch)]
        if options.raw is not None:
            options.raw.write_text(json.dumps(runs, indent=1))
    for run in runs:
        table(run)
    made = all_rates(runs, settings)
    text = HEAD + yaml.safe_dump(made, sort_keys=False)
    if options.write:
        RATES.write_text(text)
    else:
        print(f"\n{text}")


if __name__ == "__main__":
    main()
