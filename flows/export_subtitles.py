"""The Prefect flow that writes subtitles and dubs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run

from flows import shown, subtitles
from flows.failures import EXPECTED, failed
from flows.forms import Language, Profile
from flows.in_use import in_use
from flows.job import Runner
from flows.spread import spreading
from flows.subtitles import Subtitles
from flows.tasks import TaskRunner
from stages import settings


def _run_name() -> str:
    parameters = flow_run.parameters
    return f"{Path(parameters['video']).stem} -> subtitles {', '.join(parameters['target_languages'])}".rstrip()


@flow(name="export_subtitles", flow_run_name=_run_name, persist_result=False)
def export_subtitles(
    video: Path,
    target_languages: list[Language] = [],  # noqa: B006  (a form shows it; nothing changes it)
    out: Path | None = None,
    force: bool = False,
    profile: Profile = "embedded",
    overrides: dict[str, Any] = {},  # noqa: B006
) -> list[Subtitles]:
    """Write what a video says, and its translations, as subtitles (SRT, WebVTT, ASS), without dubbing it.

    Args:
        video: The video; only read. An absolute path.
        target_languages: Languages to translate into; none: what is said alone.
        out: Output folder; STEM.subtitles beside the video when not given.
        force: Replace subtitles that are already there.
        profile: Which engines do the work: a file of configs/.
        overrides: Settings by section, e.g. {"diarize": {"speakers": 2}}; see docs/settings.md.
    """
    try:
        chosen = settings.load(profile, overrides)
        place = out or video.with_name(f"{video.stem}.subtitles")
        job = subtitles.check(video, target_languages, place, chosen, force)
        with in_use(chosen.work, job.video), spreading(chosen.spread, 1) as cluster:
            written = list(subtitles.export(job, TaskRunner(Runner(job, shown.watch), cluster)))
    except EXPECTED as error:
        stands_for: Any = failed(error)
        return stands_for
    table = [{"language": each.language, "lines": each.lines, "files": str(each.files)} for each in written]
    create_table_artifact(key="subtitles", table=table, description=f"Subtitles of {video.name}")
    return written
