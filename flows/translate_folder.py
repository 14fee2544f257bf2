"""The Prefect flow that sweeps an inbox: every video in it is dubbed once, into an outbox."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.failures import EXPECTED, failed
from flows.forms import Choices, Language, Options
from flows.inbox import Outcome, sweep
from flows.translate_video import translate_video


def _run_name() -> str:
    parameters = flow_run.parameters
    return f"{Path(parameters['inbox']).name}/ -> {', '.join(parameters['target_languages'])}"


@flow(name="translate_folder", flow_run_name=_run_name, persist_result=False)
def translate_folder(
    inbox: Path,
    outbox: Path,
    target_languages: list[Language],
    choices: Choices = Choices(),  # noqa: B008
    quiet_s: float = 10.0,
) -> Any:
    """Dub every video of a folder that is there to stay and was not dubbed, each as a run of translate_video.

    The inbox is only read. A video that cannot be dubbed does not stop the others: OUTBOX/failed/NAME.reason.txt says
    why; remove it to have the video tried again.

    Args:
        inbox: The folder that videos are put into. An absolute path.
        outbox: Where the dubs go, each video into a folder of its own. An absolute path.
        target_languages: Languages to dub into; one that is added later is made for the videos already there.
        choices: What can be chosen; every one has a default.
        quiet_s: Seconds that a file must not have changed before it is taken.
    """

    def dub(video: Path, targets: list[str], out: Path) -> None:
        translate_video(str(video), targets, Options(**choices.model_dump(), out=str(out), force=True))

    try:
        outcomes = sweep(inbox, outbox, target_languages, dub, quiet_s)
    except EXPECTED as error:
        return failed(error)
    table = [outcome.model_dump(mode="json") for outcome in outcomes]
    create_table_artifact(key="inbox", table=table, description=f"What became of the videos of {inbox}")
    return Completed(message=_told(outcomes), data=outcomes)


def _told(outcomes: list[Outcome]) -> str:
    counts = Counter(outcome.what for outcome in outcomes)
    return ", ".join(f"{number} {what}" for what, number in counts.items()) + "." if counts else "The inbox is empty."
