"""What there is to do, and the runs that were finished on this machine: ``<work>/finished.jsonl``, one line a dub."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import av
from pydantic import ValidationError

from stages import pipeline
from stages.artifacts import Record, SourceVideo
from stages.media import opened
from stages.still import StillConfig
from stages.still.picture import kind
from stages.store import StageRun

_LOG = logging.getLogger("stages")
_FILE = "finished.jsonl"
_LATEST = 20
"""Runs that are looked at: older ones may be of another version, or from before the machine was changed."""


class Task(Record):
    """A clip, as far as its size is concerned."""

    seconds: float
    """Of sound."""
    frames: int
    megapixels: float
    """Of one frame."""
    speakers: int = 1
    is_still: bool = False
    """A picture, whose frames are all made here."""

    def units(self) -> dict[str, float]:
        """Return the amounts that costs go by; ``start`` is what any clip takes."""
        return {
            "start": 1.0,
            "seconds": self.seconds,
            "frames": self.frames,
            "megapixels": self.megapixels,
            "megapixel_frames": self.megapixels * self.frames,
            "further_speakers": max(0, self.speakers - 1),
            "still_frames": self.frames if self.is_still else 0,
        }


class Done(Record):
    """One finished dub: the stages that were done for it, without those that the store had."""

    task: Task
    runs: tuple[StageRun, ...]


def read_task(video: SourceVideo, still: StillConfig, speakers: int | None) -> Task:
    """Return the size of a clip from its headers; what they do not tell counts as nothing.

    Args:
        video: the user's files.
        still: how long a picture is shown, and how large.
        speakers: how many people speak; None counts one.

    Raises:
        InputError: a file cannot be read.
    """
    of_sound = None
    if video.sound is not None:
        with opened(video.sound.path, "sound") as container:
            of_sound = (container.duration or 0) / av.time_base
    with opened(video.path) as container:
        shown = next((stream for stream in container.streams.video if stream.codec_context is not None), None)
        seconds = (container.duration or 0) / av.time_base
        megapixels = shown.width * shown.height / 1e6 if shown is not None else 0.0
        rate = float(shown.average_rate or 0) if shown is not None else 0.0
        counted = shown.frames if shown is not None else 0
    is_still = kind(video.path) is not None
    if is_still:
        seconds, counted, rate = of_sound or 0.0, 0, float(still.fps)
        megapixels = min(megapixels, still.max_pixels / 1e6)
    return Task(
        seconds=seconds,
        frames=counted or round(seconds * rate),
        megapixels=megapixels,
        speakers=speakers or 1,
        is_still=is_still,
    )


def task_of(shared: pipeline.Shared, dub: pipeline.Dub) -> Task:
    """Return the size of a clip that was dubbed."""
    picture = shared.media.picture
    return Task(
        seconds=shared.media.duration_ms / 1000,
        frames=picture.frames,
        megapixels=picture.width_px * picture.height_px / 1e6,
        speakers=len(dub.cast.voices),
        is_still=shared.media.is_still,
    )


def remember(work: Path, task: Task, runs: Sequence[StageRun]) -> None:
    """Add a finished dub; one from the store alone tells nothing new.

    Where the line cannot be written a warning says so: the dub is there, and only later estimates lack it.
    """
    done = Done(task=task, runs=tuple(run for run in runs if not run.from_store))
    if not done.runs:
        return
    try:
        with (work / _FILE).open("a", encoding="utf-8") as file:
            file.write(done.model_dump_json() + "\n")
    except OSError as error:
        _LOG.warning("%s cannot be written (%s): later estimates will not know of this run.", _FILE, error.strerror)


def recall(work: Path) -> list[Done]:
    """Return the latest finished dubs; lines by another version are left out."""
    try:
        lines = (work / _FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines[-_LATEST:]:
        try:
            found.append(Done.model_validate_json(line))
        except ValidationError:
            continue
    return found
