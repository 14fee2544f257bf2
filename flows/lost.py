"""Runs whose machine or process was lost: the server's automations that find them, and when one is given up.

Prefect's own means (https://docs.prefect.io/v3/advanced/detect-zombie-flows): a run sends heartbeats, and automations
act where they are missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from stages.errors import InputError

AUTOMATIONS = Path(__file__).parents[1] / "configs" / "prefect" / "lost-runs.yaml"
_LOST = "Lost: "
"""How the message of such a state begins, in the automations and here."""


def watch_for_lost(automations: Path = AUTOMATIONS) -> None:
    """Make the automations on the server that the settings name, unless it has some of these names."""
    given: list[dict[str, Any]] = yaml.safe_load(automations.read_text(encoding="utf-8"))["automations"]
    with get_client(sync_client=True) as client:
        known = {each["name"] for each in client.request("POST", "/automations/filter", json={}).json()}
    for each in given:
        if each["name"] not in known:
            Automation.model_validate(each).create()


def times_lost(most: int) -> int:
    """Return how often the surrounding flow run was lost before.

    Raises:
        InputError: it was lost ``most`` times: it is not begun again.
    """
    if flow_run.id is None or (flow_run.run_count or 1) == 1:
        return 0
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(UUID(flow_run.id))
    losses = sum((state.message or "").startswith(_LOST) for state in states)
    if losses >= most:
        raise InputError(
            f"the machine or process of this run was lost {losses} times (limits.losses), so it is not begun again; "
            "see what the worker's machine ran short of, then start a new run: finished stages are kept."
        )
    return losses
