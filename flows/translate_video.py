"""The Prefect flow: one video, many languages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict

from flows import job
from flows.asked_in_prefect import ask
from flows.options import Stop
from flows.tasks import TaskRunner, logged
from stages import settings
from stages.deliver import Delivery


class Options(BaseModel):
    """What can be chosen for a run, beside the video and its languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = "embedded"
    out: Path | None = None
    """Output folder; ``<stem>.dub`` when not given."""
    force: bool = False
    """Replace a dub that is already there."""
    lines: tuple[int, ...] = ()
    """Make only these lines of the finished dub anew."""
    audio: Path | None = None
    """Sound that takes the place of the video's own; a picture needs it."""
    stems: bool = False
    """Also write voice, background and dub as sound files of their own."""
    exports: tuple[str, ...] = ()
    """Files for translators' programs to write beside the dub: ``tmx``, ``xlf``."""
    approve: tuple[Stop, ...] = ()
    """Where the run waits for a person: ``transcript``, ``translation``, ``dub``."""
    overrides: dict[str, Any] = {}
    """Settings by section, e.g. ``{"diarize": {"speakers": 2}}``."""


def _run_name() -> str:
    parameters = flow_run.parameters
    return f"{Path(parameters['video']).stem} -> {', '.join(parameters['target_languages'])}"


@flow(name="translate_video", flow_run_name=_run_name, persist_result=False)
def translate_video(video: Path, target_languages: list[str], options: Options = Options()) -> list[Delivery]:  # noqa: B008
    """Dub ``video`` into every target language and return where the dubs lie."""
    chosen = settings.load(options.profile, options.overrides)
    checked = job.check(
        video,
        target_languages,
        options.out,
        chosen,
        options.force,
        options.lines,
        options.audio,
        options.stems,
        options.exports,
        options.approve,
    )
    runner = job.Runner(checked, logged)
    return list(job.translate(checked, TaskRunner(runner), runner.runs_for, partial(ask, chosen.limits.answer_s)))
