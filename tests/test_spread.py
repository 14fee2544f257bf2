"""Stages on the workers of a real Dask cluster, with a real Prefect server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from conftest import ROOT
from prefect.settings import PREFECT_API_URL, temporary_settings
from spread_stages import Met, meet, read_name
from test_child import gone
from test_prefect_waiting import Server, until
from test_prefect_waiting import server as server  # a fixture

from flows import shown
from flows.finished import _OF_THE_MACHINE
from flows.job import Job
from flows.spread import perform, spreading
from stages import engines
from stages.artifacts import SourceVideo
from stages.errors import InputError, MissingEngineError, PassingError
from stages.progress import silent
from stages.settings import load
from stages.spread import SpreadConfig
from stages.store import Stage

pytestmark = pytest.mark.slow
sys.path.append(str(ROOT / "bench"))
from soak import content  # noqa: E402

FLOW = Path(__file__).with_name("spread_flow.py")
PATIENCE_S = 240
DASK = {"DUBWRIGHT_SPREAD__TASK_RUNNER": "dask"}


def address(standing: Standing | None) -> dict[str, str]:
    return DASK if standing is None else DASK | {"DUBWRIGHT_SPREAD__ADDRESS": standing.address}


def started(server: Server, name: str, folder: Path, standing: Standing | None = None) -> subprocess.Popen[str]:
    return server.start(name, folder, flow=FLOW, **address(standing))


def ended(process: subprocess.Popen[str], code: int) -> None:
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, errors


def message(server: Server, state: str) -> list[str]:
    return [run["state"]["message"] for run in server.runs("spread", state)]


def pids(folder: Path) -> list[int]:
    told = until(lambda: (folder / "pids").exists() and (folder / "pids").read_text(), PATIENCE_S)
    return [int(pid) for pid in told.split()]


@dataclass(frozen=True)
class Standing:
    """A Dask cluster that was there before: a scheduler and two workers, each with a work folder of its own."""

    address: str
    folder: Path


@pytest.fixture(scope="module")
def standing(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Standing(f"tcp://127.0.0.1:{port}", tmp_path_factory.mktemp("standing"))
    dask, here = [sys.executable, "-m", "dask"], ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    scheduler = [*dask, "scheduler", "--port", str(port), *here]
    worker = [*dask, "worker", found.address, "--nthreads", "1", "--memory-limit", "0", *here]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": found.folder}
    once = server.environment | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    running = [subprocess.Popen(scheduler, env=once, **quiet)]
    for name in "01":
        with_folder = server.environment | {"DUBWRIGHT_WORK": str(found.folder / name)}
        running.append(subprocess.Popen(worker, env=with_folder, **quiet))
    try:
        yield found
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def comparable(file: Path) -> Any:
    """What must be equal of a file of two runs: of a video its packets, of a report all but times and places."""
    made = content(file)
    if isinstance(made, dict) and "settings" in made:
        made["settings"] = {key: value for key, value in made["settings"].items() if key not in _OF_THE_MACHINE}
    return made


def test_languages_and_parts_go_on_at_the_same_time(server: Server, tmp_path: Path) -> None:
    ended(started(server, "abreast", tmp_path), 0)
    told = json.loads((tmp_path / "made.json").read_text())
    names = [name for name, _, _ in told["made"]]
    assert names == ["pt-BR", "es", "y", "x"] == [text for _, _, text in told["made"]], "in the order that was given"
    workers = {pid for _, pid, _ in told["made"]}
    assert len(workers) == 2 and told["here"] not in workers
    assert sorted(map(str, told["runs"])) == sorted(["['meet', 'pt-BR']", "['meet', 'es']", *["['meet', None]"] * 2])
    assert told["listening"] == ["127.0.0.1"]
    assert gone(list(workers), within_s=5), "the cluster ends with the run"
    tasks = server.post("/task_runs/filter", {"flows": {"name": {"any_": ["spread"]}}})
    assert isinstance(tasks, list)
    assert sorted(each["name"] for each in tasks) == ["meet", "meet", "meet -> es", "meet -> pt-BR"]
    assert {each["state_type"] for each in tasks} == {"COMPLETED"}
    assert all(each["tags"] == [] for each in tasks)
    bars = server.post("/artifacts/filter", {"artifacts": {"type": {"any_": ["progress"]}}})
    assert {each["id"] for each in tasks} <= {bar["task_run_id"] for bar in bars if bar["data"] == 100.0}  # type: ignore


def test_a_person_is_asked_about_one_language_after_the_other(
    server: Server, standing: Standing, tmp_path: Path
) -> None:
    run = started(server, "asked", tmp_path, standing)
    seen: list[str] = []
    for _ in range(2):
        pause = until(lambda: [each for each in server.runs("spread", "Paused") if each["state"]["id"] not in seen])[0]
        seen.append(pause["state"]["id"])
        server.post(f"/flow_runs/{pause['id']}/resume", {"run_input": {"edits": ""}})
    ended(run, 0)
    assert json.loads((tmp_path / "made.json").read_text()) == ["Uma linha.", "Uma linha."]
    assert len(list(tmp_path.glob("*.approval.json"))) == 2


def test_retries_and_the_one_line_of_a_failure_are_as_here(server: Server, standing: Standing, tmp_path: Path) -> None:
    ended(started(server, "refused", tmp_path, standing), 1)
    assert (tmp_path / "tries").read_text() == "xxx"
    assert "nothing can be made of this." in message(server, "Failed")


def test_what_a_killed_worker_was_at_is_done_by_another(server: Server, standing: Standing, tmp_path: Path) -> None:
    run = started(server, "long", tmp_path, standing)
    child, sleeping = pids(tmp_path)
    worker = parent(child)
    assert worker != run.pid
    os.kill(worker, signal.SIGKILL)
    ended(run, 0)
    assert gone([child, sleeping], within_s=3)
    assert (tmp_path / "made.json").exists()


def test_a_stage_that_kills_every_worker_ends_the_run_with_one_line(
    server: Server, standing: Standing, tmp_path: Path
) -> None:
    ended(started(server, "dying", tmp_path, standing), 1)
    (line,) = [each for each in message(server, "Failed") if each.startswith("Die: ")]
    assert "\n" not in line and "its workers died of it" in line and "finished stages are kept" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_ends_its_cluster_and_what_it_does(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    run = started(server, "long", tmp_path)
    child, sleeping = pids(tmp_path)
    worker = parent(child)
    run.send_signal(number)
    run.communicate(timeout=PATIENCE_S)
    assert gone([worker, child, sleeping], within_s=5)


def test_on_a_standing_cluster_what_has_begun_is_finished_and_nothing_else_begins(
    server: Server, standing: Standing, tmp_path: Path
) -> None:
    run = started(server, "queue", tmp_path, standing)
    until(lambda: all((tmp_path / f"{name}.begun").exists() for name in ("first", "second")), PATIENCE_S)
    run.terminate()
    run.communicate(timeout=PATIENCE_S)
    until(lambda: all((tmp_path / f"{name}.done").exists() for name in ("first", "second")), PATIENCE_S)
    time.sleep(3)
    assert not (tmp_path / "third.begun").exists()


def test_what_another_machine_made_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "watch", lambda stage, language: silent)
    store = tmp_path / "store"
    store.mkdir()
    settings = load("embedded", {"work": tmp_path / "one", "shared_store": store.as_uri()})
    video = SourceVideo(path=tmp_path / "v.mp4", sha256="a" * 64)
    job = Job(video, (), settings, tmp_path)
    first, told = perform(job, True, Stage("meet", "Meet", meet, Met, 1, "mix"), (str(tmp_path), "a", ()), None)
    (tmp_path / "one").rename(tmp_path / "gone")
    monkeypatch.setenv("DUBWRIGHT_WORK", str(tmp_path / "two"))
    read = Stage("read", "Read", read_name, Met, 1, "mix")
    second, _ = perform(job, True, read, (first,), None)
    assert second.name == "a" and not (tmp_path / "one").exists() and not told.from_store  # type: ignore[attr-defined]
    assert second.file("name.txt").is_relative_to(tmp_path / "two")
    with pytest.raises(InputError, match=r"v\.mp4 is not on this machine; give the video by URL"):
        perform(job, True, read, (video,), None)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(InputError, match="PREFECT_API_URL"),
        spreading(SpreadConfig(task_runner="dask"), 1),
    ):
        pass
    monkeypatch.setattr(engines, "_is_installed", lambda name: False)
    with pytest.raises(MissingEngineError, match=r'pip install "dubwright\[ray\]"'):  # noqa: SIM117
        with spreading(SpreadConfig(task_runner="ray"), 1):
            pass


def test_a_cluster_that_does_not_answer_is_named() -> None:
    config = SpreadConfig(task_runner="dask", address="tcp://127.0.0.1:9")
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        pytest.raises(PassingError, match=r"dask cluster at tcp://127\.0\.0\.1:9 does not answer"),
        spreading(config, 1),
    ):
        pass


def parent(pid: int) -> int:
    found = psutil.Process(pid).parent()
    assert found is not None
    return found.pid
