"""Flows whose small stages go to a cluster. ``python spread_flow.py NAME FOLDER`` runs one."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import flows  # noqa: F401  (first: it says how Prefect is set up)

# isort: split
import psutil
from prefect import flow
from spread_stages import Met, die, long_at_first, meet, refuse, some_seconds
from waiting_stages import script

from flows.approve import Approvals
from flows.asked_in_prefect import ask
from flows.failures import EXPECTED, failed
from flows.job import Job, Runner
from flows.options import Stop
from flows.shown import watch
from flows.spread import Cluster, spreading
from flows.tasks import TaskRunner
from stages.artifacts import Artifact, Script, SourceVideo
from stages.edits import Edits
from stages.review import Written
from stages.settings import load
from stages.speakers import Speakers
from stages.store import Stage

LANGUAGES = ("pt-BR", "es")


def stage(name: str, function: Any, kind: type[Artifact] = Artifact) -> Stage:
    return Stage(name, name.title(), function, kind, 1, "mix")


def abreast(folder: str, run: TaskRunner, cluster: Cluster) -> Any:
    """Two languages at once, and several inputs of one stage at once."""
    meeting = stage("meet", meet, Met)
    said = list(cluster.abreast(lambda tag: run(meeting, folder, tag, LANGUAGES, language=tag), LANGUAGES))
    parts = run.each(meeting, [(folder, name, ("x", "y")) for name in ("y", "x")])
    kept = [(each.name, each.pid, each.file("name.txt").read_text()) for each in (*said, *parts)]  # type: ignore
    listening = {
        each.laddr.ip
        for pid in (os.getpid(), *(pid for _, pid, _ in kept))
        for each in psutil.Process(pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    runs = [(each.name, each.language) for each in run.runner.runs]
    return {"made": kept, "runs": runs, "here": os.getpid(), "listening": list(listening)}


def asked(folder: str, run: TaskRunner, cluster: Cluster) -> Any:
    """A person is asked about each of two languages."""
    review = Approvals(
        Path(folder), "v", (Stop.TRANSLATION,), Written(), Speakers(), partial(ask, 60.0, Lock())
    )  # fmt: skip

    def fitted(edits: Edits) -> Script:
        made = run(stage("fit", script, Script), edits)
        assert isinstance(made, Script)
        return made

    return [made.lines[0].text for made in cluster.abreast(lambda tag: review.translation(tag, fitted), LANGUAGES)]


def refused(folder: str, run: TaskRunner, cluster: Cluster) -> Any:
    """What may pass is tried again, what may not ends the run."""
    return run(stage("refuse", refuse), folder)


def long(folder: str, run: TaskRunner, cluster: Cluster) -> Any:
    """A stage that takes long at first."""
    run(stage("long", long_at_first), folder)


def queue(folder: str, run: TaskRunner, cluster: Cluster) -> Any:
    """Three stages for two workers."""
    run.each(stage("queue", some_seconds), [(folder, name) for name in ("first", "second", "third")])


def dying(folder: str, run: TaskRunner, cluster: Cluster) -> Any:
    """A stage that no worker survives."""
    run(stage("die", die))


KINDS = {each.__name__: each for each in (abreast, asked, refused, long, queue, dying)}


@flow(flow_run_name="{name}", persist_result=False)
def spread(name: str, folder: str) -> Any:
    try:
        limits = {"first_wait_s": 0.1, "by_stage_s": {"long": 300}}  # with a limit it works in a process of its own
        settings = load("embedded", {"work": Path(folder, "work"), "limits": limits})
        video = SourceVideo(path=Path(folder, "v.mp4"), sha256="a" * 64)
        runner = Runner(Job(video, LANGUAGES, settings, Path(folder)), watch)
        with spreading(settings.spread, len(LANGUAGES)) as cluster:
            assert cluster is not None
            made = KINDS[name](folder, TaskRunner(runner, cluster), cluster)
    except EXPECTED as error:
        return failed(error)
    Path(folder, "made.json").write_text(json.dumps(made, default=str))


if __name__ == "__main__":
    spread(sys.argv[1], sys.argv[2])
