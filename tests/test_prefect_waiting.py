"""With a real Prefect server: a person's answer, retries, and a cancelled run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import httpx
import pytest
import yaml
from conftest import ROOT
from prefect.client.base import PrefectHttpxSyncClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from test_child import gone

from flows.lost import AUTOMATIONS, watch_for_lost

pytestmark = pytest.mark.slow
FLOW = Path(__file__).with_name("waiting_flow.py")
FoundT = TypeVar("FoundT")


class Server:
    """A Prefect server, and what is asked of it."""

    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self.environment = environment
        self._http = PrefectHttpxSyncClient(base_url=url, timeout=30)  # asks again where the server is busy (503)

    def get(self, path: str, **query: str) -> dict:
        return self._http.get(path, params=query).json()

    def post(self, path: str, content: dict) -> dict | list:
        answer = self._http.post(path, json=content)
        return answer.json() if answer.content else {}

    def is_up(self) -> bool:
        try:
            return self._http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def runs(self, flow: str, state: str) -> list[dict]:
        """Return the runs of a flow in a state, by its name."""
        found = self.post("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})
        assert isinstance(found, list)
        return [run for run in found if run["state_name"] == state]

    def start(self, *arguments: object, flow: Path = FLOW, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(flow), *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.environment | more,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )


def until(look: Callable[[], FoundT], within_s: float = 90) -> FoundT:
    ends_at = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < ends_at, "it did not happen"
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        found = Server(url, environment)
        until(found.is_up)
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_an_answer_in_the_ui_is_taken_over_and_the_run_goes_on(server: Server, tmp_path: Path) -> None:
    run = server.start("waiting", tmp_path)
    (paused,) = until(lambda: server.runs("waiting", "Paused"))
    form = until(lambda: server.post(f"/flow_runs/{paused['id']}/input/filter", {"prefix": "", "limit": 9}))
    assert isinstance(form, list)
    told = " ".join(entry["value"] for entry in form)
    assert "The translation into pt-BR waits for you" in told and "Uma linha." in told
    for edits, name in (("lines = 3", "Paused"), ('[lines.1]\ntext = "Outra linha."', "Completed")):
        (paused,) = until(lambda: server.runs("waiting", "Paused"))
        pause = paused["state"]["id"]
        server.post(f"/flow_runs/{paused['id']}/resume", {"run_input": {"edits": edits}})
        until(
            lambda name=name, pause=pause: [
                each for each in server.runs("waiting", name) if each["state"]["id"] != pause
            ]
        )
    assert run.wait(30) == 0
    assert (tmp_path / "said").read_text() == "Outra linha."
    again = server.start("waiting", tmp_path)
    assert again.wait(60) == 0, "what was approved is not asked again"


def test_a_task_is_tried_again_by_the_same_rule(server: Server, tmp_path: Path) -> None:
    assert server.start("busy", tmp_path).wait(60) == 0
    assert (tmp_path / "tries").read_text() == "xxx"
    (task,) = server.post("/task_runs/filter", {"task_runs": {"name": {"any_": ["busy"]}}})
    assert task["run_count"] == 3 and task["tags"] == []


def test_a_run_that_is_not_heard_of_any_more_is_found_and_goes_on_but_not_for_ever(
    server: Server, tmp_path: Path
) -> None:
    automations = yaml.safe_load(AUTOMATIONS.read_text())
    automations["automations"][0]["trigger"]["within"] = 10  # the least that there is
    quick = tmp_path / "quick.yaml"
    quick.write_text(yaml.safe_dump(automations))
    with temporary_settings({PREFECT_API_URL: server.environment["PREFECT_API_URL"]}):
        watch_for_lost(quick)
        watch_for_lost(quick)
    made = server.post("/automations/filter", {})
    assert sorted(each["name"] for each in made) == ["dubwright-lost", "dubwright-lost-goes-on"]
    flow = server.post("/flows/", {"name": "lost"})
    deployment = server.post(
        "/deployments/",
        {"name": "lost", "flow_id": flow["id"], "entrypoint": "tests/waiting_flow.py:lost", "path": str(ROOT)},
    )
    run = server.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"folder": str(tmp_path)}})

    def lose() -> None:
        """Begin the run, with one sign of life."""
        for state in ("PENDING", "RUNNING"):
            server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": state}})
        now = datetime.now(UTC).isoformat()
        role = {"prefect.resource.id": f"prefect.deployment.{deployment['id']}", "prefect.resource.role": "deployment"}
        beat = {"occurred": now, "id": str(uuid4()), "event": "prefect.flow-run.heartbeat", "related": [role]}
        server.post("/events", [beat | {"resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}"}}])

    def execute() -> str:
        command = [sys.executable, "-m", "prefect", "flow-run", "execute", run["id"]]
        told = subprocess.run(command, env=server.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        state = server.get(f"/flow_runs/{run['id']}")["state"]
        return f"{state['message']}\n{told.stdout}{told.stderr}"

    lose()
    until(lambda: server.runs("lost", "AwaitingRetry"))
    told = execute()
    assert (tmp_path / "losses").exists(), told
    assert (tmp_path / "losses").read_text() == "1"
    server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "SCHEDULED"}, "force": True})
    lose()
    until(lambda: server.runs("lost", "AwaitingRetry"))
    assert "was lost 2 times (limits.losses)" in execute()
    assert (tmp_path / "losses").read_text() == "1"


def store_goes_on(folder: Path) -> bool:
    return bool(list(folder.rglob("whole.txt"))) and not list(folder.rglob("half.txt"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_flow_that_is_ended_leaves_nothing_running_and_goes_on(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    run = server.start("slow", tmp_path)
    pid = int(until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text()))
    run.send_signal(number)
    run.wait(30)
    assert gone([pid], within_s=3)
    assert server.start("slow", tmp_path).wait(60) == 0
    assert store_goes_on(tmp_path)


def test_a_run_cancelled_in_the_ui_ends_its_children_and_the_next_goes_on(server: Server, tmp_path: Path) -> None:
    serving = server.start("serve")
    try:
        slow = {"deployments": {"name": {"any_": ["slow"]}}}
        deployment = until(lambda: server.post("/deployments/filter", slow))[0]
        create = f"/deployments/{deployment['id']}/create_flow_run"
        run = server.post(create, {"parameters": {"folder": str(tmp_path)}})
        pid = int(until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text()))
        server.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        until(lambda: server.get(f"/flow_runs/{run['id']}")["state_type"] == "CANCELLED")
        assert gone([pid], within_s=3)
        again = server.post(create, {"parameters": {"folder": str(tmp_path)}})
        until(lambda: server.get(f"/flow_runs/{again['id']}")["state_type"] == "COMPLETED")
        assert store_goes_on(tmp_path)
    finally:
        serving.terminate()
        serving.wait(30)
