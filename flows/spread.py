"""The stages of a run on the workers of a Dask or Ray cluster, by Prefect's own task runners for them.

The run itself stays in its process: it submits a stage, waits for it, and is told where the result lies and how it
went. A worker has its own work folder, models and locks; what decides the result travels with the job.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL
from prefect.task_runners import TaskRunner

from flows import shown
from flows.in_use import in_use
from flows.job import Job, Runner
from stages.artifacts import Artifact, SourceVideo
from stages.engines import Engine, chosen
from stages.errors import InputError, MissingEngineError, PassingError
from stages.spread import SpreadConfig
from stages.store import Stage, StageRun

RUNNERS = {
    "dask": Engine("Dask", "flows.spread:on_dask", ("prefect_dask",), "dask"),
    "ray": Engine("Ray", "flows.spread:on_ray", ("prefect_ray",), "ray"),
}
"""Where stages can be done but here, by ``spread.task_runner``."""
_LOG = logging.getLogger("flows")
_LOOPBACK = "127.0.0.1"
_WORK = "DUBWRIGHT_WORK"
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Cluster:
    """The workers that a run gives its stages to."""

    runner: TaskRunner[Any]
    lost: tuple[type[BaseException], ...]
    """Raised where the workers that took a stage died, or the cluster went away."""
    pool: ThreadPoolExecutor
    has_own_folders: bool
    """Whether the workers have work folders of their own: the environment says where."""

    def result(self, future: PrefectFuture[ResultT], title: str) -> ResultT:
        """Return what a stage on a worker gave, as soon as it is done.

        Raises:
            MissingEngineError: there is no worker left for it.
            Exception: as the stage raised it.
        """
        try:
            return future.result()
        except self.lost as error:
            raise MissingEngineError(
                f"{title}: the cluster of spread.task_runner could not do it, for its workers died of it or the "
                f"cluster went away ({type(error).__name__}); see to their memory and their log, and run the same "
                "again: finished stages are kept."
            ) from error

    def abreast(self, do: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> Iterator[ResultT]:
        """Yield what ``do`` returns for each item, in their order; they go on at the same time.

        Raises:
            Exception: what the first raised that failed, when the others are done; theirs are logged.
        """
        futures = [self.pool.submit(copy_context().run, do, item) for item in items]
        errors = []
        for future in futures:
            try:
                result = future.result()
            except Exception as error:
                errors.append(error)
            else:
                yield result
        for other in errors[1:]:
            _LOG.error("%s", other)
        if errors:
            raise errors[0]


@contextmanager
def spreading(config: SpreadConfig, abreast: int) -> Iterator[Cluster | None]:
    """Yield the cluster that the settings ask for, which does ``abreast`` things at once; None: stages are done here.

    One that was started for it has ended afterwards, with all that its workers do.

    Raises:
        MissingEngineError: Prefect's package for it is not installed.
        PassingError: there is none at the address.
        InputError: there is no Prefect server that its workers could report to.
    """
    if config.task_runner == "here":
        yield None
        return
    start = chosen(RUNNERS, config.task_runner, "spread.task_runner").make()
    if PREFECT_API_URL.value() is None:
        raise InputError(
            f"spread.task_runner is {config.task_runner}, whose workers report to a Prefect server, and none is set; "
            "start one (dubwright serve) and name it in PREFECT_API_URL, or leave spread.task_runner out."
        )
    # The threads are waited for last: what they wait for ends with the cluster.
    with ThreadPoolExecutor(abreast) as pool, start(config) as (runner, lost):
        yield Cluster(runner, lost, pool, config.address is not None)


@contextmanager
def on_dask(config: SpreadConfig) -> Iterator[tuple[TaskRunner[Any], tuple[type[BaseException], ...]]]:
    """Connect to a Dask cluster, or start one that only this user can reach."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError
    from prefect_dask import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.WARNING)  # at INFO it tells of every connection
    if config.address is not None:
        runner = DaskTaskRunner(address=config.address)
    else:
        threads = max(1, (os.cpu_count() or 1) // config.workers)
        runner = DaskTaskRunner(
            cluster_kwargs={
                "n_workers": config.workers,
                "threads_per_worker": 1,
                "processes": True,
                "host": _LOOPBACK,
                "security": True,  # who may talk to a Dask worker may run code there: certificates for this run alone
                "dashboard_address": f"{_LOOPBACK}:0",  # a free port; without it these listen to the whole network
                "worker_dashboard_address": f"{_LOOPBACK}:0",
                "memory_limit": 0,  # Dask would end a worker for what a model takes; stages have their own way
                "env": {"OMP_NUM_THREADS": threads},  # Dask's own default is 1, however many cores there are
            }
        )
    with runner:
        try:
            _ = runner.client  # made when it is first asked for: here, before there are other threads
        except OSError as error:
            raise _no_answer(config, error) from error
        yield runner, (KilledWorker, FutureCancelledError)


@contextmanager
def on_ray(config: SpreadConfig) -> Iterator[tuple[TaskRunner[Any], tuple[type[BaseException], ...]]]:
    """Connect to a Ray cluster, or start one on this machine."""
    from prefect_ray import RayTaskRunner
    from ray.exceptions import RayError

    if config.address is not None:
        runner = RayTaskRunner(address=config.address)
    else:
        runner = RayTaskRunner(
            init_kwargs={"num_cpus": config.workers, "include_dashboard": False, "_node_ip_address": _LOOPBACK}
        )
    with ExitStack() as ends:
        try:
            ends.enter_context(runner)
        except (ConnectionError, TimeoutError) as error:
            raise _no_answer(config, error) from error
        yield runner, (RayError,)


def _no_answer(config: SpreadConfig, error: Exception) -> PassingError:
    return PassingError(
        f"the {config.task_runner} cluster at {config.address} does not answer ({' '.join(str(error).split())}); start "
        "it, or correct spread.address."
    )


def perform(
    job: Job, has_own_folder: bool, stage: Stage, inputs: tuple[Any, ...], language: str | None
) -> tuple[Artifact, StageRun]:
    """Do a stage of a job on the worker of a cluster, with that machine's work folder.

    Raises:
        InputError: the video, or what another machine has made, cannot be had here.
    """
    work = Path(os.environ[_WORK]) if has_own_folder and _WORK in os.environ else job.settings.work
    runner = Runner(replace(job, settings=job.settings.model_copy(update={"work": work})), shown.watch)
    with in_use(work, job.video):
        return runner.perform(stage, tuple(_brought(each, runner) for each in inputs), language)


def _brought(given: Any, runner: Runner) -> Any:
    """Return a stage's input with its files on this machine."""
    if isinstance(given, Artifact):
        return runner.store.brought(given)
    return runner.store.brought_video(given) if isinstance(given, SourceVideo) else given
