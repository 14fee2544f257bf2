"""Each stage as a Prefect task.

The store is the cache, not Prefect's: two tasks with equal inputs would collide under its ``INPUTS`` policy, and its
cache does not check that files exist.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.job import Runner
from flows.retries import limited
from stages.artifacts import Artifact
from stages.progress import Progress
from stages.store import Stage

_LOG = logging.getLogger("stages")
_STEP = 0.25


@dataclass(frozen=True)
class TaskRunner:
    """Runs every stage of a job as a task of the surrounding flow (:class:`stages.pipeline.RunStage`)."""

    runner: Runner

    def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Artifact:
        """Run one stage as a task named after it, e.g. ``lipsync -> pt-BR``."""
        name = stage.name if language is None else f"{stage.name} -> {language}"
        as_task = task(
            name=stage.name,
            task_run_name=name,
            description=stage.title,
            persist_result=False,
            cache_policy=NO_CACHE,
        )(self.runner.__call__)
        return limited(as_task, stage, inputs, self.runner.job.settings)(stage, *inputs, language=language)


def logged(stage: Stage, language: str | None) -> Progress:
    """Progress as log lines, one a quarter."""
    last = 0.0

    def tell(share_done: float) -> None:
        nonlocal last
        if share_done >= last + _STEP or share_done >= 1.0 > last:
            last = share_done
            _LOG.info("%s%s: %.0f %%", stage.title, f" ({language})" if language else "", share_done * 100)

    return tell
