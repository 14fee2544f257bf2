"""Whether the stages of a run in Prefect are done here, one after the other, or by the workers of a cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.artifacts import Record


class SpreadConfig(Record):
    """Where the stages of a run in Prefect are done. Nothing of it changes what comes out."""

    task_runner: Literal["here", "dask", "ray"] = "here"
    """``here``: in the run's own process, one after the other; else on a cluster, target languages at the same time."""
    address: str | None = None
    """Of a cluster that is there: ``tcp://host:8786`` of a Dask scheduler, ``ray://host:10001`` of a Ray head. None:
    one of this machine is started for the run and ended with it."""
    workers: int = Field(default=2, ge=1)
    """Processes of the cluster that is started for the run; each does one stage at a time."""
