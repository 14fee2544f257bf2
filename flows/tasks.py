"""Each stage as a Prefect task.

The store is the cache, not Prefect's: two tasks with equal inputs would collide under its ``INPUTS`` policy, and its
cache does not check that files exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.failures import EXPECTED, failed
from flows.job import Runner
from flows.retries import limited
from stages import pipeline
from stages.artifacts import Artifact
from stages.errors import is_transient
from stages.store import Stage


@dataclass(frozen=True)
class TaskRunner(pipeline.RunStage):
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
        )(self._work)
        limits = limited(as_task, stage, inputs, self.runner.job.settings)
        return cast(Artifact, limits(stage, *inputs, language=language))

    def _work(self, stage: Stage, *inputs: Any, language: str | None) -> Any:
        try:
            return self.runner(stage, *inputs, language=language)
        except EXPECTED as error:
            if is_transient(error):
                raise  # only what is raised is tried again
            return failed(error)
