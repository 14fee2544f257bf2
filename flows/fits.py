"""Refuses a run that cannot fit into the memory or on the disks, before any work is done.

What is asked for are lower bounds: a run that would fit is not refused, though one that is let through may still fail.
Stages that lie in the work folder, for whatever settings, are not counted.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from flows import machine
from flows.engines import choices
from flows.estimates import estimate
from flows.history import Task
from stages import pipeline
from stages.artifacts import SourceVideo
from stages.errors import InputError
from stages.media import printable
from stages.settings import Settings
from stages.store import Store

_ALWAYS_WRITTEN = frozenset(stage.name for stage in (pipeline.INGEST, pipeline.SEPARATE, pipeline.MIX))
"""Uncompressed sound, which goes by the length of the clip alone. What the picture takes goes by what is seen."""
_TRACK_BYTES_PER_S = 4_000
"""Of the dub's AAC track in the output folder: silence takes less than a fifth of the 192 kbit/s that are asked for."""


def check_fits(video: SourceVideo, targets: tuple[str, ...], settings: Settings, out: Path, task: Task) -> None:
    """Say at once that a whole run does not fit.

    Args:
        video: what is dubbed.
        targets: normalised tags.
        settings: say the engines and the work folder.
        out: the output folder.
        task: the size of the clip.

    Raises:
        InputError: it does not: what is needed, what is there, and what to do.
    """
    folder = Store(settings.work, video).folder
    needed_bytes, stage_name, written_bytes = 0, "", 0
    for stage, choice in choices(settings, targets, composes=False):
        if any((folder / stage.name / (choice.language or "")).glob("*/manifest.json")):
            continue
        found = estimate(stage, settings, task, choice.device or "", ())
        if found.least_memory_bytes > needed_bytes:
            needed_bytes, stage_name = found.least_memory_bytes, stage.name
        if stage.name in _ALWAYS_WRITTEN:
            written_bytes += found.disk_bytes or 0
    _check_memory(needed_bytes, stage_name)
    _check_disks({settings.work: written_bytes, out: round(task.seconds * _TRACK_BYTES_PER_S) * len(targets)})


def _check_memory(needed_bytes: int, stage: str) -> None:
    free_bytes = machine.memory_bytes()
    if free_bytes < needed_bytes:
        raise InputError(
            f"the memory does not suffice: {stage} needs at least {machine.megabytes(needed_bytes)} and "
            f"{machine.megabytes(free_bytes)} are free. Close other programs, or choose a smaller engine or model for "
            f"{stage}; dubwright doctor VIDEO shows what each stage takes."
        )


def _check_disks(needed: dict[Path, int]) -> None:
    """Check that each disk holds what all folders on it need."""
    disks = {folder: machine.disk(folder) for folder in needed}
    in_all: dict[int, int] = defaultdict(int)
    for folder, needed_bytes in needed.items():
        in_all[disks[folder].device] += needed_bytes
    for (folder, needed_bytes), option in zip(needed.items(), ("--work", "--out"), strict=True):
        disk = disks[folder]
        if needed_bytes and disk.free_bytes < in_all[disk.device]:
            raise InputError(
                f"the disk of {printable(folder)} does not suffice: at least "
                f"{machine.megabytes(in_all[disk.device])} are needed and {machine.megabytes(disk.free_bytes)} are "
                f"free. Free some space, or use another disk with {option} DIR."
            )
