"""What the Prefect UI shows of a run beside its tasks: how far each is, the lines, the figures, where the files lie."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from stages.deliver import Delivery
from stages.media import printable
from stages.progress import Progress
from stages.store import Stage

_LOG = logging.getLogger("flows")
for _name in ("flows", "stages"):  # Prefect takes their records, but leaves their level as it is: only warnings
    logging.getLogger(_name).setLevel(logging.INFO)
_LOGGED_STEP = 0.25
_EVERY_S = 2.0
"""A bar is moved no more often: every move is a request to the server."""


def watch(stage: Stage, language: str | None) -> Progress:
    """Return what shows a stage's progress, as an artifact of the task that runs and as log lines, one a quarter."""
    title = stage.title + (f" ({language})" if language else "")
    key = _slug("progress", stage.name, language or "")
    bar = _Bar(title)
    with _worth_no_run(title):
        bar.id = cast(UUID, create_progress_artifact(progress=0.0, key=key, description=title))
    return bar


@dataclass
class _Bar:
    """A progress artifact; told from whatever thread the stage works in."""

    title: str
    id: UUID | None = None
    """None where the server does not take it (any more)."""
    shown: float = 0.0
    logged: float = 0.0
    moved_s: float = field(default_factory=lambda: time.monotonic())
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, share_done: float) -> None:
        with self.lock:
            done = share_done >= 1.0
            if share_done >= self.logged + _LOGGED_STEP or (done and self.logged < 1.0):
                self.logged = share_done
                _LOG.info("%s: %.0f %%", self.title, share_done * 100)
            if share_done > self.shown and (done or time.monotonic() - self.moved_s >= _EVERY_S):
                self.shown, self.moved_s = share_done, time.monotonic()
                self._move(100 * share_done)

    def _move(self, percent: float) -> None:
        if self.id is None:
            return
        bar, self.id = self.id, None
        with _worth_no_run(self.title):
            update_progress_artifact(artifact_id=bar, progress=round(percent, 1))
            self.id = bar


@contextmanager
def _worth_no_run(what: str) -> Iterator[None]:
    """Warn where the server does not take what is shown: that must not cost a run the work of hours."""
    try:
        yield
    except httpx.HTTPError as error:
        _LOG.warning("%s: the server does not take what would be shown of it (%s); the work goes on.", what, error)


def dub(delivery: Delivery) -> None:
    """Show a finished dub: a table of its lines, a report of its figures, and links to its files."""
    content = delivery.content
    name, tag = Path(content["source"]["file"]).stem, delivery.target
    title = f"{printable(Path(name))} -> {tag}"
    lines = [_row(line) for line in content["lines"]]
    with _worth_no_run(title):
        create_table_artifact(key=_slug("lines", name, tag), table=lines, description=f"Lines of {title}")
        create_markdown_artifact(
            key=_slug("report", name, tag), markdown=report(delivery), description=f"Figures of {title}"
        )
        create_link_artifact(
            key=_slug("dub", name, tag),
            link=_link(delivery, delivery.video),
            link_text=printable(Path(delivery.video.name)),
            description=f"The dub {title}" + (", on the machine that ran it" if delivery.url is None else ""),
        )


def report(delivery: Delivery) -> str:
    """Return a dub's figures and files as Markdown."""
    content = delivery.content
    totals, source = content["totals"], content["source"]
    seconds = sum(stage["seconds"] for stage in content["stages"])
    figures = {
        "lines spoken": f"{totals['lines_spoken']} of {totals['lines']}",
        "lines that need a person": totals["lines_flagged"],
        "CER of back-transcription": _number(totals["cer"]),
        "voice similarity": _number(totals["voice_similarity"]),
        "lip closures reached": f"{totals['closures_reached']} of {totals['closures_expected']}",
        "starts within 80 ms": _number(totals["starts_within_80_ms"]),
        "loudness": f"{totals['integrated_lufs']} LUFS (source {source['integrated_lufs']})",
        "length": f"{source['duration_ms'] / 1000:.1f} s",
        "work": f"{seconds:.0f} s",
    }
    files = {
        "dub": delivery.video, "subtitles": delivery.subtitles, "source subtitles": delivery.source_subtitles,
        "report": delivery.report, "visemes": delivery.visemes,
    }  # fmt: skip
    rows = [f"| {name} | {value} |" for name, value in figures.items()]
    links = [
        f"- [{name}](<{_link(delivery, path)}>): `{printable(delivery.shown(path.absolute()))}`"
        for name, path in files.items()
    ]
    flagged = [f"- line {line['id']}: {_cell(', '.join(line['flags']))}" for line in content["lines"] if line["flags"]]
    left = [
        f"- {item['start_ms'] / 1000:.1f}-{item['end_ms'] / 1000:.1f} s: {_cell(item['reason'])}"
        for item in content["unprocessed"]
    ]
    parts = [[f"# {_cell(Path(source['file']).stem)} -> {delivery.target}", ""], ["| | |", "|---|---|", *rows]]
    parts += [["", "## Files", "", *links]]
    parts += [["", "## For a person", "", *flagged, *left]] if flagged or left else []
    return "\n".join(line for part in parts for line in part) + "\n"


def _link(delivery: Delivery, file: Path) -> str:
    return file.absolute().as_uri() if delivery.url is None else delivery.shown(file)


def _row(line: dict[str, Any]) -> dict[str, Any]:
    spoken = line["spoken_start_ms"] is not None
    return {
        "line": line["id"],
        "speaker": line["speaker_name"] or line["speaker"],
        "text": line["text"],
        "flags": ", ".join(line["flags"]),
        "spoken from s": line["spoken_start_ms"] / 1000 if spoken else "",
        "to s": line["spoken_end_ms"] / 1000 if spoken else "",
        "source": line["source_text"],
        "source from s": line["start_ms"] / 1000,
        "source to s": line["end_ms"] / 1000,
        "CER": _number(line["cer"]),
    }


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    """Keep text of the video from being read as Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _slug(*parts: str) -> str:
    """Return an artifact's key: Prefect takes small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(part for part in parts if part).lower()).strip("-")
