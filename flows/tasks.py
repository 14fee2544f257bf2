"""Each stage as a Prefect task, done here or on a cluster.

The store is the cache, not Prefect's: two tasks with equal inputs would collide under its ``INPUTS`` policy, and its
cache does not check that files exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from flows import spread
from flows.failures import EXPECTED, failed
from flows.job import Runner
from flows.retries import limited
from flows.spread import Cluster
from stages import pipeline
from stages.artifacts import Artifact
from stages.errors import is_transient
from stages.store import Stage, StageRun

Done = tuple[Artifact, StageRun]


@dataclass(frozen=True)
class TaskRunner(pipeline.RunStage):
    """Runs every stage of a job as a task of the surrounding flow (:class:`stages.pipeline.RunStage`)."""

    runner: Runner
    cluster: Cluster | None = None
    """Whose workers do them; None: this process."""

    def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Artifact:
        """Run one stage as a task named after it, e.g. ``lipsync -> pt-BR``."""
        (artifact,) = self.each(stage, [inputs], language)
        return artifact

    def each(self, stage: Stage, inputs: Sequence[tuple[Any, ...]], language: str | None = None) -> list[Artifact]:
        """Run one stage on each of many inputs, each as a task; on a cluster all are submitted at once."""
        count = len(inputs)
        stages = [stage.numbered(number, count) if count > 1 else stage for number in range(1, count + 1)]
        each = [(self._task(one, given, language), one, given) for one, given in zip(stages, inputs, strict=True)]
        if self.cluster is None:
            work = self.runner.perform
            return [self._kept(as_task(partial(work, one, given, language))) for as_task, one, given in each]
        there = partial(spread.perform, self.runner.job, self.cluster.has_own_folders)
        futures = [
            self.cluster.runner.submit(as_task, {"work": partial(there, one, given, language)})
            for as_task, one, given in each
        ]
        # A result is let go of as soon as it is here: what is still held Dask makes again when its worker dies.
        return [self._kept(self.cluster.result(futures.pop(0), stage.title)) for _ in inputs]

    def _task(self, stage: Stage, inputs: tuple[Any, ...], language: str | None) -> Task[..., Done]:
        as_task: Task[..., Done] = task(
            name=stage.name,
            task_run_name=stage.name if language is None else f"{stage.name} -> {language}",
            description=stage.title,
            persist_result=False,
            cache_policy=NO_CACHE,
        )(_done)
        return limited(as_task, stage, inputs, self.runner.job.settings)

    def _kept(self, done: Done) -> Artifact:
        artifact, run = done
        self.runner.runs.append(run)
        return self.runner.store.brought(artifact)


def _done(work: Callable[[], Done]) -> Any:
    """Do a stage's work, which Prefect does not look into."""
    try:
        return work()
    except EXPECTED as error:
        if is_transient(error):
            raise  # only what is raised is tried again
        return failed(error)
