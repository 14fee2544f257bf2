"""Flows for tests with a real Prefect server: the stages are small, all around them is what a translation has.

``python waiting_flow.py NAME FOLDER`` runs one; ``python waiting_flow.py serve`` serves the slow one.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from threading import Lock

import flows  # noqa: F401  (first: it says how Prefect is set up)

# isort: split
from prefect import flow
from waiting_stages import busy_twice, script, slow_at_first

from flows.approve import Approvals
from flows.asked_in_prefect import ask
from flows.job import Job, Runner
from flows.lost import times_lost
from flows.options import Stop
from flows.shown import watch
from flows.tasks import TaskRunner
from stages.artifacts import Artifact, Script, SourceVideo
from stages.edits import Edits
from stages.review import Written
from stages.settings import load
from stages.speakers import Speakers
from stages.store import Stage


def runner(folder: str) -> TaskRunner:
    limits = {"stage_s": 300, "first_wait_s": 0.1}
    video = SourceVideo(path=Path(folder, "v.mp4"), sha256="a" * 64)
    settings = load("embedded", {"work": Path(folder, "work"), "limits": limits})
    return TaskRunner(Runner(Job(video, (), settings, Path(folder)), watch))


@flow(persist_result=False)
def waiting(folder: str) -> str:
    run = runner(folder)

    def fitted(edits: Edits) -> Script:
        made = run(Stage("fit", "Fitting", script, Script, 1, "mix"), edits)
        assert isinstance(made, Script)
        return made

    review = Approvals(Path(folder), "v", (Stop.TRANSLATION,), Written(), Speakers(), partial(ask, 60.0, Lock()))
    Path(folder, "said").write_text(review.translation("pt-BR", fitted).lines[0].text)
    return "done"


@flow(persist_result=False)
def busy(folder: str) -> None:
    runner(folder)(Stage("busy", "Being busy", busy_twice, Artifact, 1, "mix"), folder)


@flow(persist_result=False)
def slow(folder: str) -> None:
    runner(folder)(Stage("slow", "Being slow", slow_at_first, Artifact, 1, "mix"), folder)


@flow(persist_result=False)
def lost(folder: str) -> None:
    Path(folder, "losses").write_text(str(times_lost(2)))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        slow.serve(name="slow")
    else:
        {"waiting": waiting, "busy": busy, "slow": slow}[sys.argv[1]](sys.argv[2])
