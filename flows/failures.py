"""Expected errors and Prefect: a server that is not there, and the one line that its UI shows of a failed run."""

from __future__ import annotations

from typing import Any

import httpx
from prefect.settings import PREFECT_API_URL
from prefect.states import Failed

from language_packs import PackError
from stages.errors import DubwrightError, InputError

EXPECTED = (DubwrightError, PackError)
_PATIENCE_S = 10.0


def failed(error: Exception) -> Any:
    """Return a state in place of a flow's or task's result; whoever called it is raised ``error`` by Prefect."""
    return Failed(message=str(error), data=error)


def check_server() -> None:
    """Check that the server of the environment or of the Prefect profile answers; with none set, Prefect starts one.

    Raises:
        InputError: it does not.
    """
    url = PREFECT_API_URL.value()
    if url is None:
        return
    try:
        httpx.get(f"{url}/health", timeout=_PATIENCE_S).raise_for_status()
    except httpx.HTTPError as error:
        raise InputError(
            f"the Prefect server at {url} does not answer ({error}); start it (dubwright serve), unset PREFECT_API_URL "
            "or leave --prefect out."
        ) from error
