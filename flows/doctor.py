"""What is installed here and what is missing for what; which engines would run, and what that would take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flows import machine
from flows.engines import Choice, choices
from flows.estimates import Estimate, estimate
from flows.history import Task, read_task, recall
from stages import models
from stages.artifacts import Record
from stages.settings import Settings
from stages.still import is_needed, open_inputs
from stages.translate import apertium, routes

_KEPT = 1.4
"""What a whole run takes over the stage that takes most: models of the stages before it stay loaded
(``python -m bench.estimates``)."""


class Check(Record):
    """One thing looked at."""

    name: str
    ok: bool
    required: bool
    """False for what only widens the choice of languages."""
    detail: str


class StageRow(Record):
    """One stage, with what it takes where a clip was given."""

    choice: Choice
    estimate: Estimate | None


class Total(Record):
    """What a whole run takes, as far as its stages were measured."""

    seconds: float
    memory_bytes: int
    """Largest of all processes; of a stage that was not measured the size of its models counts."""
    disk_bytes: int
    not_measured: tuple[str, ...]
    """Stages that are not in the sums."""
    memory_free_bytes: int
    work_free_bytes: int


class Diagnosis(Record):
    """Everything that the command says."""

    checks: tuple[Check, ...]
    task: Task | None
    """What there is to do; None where no clip was given."""
    stages: tuple[StageRow, ...]
    total: Total | None

    @property
    def ready(self) -> bool:
        """Whether nothing is missing that was asked for."""
        return all(check.ok or not check.required for check in self.checks) and not any(
            row.choice.missing for row in self.stages
        )


def diagnose(video: Path | None, audio: Path | None, targets: tuple[str, ...], settings: Settings) -> Diagnosis:
    """Look at everything; nothing is written and no stage is run.

    Args:
        video: the clip or portrait whose run is estimated, from an empty work folder; None: no estimates.
        audio: sound that takes the place of its own.
        targets: normalised tags; none: the stages of a language are looked at once.
        settings: say the engines.

    Raises:
        InputError: a file cannot be used.
    """
    task, composes = None, False
    if video is not None:
        opened = open_inputs(video, audio, settings.ingest)
        task, composes = read_task(opened, settings.still, settings.diarize.speakers), is_needed(opened)
    history = recall(settings.work)
    rows = tuple(
        StageRow(
            choice=choice,
            estimate=None if task is None else estimate(stage, settings, task, choice.device or "", history),
        )
        for stage, choice in choices(settings, targets, composes)
    )
    return Diagnosis(
        checks=tuple(checks()), task=task, stages=rows, total=None if task is None else _total(rows, settings.work)
    )


def _total(rows: Sequence[StageRow], work: Path) -> Total:
    known = [row.estimate for row in rows if row.estimate is not None]
    return Total(
        seconds=sum(each.seconds or 0 for each in known),
        memory_bytes=max(round(_KEPT * (each.memory_bytes or 0)) or each.models_bytes for each in known),
        disk_bytes=sum(each.disk_bytes or 0 for each in known),
        not_measured=tuple(
            dict.fromkeys(row.choice.stage for row in rows if row.estimate is not None and row.estimate.seconds is None)
        ),
        memory_free_bytes=machine.memory_bytes(),
        work_free_bytes=machine.disk(work).free_bytes,
    )


def told(found: Diagnosis) -> list[str]:
    """Return a diagnosis as lines for people."""
    lines = [
        f"{'ok     ' if check.ok else 'MISSING' if check.required else 'absent '} {check.name}: {check.detail}"
        for check in found.checks
    ]
    lines += ["", *_table(found.stages)]
    lacking: dict[str, list[str]] = {}
    for row in found.stages:
        for missing in row.choice.missing:
            lacking.setdefault(missing, []).append(_label(row.choice))
    lines += [f"MISSING {', '.join(labels)}: {missing}" for missing, labels in lacking.items()]
    if found.task is not None and found.total is not None:
        lines += ["", *_summary(found.task, found.total, found.stages)]
    return lines


def _label(choice: Choice) -> str:
    return choice.stage if choice.language is None else f"{choice.stage} -> {choice.language}"


def _table(rows: Sequence[StageRow]) -> list[str]:
    cells = [("stage", "engine", "device", *(("time", "memory", "disk") if rows[0].estimate is not None else ()))]
    for row in rows:
        choice = row.choice
        named = (_label(choice), choice.engine or "-", choice.device or "?")
        cells.append((*named, *_amounts(row.estimate)) if row.estimate is not None else named)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _amounts(of: Estimate) -> tuple[str, str, str]:
    seconds = "not measured" if of.seconds is None else f"{of.seconds:.1f} s"
    memory = f"model {machine.megabytes(of.models_bytes)}" if of.models_bytes else "not measured"
    if of.memory_bytes is not None:
        memory = machine.megabytes(of.memory_bytes)
    return seconds, memory, "not measured" if of.disk_bytes is None else machine.megabytes(of.disk_bytes)


def _summary(task: Task, total: Total, rows: Sequence[StageRow]) -> list[str]:
    here = max((row.estimate.measured_here for row in rows if row.estimate is not None), default=0)
    runs = {0: "no finished run here: by rates of another machine", 1: "times corrected by 1 finished run here"}
    without = f", without {', '.join(total.not_measured)} (not measured)" if total.not_measured else ""
    more = " or more" if total.not_measured else ""
    ratio = f" = {total.seconds / task.seconds:.1f} x its length" if task.seconds else ""
    people = "1 speaker" if task.speakers == 1 else f"{task.speakers} speakers"
    return [
        f"{task.seconds:.1f} s, {task.frames} frames of {task.megapixels:.2f} megapixels, {people} "
        "(--speakers N where it is another number)",
        f"time    {total.seconds:.0f} s{ratio}{without}; "
        f"{runs.get(here, f'times corrected by {here} finished runs here')}",
        f"memory  {machine.megabytes(total.memory_bytes)}{more}; {machine.megabytes(total.memory_free_bytes)} free",
        f"disk    {machine.megabytes(total.disk_bytes)}{more} in the work folder; "
        f"{machine.megabytes(total.work_free_bytes)} free",
    ]


def checks() -> list[Check]:
    """Look at Python, weights and optional translators."""
    found = [_python()]
    for model in models.catalogue().values():
        if model.profile != "embedded" and models.missing((model.name,)):
            continue
        problems = models.verify(model)
        found.append(
            Check(
                name=f"model {model.name}",
                ok=not problems,
                required=model.profile == "embedded",
                detail=f"{'; '.join(problems)}. Run: {models.fetch_command(model)}" if problems else model.title,
            )
        )
    found.append(_apertium())
    return found


def _apertium() -> Check:
    hops = [hop for hop in routes.table().hops if hop.engine == "apertium"]
    missing = dict.fromkeys(hop.package for hop in hops if hop.mode not in apertium.modes())
    command = f"for es ca gl fr it run: sudo apt-get install -y apertium {' '.join(missing)}"
    return Check(name="apertium", ok=not missing, required=False, detail=command if missing else "es ca gl fr it")


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check(name="python", ok=sys.version_info >= (3, 11), required=True, detail=version)
