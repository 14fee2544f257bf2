"""A person asked in Prefect: the flow run is paused, its page shows a form, and what is written there is taken over."""

from __future__ import annotations

from threading import Lock

from prefect.context import FlowRunContext
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL
from pydantic import Field

from flows.approve import Question, stop
from flows.asked import write_text
from stages.errors import InputError

_DUB = "Resume the run to have it delivered. To change it, cancel the run, edit its lines and run it again."
_LOOK_AGAIN_S = 5


class Answer(RunInput):
    """What a person answers; the form of a paused run."""

    edits: str = Field(
        default="",
        title="Changes (TOML)",
        description="The file as it is. What is changed here is written into it and taken over.",
    )


def ask(longest_wait_s: float, turn: Lock, question: Question) -> None:
    """Pause the flow run until a person has resumed it, which approves; without a server of its own end it.

    What was written that cannot be taken over is asked for again, with the reason. A flow run's page shows one question
    at a time, so of languages that go on at the same time each waits for its ``turn``.

    Raises:
        WaitingError: no server is configured, so nobody could resume the run.
        FlowPauseTimeout: nobody has answered for ``longest_wait_s``.
    """
    if FlowRunContext.get() is None or PREFECT_API_URL.value() is None:
        stop(question)
    with turn:
        _ask(longest_wait_s, question)


def _ask(longest_wait_s: float, question: Question) -> None:
    file, problem = question.look_at, ""
    before = proposed = file.read_text(encoding="utf-8") if question.is_text else ""
    while True:
        told = f"The {question.about} waits for you: `{file}`\n\n{'' if question.is_text else _DUB}\n\n{problem}"
        answer = pause_flow_run(
            wait_for_input=Answer.with_initial_data(description=told, edits=proposed),
            timeout=round(longest_wait_s),
            poll_interval=_LOOK_AGAIN_S,
        )
        is_changed = question.is_text and answer is not None and answer.edits.strip() != before.strip()
        if is_changed:
            proposed = answer.edits.rstrip() + "\n"
            write_text(file, proposed)
        try:
            question.approve()
        except InputError as error:
            problem = f"**{error}**"
            if is_changed:  # it stands in the form; the file stays one that a run can take over
                write_text(file, before)
        else:
            return
