"""The Prefect flow that keeps the work folder within a disk budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed

from flows.failures import EXPECTED, failed
from flows.prune import parse_size, prune, told
from stages import settings


@flow(name="prune_work", flow_run_name="keep {keep}", persist_result=False)
def prune_work(keep: str = "20GB", work: Path | None = None) -> Any:
    """Remove what was not used for longest from the work folder, until the rest fits; never what a run uses.

    Args:
        keep: How much may stay, for example 20GB.
        work: The work folder; that of the settings when not given.
    """
    try:
        done = prune(work or settings.load("embedded", {}).work, parse_size(keep))
    except EXPECTED as error:
        return failed(error)
    listed = "".join(f"- `{path}`\n" for path in done.removed)
    create_markdown_artifact(key="pruned", markdown=f"{told(done)}\n\n{listed}", description="What was removed")
    return Completed(message=told(done), data=done)
