"""What a run will take, before it: time, memory and disk of every stage, from measured rates.

``rates.yaml`` holds what the stages of the embedded profile took when they were measured (``python -m bench.rates``).
Runs that were finished on this machine correct the times, and are all there is to go by for other engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median

import yaml

from flows.history import Done, Task
from flows.machine import cores
from stages import models
from stages.artifacts import Record
from stages.errors import DubwrightError
from stages.settings import Settings
from stages.store import Stage

RATES = Path(__file__).with_name("rates.yaml")
"""What ``python -m bench.rates --write`` writes."""
_UNITS = {"compose": "still_frames", "track": "frames", "lipsync": "frames"}
"""What the time of a stage goes by where nothing but its runs here is known; all others: seconds."""
_USUAL_UNIT = "seconds"
_TIMED, _LONG_S = Task(seconds=10, frames=250, megapixels=0.3), 1.0
"""A stage that takes less for such a clip is a matter of how fast its modules are read: it tells nothing of others."""

_LEAST = 0.4
"""Share of the least memory measured that any clip takes on top of what the command has loaded before: Kokoro takes
187 MB more for one word, and 490 MB for the usual trial of voices."""
_LEAST_OF_MODELS = 0.25
"""The same of a model's size where nothing was measured: float32 weights may be read as 8-bit ones."""


class Rate(Record):
    """What a stage takes with one engine: a start and so much for each unit of the task (:meth:`Task.units`)."""

    models: tuple[str, ...] = ()
    """With which it was measured."""
    cpu_s: Mapping[str, float]
    """Processor time."""
    cores: float
    """How many it kept busy."""
    memory_mb: Mapping[str, float]
    """Largest memory of its own: neither shared nor backed by files."""
    least_memory_mb: float
    """That of the clip that took least."""
    disk_mb: Mapping[str, float]
    """In the work folder."""


class Estimate(Record):
    """What one stage will take. None: not measured."""

    seconds: float | None
    cpu_s: float | None
    """Processor time by the rate alone."""
    memory_bytes: int | None
    models_bytes: int
    """Size of its models, where they are computed with in this machine's memory."""
    least_memory_bytes: int
    """It takes more than that on any clip."""
    disk_bytes: int | None
    measured_here: int
    """By how many finished runs on this machine the time was corrected."""


@lru_cache
def rates() -> dict[str, dict[str, Rate]]:
    """Return what was measured, by stage and engine."""
    read = yaml.safe_load(RATES.read_text(encoding="utf-8"))
    return {
        stage: {engine: Rate.model_validate(rate) for engine, rate in engines.items()}
        for stage, engines in read.items()
    }


def estimate(stage: Stage, settings: Settings, task: Task, on: str, history: Sequence[Done]) -> Estimate:
    """Return what a stage will take, once or for one language.

    Args:
        stage: the stage.
        settings: say its engine and models.
        task: what there is to do.
        on: the device (:attr:`flows.engines.Choice.device`): a model on another one takes no memory here.
        history: runs that were finished on this machine.
    """
    engine, names = stage.engine_for(getattr(settings, stage.config)), _model_names(stage, settings)
    rate = rates().get(stage.name, {}).get(engine)
    if rate is not None and rate.models != names:
        rate = None
    factors = _factors(stage.name, engine, names, rate, history)
    seconds = None
    if rate is not None or factors:
        seconds = _expected_s(stage.name, rate, task) * median(factors or _of_all(history) or [1.0])
    models_bytes = sum(_size_bytes(name) for name in names) if on == "cpu" else 0
    return Estimate(
        seconds=seconds,
        cpu_s=None if rate is None else _sum(rate.cpu_s, task),
        memory_bytes=None if rate is None else _bytes(rate.memory_mb, task),
        models_bytes=models_bytes,
        least_memory_bytes=round(
            _LEAST_OF_MODELS * models_bytes if rate is None else _LEAST * rate.least_memory_mb * 1e6
        ),
        disk_bytes=None if rate is None else _bytes(rate.disk_mb, task),
        measured_here=len(factors),
    )


def _model_names(stage: Stage, settings: Settings) -> tuple[str, ...]:
    """Return the models of a stage; where its engine cannot tell, those that it needs with any."""
    try:
        return stage.models_for(getattr(settings, stage.config))
    except DubwrightError:
        return stage.models


def _size_bytes(name: str) -> int:
    """Return the size of a model of the catalogue, or of a folder."""
    if name in models.catalogue():
        return models.catalogue()[name].size_bytes
    return sum(file.stat().st_size for file in Path(name).rglob("*") if file.is_file())


def _expected_s(stage: str, rate: Rate | None, task: Task) -> float:
    """Return the time of a stage by its rate; without one, its units."""
    if rate is None:
        return task.units()[_UNITS.get(stage, _USUAL_UNIT)]
    return _sum(rate.cpu_s, task) / min(rate.cores, cores())


def _bytes(parts: Mapping[str, float], task: Task) -> int:
    return round(_sum(parts, task) * 1e6)


def _sum(parts: Mapping[str, float], task: Task) -> float:
    units = task.units()
    return sum(amount * units[unit] for unit, amount in parts.items())


def _factors(
    stage: str, engine: str, names: tuple[str, ...], rate: Rate | None, history: Sequence[Done]
) -> list[float]:
    """Return the time of every finished run of a stage over the expected one."""
    digest = _digest(names)
    return [
        run.seconds / expected_s
        for done in history
        for run in done.runs
        if (run.name, run.engine, run.model_sha256) == (stage, engine, digest)
        and (expected_s := _expected_s(stage, rate, done.task)) > 0
    ]


def _of_all(history: Sequence[Done]) -> list[float]:
    """Return the factors of all stages that have a rate and take long enough to be timed."""
    return [
        factor
        for stage, engines in rates().items()
        for engine, rate in engines.items()
        if _sum(rate.cpu_s, _TIMED) >= _LONG_S
        for factor in _factors(stage, engine, rate.models, rate, history)
    ]


def _digest(names: tuple[str, ...]) -> str | None:
    """Return the digest of a stage's models as its runs state it; None where there are none, or they are not here."""
    try:
        return ",".join(models.digest(name) for name in names) or None
    except DubwrightError:
        return None
