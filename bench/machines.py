"""Machines pretended on one: server on PostgreSQL, S3 store, Dask scheduler, workers with homes of their own.

Every machine is a set of processes that know each other by a mark in their environment, so that one can be killed with
everything it runs. Nothing but the loopback address is used.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

ROOT = Path(__file__).parents[1]
LOOPBACK = "127.0.0.1"
_MARK = "PRETENDED_MACHINE"
_PATIENCE_S = 120.0
T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, patience_s: float = _PATIENCE_S) -> T:
    """Wait until ``look`` returns something; what it raises because a server is not there yet counts as nothing."""
    ends_at = time.monotonic() + patience_s
    while time.monotonic() < ends_at:
        if (found := look()) is not None:
            return found
        time.sleep(0.3)
    raise SystemExit(f"{what}: not within {patience_s:.0f} s")


def free_port() -> int:
    """Return a port that nobody listens to."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool | None:
    """Return True when somebody listens to a port, else None."""
    with socket.socket() as probe:
        return True if probe.connect_ex((LOOPBACK, port)) == 0 else None


def is_pretended(process: psutil.Process) -> bool:
    """Return whether a process runs, or ran, on one of the machines here."""
    return process.status() == psutil.STATUS_ZOMBIE or _MARK in process.environ()


@dataclass
class Machine:
    """Processes with a home of their own."""

    name: str
    home: Path
    environment: Mapping[str, str]
    """Beside what every process here has."""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str, user: str | None = None) -> subprocess.Popen[bytes]:
        """Start a program in the machine's home; what it prints goes to ``log`` there."""
        self.home.mkdir(parents=True, exist_ok=True)
        own = {"HOME": str(self.home), "PREFECT_HOME": str(self.home / "prefect"), _MARK: self.mark}
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.home, env={**os.environ, **own, **self.environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, user=user,
            )  # fmt: skip
        self.started.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """Return all that runs on it; what writes its title over its environment, as PostgreSQL does, by its parent."""
        found = {
            each
            for parent in self.started
            if parent.poll() is None
            for each in (psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True))
        }
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == self.mark:
                    found.add(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return sorted(found, key=lambda process: process.pid)

    def kill(self) -> int:
        """Kill everything on it at once, as when the power fails; return how many processes that were."""
        killed = 0
        while found := self.processes():
            for process in found:
                try:
                    process.send_signal(signal.SIGKILL)
                    killed += 1
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.05)
        return killed

    def stop(self) -> None:
        """End everything on it, with a kill for what does not go."""
        for process in self.processes():
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(self.processes(), timeout=10)
        self.kill()


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, Machine]]:
    """Run a PostgreSQL server on a Unix socket in ``folder``; yield the URL that Prefect takes, and its processes."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        raise SystemExit("PostgreSQL is not installed; on Debian or Ubuntu: make cluster-tools")
    as_root = os.getuid() == 0  # PostgreSQL refuses to run as root
    folder.mkdir(parents=True)
    if as_root:
        shutil.chown(folder, "postgres")
    user = "postgres" if as_root else None
    machine = Machine("postgres", folder.with_name("postgres-home"), {})
    begun = machine.start(
        str(programs[-1] / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", user=user
    )
    if begun.wait(_PATIENCE_S):
        raise SystemExit(f"initdb failed:\n{(machine.home / 'log').read_text()}")
    settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_connections=200")
    options = [part for setting in settings for part in ("-c", setting)]
    machine.start(str(programs[-1] / "postgres"), "-D", str(folder / "data"), *options, user=user)
    try:
        until(lambda: True if (folder / ".s.PGSQL.5432").exists() else None, "PostgreSQL")
        yield f"postgresql+asyncpg://postgres@/postgres?host={folder}", machine
    finally:
        machine.stop()


@contextmanager
def s3(home: Path) -> Iterator[str]:
    """Run moto's S3 server and yield its URL; any key is let in."""
    port, machine = free_port(), Machine("s3", home, {})
    machine.start(sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port))
    try:
        until(lambda: answers(port), "the S3 server")
        yield f"http://{LOOPBACK}:{port}"
    finally:
        machine.stop()


@contextmanager
def dask_scheduler(home: Path) -> Iterator[str]:
    """Run a Dask scheduler and yield its address."""
    port, machine = free_port(), Machine("dask", home, {})
    machine.start(
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        LOOPBACK,
        "--port",
        str(port),
        "--no-dashboard",
    )
    try:
        until(lambda: answers(port), "the Dask scheduler")
        yield f"tcp://{LOOPBACK}:{port}"
    finally:
        machine.stop()
