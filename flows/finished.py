"""A dub that lies finished in an output folder, with everything it was made from, and what may be changed in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stages import pipeline
from stages.artifacts import SourceVideo, Transcript
from stages.corrections import corrected_lines
from stages.edits import listed
from stages.errors import InputError
from stages.media import printable
from stages.review import Written
from stages.settings import Settings, load
from stages.shared_store import SharedStore, open_shared
from stages.speakers import Speakers
from stages.store import StageRun, Store

_OF_A_LINE = ("translate", "synthesize", "timing")
"""Sections of the settings that may be others for a line than they were for the whole dub."""
_GIVEN = ("glossary", "memories")
"""Files for the translation: likewise, and those of the dub where none are given."""
_OF_THE_MACHINE = ("work", "shared_store", "models_per_gpu", "limits", "spread")
"""Where and how it is done, which changes nothing."""


@dataclass(frozen=True)
class Finished:
    """A finished dub."""

    report: dict[str, Any]
    runs: tuple[StageRun, ...]
    shared: pipeline.Shared
    heard: Transcript
    """Without a person's corrections."""
    dub: pipeline.Dub

    def shared_runs(self) -> list[StageRun]:
        """Return how the stages went that all languages share; nothing of them is done again."""
        return [run.model_copy(update={"from_store": True}) for run in self.runs if run.language is None]


@dataclass(frozen=True)
class Rerun:
    """Lines of a finished dub that are made anew."""

    before: Finished
    lines: tuple[int, ...]
    settings: Settings
    """The dub's own, with the present ones for what concerns a line."""
    waiting: tuple[int, ...]
    """Lines with an edit that is not in the dub and was not asked for either."""


def read_finished(
    report: dict[str, Any], video: SourceVideo, work: Path, shared: SharedStore | None = None
) -> Finished | None:
    """Return a finished dub as its report names it; None where not all of it is kept any more."""
    store = Store(work, video, shared=shared)
    stages = {stage.name: stage for stage in pipeline.STAGES}
    compose, correct = pipeline.COMPOSE.name, pipeline.CORRECT.name
    seldom = {compose, correct}  # most videos go without them
    try:
        runs = tuple(StageRun.model_validate(run) for run in report["stages"])
    except ValidationError:  # by a version that did not name the keys
        return None
    found: dict[str, Any] = {
        run.name: store.kept(stages[run.name], run.key, run.language) for run in runs if run.name in stages
    }
    needed = set(stages) - seldom | {run.name for run in runs} & seldom
    if any(found.get(name) is None for name in needed):
        return None
    return Finished(
        report,
        runs,
        pipeline.Shared(
            video=found[compose].source(video) if compose in found else video,
            media=found["ingest"],
            separation=found["separate"],
            diarization=found["speakers"],
            transcript=found[correct if correct in found else "transcribe"],
            track=found["track"],
            faces=found["faces"],
            habits=found["personal"],
        ),
        found["transcribe"],
        pipeline.Dub(
            script=found["fit"],
            cast=found["cast"],
            plan=found["plan"],
            speech=found["speak"],
            trajectory=found["visemes"],
            picture=found["lipsync"],
            mixdown=found["mix"],
            inspection=found["inspect"],
            sound=found["measure"],
        ),
    )


def check_rerun(
    video: SourceVideo,
    tags: tuple[str, ...],
    folder: Path,
    present: Settings,
    written: Written,
    lines: tuple[int, ...],
    speakers: Speakers,
) -> Rerun:
    """Check that ``lines`` of the dub in ``folder`` can be made anew, before any work.

    Raises:
        InputError: more than one language, no finished dub of this video, no such line, or settings or speakers
            that would change more than lines.
    """
    if len(tags) > 1:
        raise InputError("--line changes one dub; give one language with --to.")
    file = folder / f"{video.path.stem}.{tags[0]}.report.json"
    anew = "dub the video again with --force and without --line"
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{printable(folder)} holds no finished dub of this video in {tags[0]} (no {printable(Path(file.name))}), "
            "so there is no line to change; run the same command without --line first."
        ) from None
    if report["source"]["sha256"] != video.sha256:
        raise InputError(f"{printable(folder)} holds the dub of another video with the same name; {anew}.")
    ids = [line["id"] for line in report["lines"]]
    if unknown := [line for line in lines if line not in ids]:
        raise InputError(
            f"--line {unknown[0]}: there is no such line; there are: {listed(ids)} (see {printable(file)})."
        )
    edits = written.edits[tags[0]]
    edits.check(ids)
    settings = _settings(report["settings"], present)
    before = read_finished(report, video, settings.work, open_shared(settings.shared_store))
    if before is None:
        raise InputError(
            f"the work folder {printable(settings.work)} does not hold what this dub was made from (it was emptied, is "
            f"another one, or another version wrote it); give the right one with --work, or {anew}."
        )
    check_merged(report, speakers)
    shared = before.shared
    now = corrected_lines(before.heard, shared.diarization.speakers, shared.media.duration_ms, written.corrections)
    if now["lines"] != shared.transcript.lines:
        raise InputError(
            "the transcript's file corrects what is said, by whom or when otherwise than for the finished dub; --line "
            f"changes nothing but the translation of lines, so {anew}."
        )
    chosen = tuple(sorted(set(lines)))
    texts = {line.id: line.text for line in before.dub.script.lines}
    waiting = [line for line, text in edits.texts().items() if line not in chosen and texts[line] != text]
    return Rerun(before, chosen, settings, tuple(waiting))


def check_merged(report: dict[str, Any], speakers: Speakers) -> None:
    """Check that the speakers' file joins the speakers that the reported dub joined.

    Raises:
        InputError: it joins others.
    """
    heard = [each["id"] for each in report["speakers"]]
    before = {number: each["id"] for each in report["speakers"] for number in each["merged"]}
    now = {number: root for number, root in speakers.merged().items() if root in heard}
    if now != before:
        raise InputError(
            "the speakers' file joins other speakers (same_as) than the finished dub; --line changes nothing but the "
            "lines, so dub the video again with --force and without --line."
        )


def _settings(before: dict[str, Any], present: Settings) -> Settings:
    """Return the dub's own settings with the present ones for a line; what was left open then or now is no change."""
    now = present.model_dump(mode="json")
    if present.packs and now["packs"] != before.get("packs"):
        raise InputError(
            "--pack names other folders than for the finished dub; --line changes nothing but the lines, so leave it "
            "out, or dub the video again with --force and without --line."
        )
    for section in sorted(set(now) & set(before) - {"packs", "commercial", *_OF_THE_MACHINE, *_OF_A_LINE, *_GIVEN}):
        for key, value in now[section].items():
            if value is not None and value != before[section].get(key):
                raise InputError(
                    f"setting {section}.{key} is {value!r} and was {before[section].get(key)!r} for the finished dub; "
                    "--line changes nothing but the lines, so use the same, or dub the video again with --force and "
                    "without --line."
                )
    here = {key: now[key] for key in _OF_THE_MACHINE if key in present.model_fields_set}
    given = {key: now[key] for key in _GIVEN if now[key]}
    return load("embedded", before | {section: now[section] for section in _OF_A_LINE} | given | here)
