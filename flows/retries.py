"""Stages tried again where their error may pass, by one rule in plain runs and in Prefect's tasks; the tasks' tags."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from stages import pipeline
from stages.artifacts import Artifact
from stages.errors import is_transient
from stages.limits import LimitsConfig
from stages.settings import Settings
from stages.store import Stage

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import TaskRun
    from prefect.states import State

P = ParamSpec("P")
R = TypeVar("R")
_LOG = logging.getLogger("stages")
_TAG = "dubwright-"


@dataclass(frozen=True)
class Retrying(pipeline.RunStage):
    """Runs stages, and again after a pause where that may help (:class:`stages.pipeline.RunStage`)."""

    run: pipeline.RunStage
    limits: LimitsConfig

    def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Artifact:
        """Run one stage."""
        for wait_s in self.limits.waits_s():
            try:
                return self.run(stage, *inputs, language=language)
            except Exception as error:
                if not is_transient(error):
                    raise
                _LOG.warning("%s: %s Tried again in %g s.", stage.title, error, wait_s)
            time.sleep(wait_s)
        return self.run(stage, *inputs, language=language)


def limited(as_task: Task[P, R], stage: Stage, inputs: tuple[Any, ...], settings: Settings) -> Task[P, R]:
    """Return a stage's task with retries by the same rule, and with tags that Prefect can limit."""
    waits_s = settings.limits.waits_s()
    return as_task.with_options(
        retries=len(waits_s),
        retry_delay_seconds=waits_s,
        retry_condition_fn=_may_pass,
        tags=tags(stage, inputs, settings),
    )


def tags(stage: Stage, inputs: tuple[Any, ...], settings: Settings) -> set[str]:
    """Return the tags of a stage's task, which do not tell what a run holds but what it may need.

    ``dubwright-heavy`` where its engine has a process of its own; ``dubwright-gpu`` where the settings let it use a
    GPU, whether or not the worker has one. All others have none: asking the server about a tag takes most of a second.
    """
    found: set[str] = set()
    worker = stage.worker(inputs, getattr(settings, stage.config))
    if worker is None:
        return found
    engine, config = worker
    where = engine.device_config(config)
    if engine.needs_own_process(config):
        found.add(_TAG + "heavy")
    if where is not None and where.kind != "cpu":
        found.add(_TAG + "gpu")
    return found


def _may_pass(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, BaseException) and is_transient(state.data)
