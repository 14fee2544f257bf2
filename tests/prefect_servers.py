"""A real Prefect server for tests: ``dubwright serve`` in a process of its own, with a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

ROOT = Path(__file__).parents[1]
PATIENCE_S = 240.0
T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """Wait until ``look`` returns something."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {patience_s:.0f} s")


@dataclass(frozen=True)
class Serving:
    """A running ``dubwright serve``."""

    process: subprocess.Popen[str]
    port: int
    environment: dict[str, str]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def found(self, kind: str, **chosen: Any) -> list[dict[str, Any]]:
        """Everything of a kind that the API knows, newest first where it can be sorted."""
        answer = httpx.post(f"{self.url}/api/{kind}/filter", json=chosen, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run_named(self, name: str, *states: str) -> dict[str, Any] | None:
        for run in self.found("flow_runs", sort="START_TIME_DESC"):
            if run["name"] == name and run["state_type"] in states:
                return run
        return None

    def command(self, *arguments: object, module: str = "flows.cli") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @contextmanager
    def worker(self, pool: str, log: Path) -> Iterator[None]:
        """Run a process worker until the end of the block."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
        with log.open("w") as out:
            process = subprocess.Popen(command, env=self.environment, cwd=log.parent, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(base: Path, work: Path, *arguments: object) -> Iterator[Serving]:
    """Run ``dubwright serve`` until the end of the block, where Ctrl-C ends it."""
    port = free_port()
    environment = {
        **os.environ,
        "DUBWRIGHT_WORK": str(work),
        "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))),
        "PREFECT_HOME": str(base / "prefect"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }
    log = base / "serve.log"
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", str(port), *map(str, arguments)]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out, text=True)
    it = Serving(process, port, environment, log)

    def ready() -> bool | None:
        assert process.poll() is None, log.read_text()
        try:
            return bool(it.found("deployments")) or None
        except httpx.TransportError:
            return None

    try:
        until(ready, "deployments on the server")
        yield it
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            for each in (process, *family):
                if each.poll() is None if isinstance(each, subprocess.Popen) else each.is_running():
                    each.kill()
