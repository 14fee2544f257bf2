"""Subtitles without a dub: what is said, and its translations, in the slots of the source's lines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flows.job import Job
from language_packs import Packs, SubtitleRules
from stages import models, pipeline
from stages.artifacts import Record
from stages.errors import InputError
from stages.languages import normalise_tag
from stages.media import printable
from stages.settings import Settings
from stages.shared_store import check_shared
from stages.speakers import Speakers
from stages.still import open_inputs
from stages.subtitles import Cue, script_cues, source_cues, write_ass, write_srt, write_vtt
from stages.translate import check_pair, check_references

_WRITERS = {"srt": write_srt, "vtt": write_vtt, "ass": write_ass}


class Subtitles(Record):
    """Where the subtitles of one language lie."""

    language: str
    files: tuple[Path, ...]
    lines: int
    """How many lines are in them; each is one or more subtitles."""


def check(video: Path, targets: list[str], out: Path | None, settings: Settings, force: bool) -> Job:
    """Check everything that can be checked before any work; without targets the source alone is written down.

    Raises:
        InputError: the video, a language, a pair or the output folder cannot be used.
        PackError: no language pack serves a target language.
        MissingEngineError: a model is missing or damaged, or a translator is not installed.
    """
    tags = tuple(dict.fromkeys(normalise_tag(tag) for tag in targets))
    check_shared(settings.shared_store)
    opened = open_inputs(video, None)
    packs, source = Packs(settings.packs), settings.transcribe.language
    for tag in tags:
        packs.load(tag)
        check_pair(source, tag, settings.translate)
    check_references(settings.glossary, settings.memories, source, tags)
    for stage in (*pipeline.SHARED_STAGES, *((pipeline.TRANSLATE,) if tags else ())):
        for name in stage.models_for(getattr(settings, stage.config)):
            models.find(name)
            if settings.commercial:
                models.check_commercial(name)
    folder = out or Path(f"{video.stem}.subtitles")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{printable(folder)} cannot be made ({error.strerror}); give another with --out.") from error
    held = [tag for tag in tags if any((folder / name).exists() for name in _names(video.stem, tag))]
    if held and not force:
        raise InputError(
            f"{printable(folder)} already holds this video's subtitles in {', '.join(held)}; add --force to replace "
            "them, or give another folder with --out."
        )
    return Job(opened, tags, settings, folder)


def export(job: Job, run: pipeline.RunStage) -> Iterator[Subtitles]:
    """Write the subtitles of the source and of every target language; a language's files appear together."""
    shared = pipeline.prepare(run, job.video, job.targets, job.settings, Speakers())
    packs, stem = Packs(job.settings.packs), job.video.path.stem
    heard = shared.transcript
    rules = SubtitleRules() if packs.find(heard.language) is None else packs.load(heard.language).subtitles
    yield _written(job.out, stem, heard.language, source_cues(heard, rules), len(heard.lines))
    for target in job.targets:
        script = pipeline.translation(run, shared, target, job.settings)
        cues = script_cues(script, packs.load(target).subtitles)
        yield _written(job.out, stem, target, cues, len(script.lines))


def _written(folder: Path, stem: str, language: str, cues: tuple[Cue, ...], lines: int) -> Subtitles:
    names = _names(stem, language)
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".dubwright-"))
    try:
        for name, write in zip(names, _WRITERS.values(), strict=True):
            write(scratch / name, cues)
        for name in names:
            (scratch / name).replace(folder / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Subtitles(language=language, files=tuple(folder / name for name in names), lines=lines)


def _names(stem: str, language: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{language}.{ending}" for ending in _WRITERS)
