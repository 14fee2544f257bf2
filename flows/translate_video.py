"""The Prefect flow: one video, many languages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows import job, shown
from flows.asked_in_prefect import ask
from flows.failures import EXPECTED, failed
from flows.forms import Language, Options, Place
from flows.in_use import in_use
from flows.spread import spreading
from flows.tasks import TaskRunner
from stages import settings
from stages.deliver import Delivery

__all__ = ["Options", "translate_video"]


def _run_name() -> str:
    parameters = flow_run.parameters
    return f"{Path(parameters['video']).stem} -> {', '.join(parameters['target_languages'])}"


@flow(name="translate_video", flow_run_name=_run_name, persist_result=False)
def translate_video(video: Place, target_languages: list[Language], options: Options = Options()) -> list[Delivery]:  # noqa: B008
    """Dub a video into other languages: the same speakers, matched voices, lips that move as the language moves them.

    Returns where the dubs lie. An expected error is raised, and its one line is the message of the failed run.

    Args:
        video: The video, or a portrait (PNG, JPEG) with the option audio; only read. An absolute path, or
            a URL (s3://bucket/lecture.mp4).
        target_languages: Languages to dub into. They share everything that can be shared.
        options: What can be chosen; every one has a default.
    """
    try:
        return _dubs(video, target_languages, options)
    except EXPECTED as error:
        stands_for: Any = failed(error)
        return stands_for


def _dubs(video: str, target_languages: list[str], options: Options) -> list[Delivery]:
    chosen = settings.load(options.profile, options.overrides)
    checked = job.check(
        video,
        target_languages,
        options.out or _beside(video),  # a worker's own folder may be gone after the run
        chosen,
        options.force,
        options.lines,
        options.audio,
        options.stems,
        options.exports,
        options.approve,
    )
    runner = job.Runner(checked, shown.watch)
    made = []
    with in_use(chosen.work, checked.video), spreading(chosen.spread, len(checked.targets)) as cluster:
        pause = partial(ask, chosen.limits.answer_s, Lock())
        in_turn = map if cluster is None else cluster.abreast
        for delivery in job.translate(checked, TaskRunner(runner, cluster), runner.runs_for, pause, in_turn):
            shown.dub(delivery)
            made.append(delivery)
    return made


def _beside(video: str) -> str:
    folder, slash, name = video.rpartition("/")
    return f"{folder}{slash}{Path(name).stem}.dub"
