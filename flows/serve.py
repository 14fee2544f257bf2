"""``dubwright serve``: a Prefect server, its UI and the deployments on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from prefect import serve as serve_deployments
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.export_subtitles import export_subtitles
from flows.lost import watch_for_lost
from flows.prune import parse_size
from flows.prune_work import prune_work
from flows.translate_folder import translate_folder
from flows.translate_video import translate_video
from language_packs import Packs
from stages import settings
from stages.errors import InputError
from stages.languages import normalise_tag

LOOPBACK = "127.0.0.1"
_START_S = 120.0
"""The first start of a server on a fresh home makes its database: 20 s on two cores."""
_STOP_S = 15.0
_SWEEP_EVERY_S = 60
_PRUNE_CRON = "0 3 * * *"


@dataclass(frozen=True)
class Schedule:
    """When an inbox is swept: one of three ways; none of them: every minute."""

    cron: str | None = None
    interval_s: int | None = None
    rrule: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return it as Prefect takes it.

        Raises:
            InputError: more than one way is given.
        """
        ways = {"cron": self.cron, "interval": self.interval_s, "rrule": self.rrule}
        given = {name: value for name, value in ways.items() if value is not None}
        if len(given) > 1:
            raise InputError(f"{' and '.join(f'--{name}' for name in given)}: give one of them.")
        return given or {"interval": _SWEEP_EVERY_S}


@dataclass(frozen=True)
class Swept:
    """An inbox that is swept on a schedule."""

    inbox: Path
    outbox: Path
    targets: tuple[str, ...]
    schedule: Schedule
    profile: str


def deployments(swept: Swept | None, keep: str | None, at_once: int) -> list[RunnerDeployment]:
    """Return what is served: dubs and subtitles on demand, and what else was asked for on its schedule.

    Raises:
        InputError: a schedule, a size, a folder, a profile or a language tag cannot be used.
        PackError: no language pack serves a target language.
    """
    queued = ConcurrencyLimitConfig(limit=at_once, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
    # A sweep that is due while one is still at work has nothing to do: it would find what that one will find next.
    single = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    by_module = EntrypointType.MODULE_PATH
    if keep:
        parse_size(keep)
    served = [
        translate_video.to_deployment("on-demand", concurrency_limit=queued, entrypoint_type=by_module),
        export_subtitles.to_deployment("subtitles", concurrency_limit=queued, entrypoint_type=by_module),
        prune_work.to_deployment(
            "disk-budget",
            concurrency_limit=single,
            entrypoint_type=by_module,
            parameters={"keep": keep} if keep else None,
            cron=_PRUNE_CRON if keep else None,
        ),
    ]
    if swept is not None:
        schedule = swept.schedule.arguments()
        try:
            inbox = translate_folder.to_deployment(
                "inbox",
                parameters=_checked_parameters(swept),
                concurrency_limit=single,
                entrypoint_type=by_module,
                **schedule,
            )
        except ValueError as error:
            raise InputError(f"the schedule cannot be used: {' '.join(str(error).split())}") from error
        served.append(inbox)
    return cast(list[RunnerDeployment], served)  # in a coroutine it would be coroutines


def _checked_parameters(swept: Swept) -> dict[str, Any]:
    """Return the parameters of an inbox; what cannot be used is said now, not every minute."""
    if not swept.inbox.is_dir():
        raise InputError(f"{swept.inbox} is no folder; give the folder that the videos are put into.")
    packs = Packs(settings.load(swept.profile, {}).packs)
    targets = [normalise_tag(tag) for tag in swept.targets]
    for tag in targets:
        packs.load(tag)
    return {
        "inbox": str(swept.inbox.absolute()),
        "outbox": str(swept.outbox.absolute()),
        "target_languages": targets,
        "choices": {"profile": swept.profile},
    }


def serve(port: int, swept: Swept | None, keep: str | None, at_once: int) -> None:
    """Start a server on the loopback address and work on what it schedules, until SIGINT or SIGTERM.

    Raises:
        InputError: an option cannot be used, or the port is taken.
    """
    served = deployments(swept, keep, at_once)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also while the server starts it must not be left behind
    with server(port) as api_url, temporary_settings({PREFECT_API_URL: api_url}):
        print(f"Prefect UI: http://{LOOPBACK}:{port}   Ctrl-C ends it.", flush=True)
        watch_for_lost()
        serve_deployments(*served, print_starting_message=False)


@contextmanager
def server(port: int) -> Iterator[str]:
    """Run a Prefect server on the loopback address and yield the URL of its API.

    Raises:
        InputError: the port is taken, or the server does not start.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise InputError(
                f"port {port} is in use or not allowed ({error.strerror}); give another with --port."
            ) from error
    api_url = f"http://{LOOPBACK}:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]
    environment = {
        **os.environ,
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    # A session of its own: Ctrl-C reaches us alone, and the server ends last.
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        _wait(process, api_url, shlex.join(command[1:]))
        yield api_url
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], api_url: str, command: str) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise InputError(
                f"the Prefect server did not start (exit code {process.returncode}); try: python {command}"
            )
        try:
            if httpx.get(f"{api_url}/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise InputError(f"the Prefect server did not answer within {_START_S:.0f} s; try: python {command}")
