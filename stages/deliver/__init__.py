"""Writes the output folder: all of a language's files appear together, or none of them."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_serializer

from language_packs import Packs, SubtitleRules
from stages.artifacts import Record, SourceVideo
from stages.deliver.mux import mux
from stages.deliver.report import report, visemes
from stages.deliver.stems import STEMS, stem_names, write_stems
from stages.errors import InputError
from stages.media import printable
from stages.pipeline import Dub, Shared
from stages.settings import Settings
from stages.store import StageRun, Store
from stages.subtitles import dub_cues, source_cues, write_ass, write_srt, write_vtt


class Delivery(Record):
    """Where one dub lies, and what its report says."""

    target: str
    video: Path
    subtitles: Path
    subtitles_vtt: Path
    subtitles_ass: Path
    source_subtitles: Path
    report: Path
    visemes: Path
    stems: tuple[Path, ...] = ()
    """Voice, background and dub, where they were asked for."""
    content: dict[str, Any]
    """The report itself."""
    url: str | None = None
    """Where the output folder was given by URL: there the files lie, and no more where they were written."""
    unchanged_lines: tuple[int, ...] = ()
    """Lines that were asked for and came out as they were: then nothing was written."""

    def shown(self, file: Path) -> str:
        """Return where one of the files lies: its path, or its URL."""
        return str(file) if self.url is None else f"{self.url}/{file.name}"

    @field_serializer("video", "subtitles", "subtitles_vtt", "subtitles_ass", "source_subtitles", "report", "visemes")
    def _as_shown(self, file: Path) -> str:
        return self.shown(file)

    @field_serializer("stems")
    def _all_as_shown(self, files: tuple[Path, ...]) -> list[str]:
        return [self.shown(file) for file in files]


def check_place(
    folder: Path, stem: str, targets: tuple[str, ...], force: bool, elsewhere: Collection[str] = ()
) -> None:
    """Check that the dubs can be written, before any work; ``elsewhere`` are names of files that the folder stands for.

    Raises:
        InputError: the folder cannot be made or written to, or holds a dub already and ``force`` is not given.
    """
    shown = printable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{shown} cannot be written to ({error.strerror}); give another folder with --out.") from error
    names = {tag: f"{stem}.{tag}.mp4" for tag in targets}
    held = [tag for tag, name in names.items() if name in elsewhere or (folder / name).exists()]
    if held and not force:
        raise InputError(
            f"{shown} already holds this video's dub in {', '.join(held)}; add --force to replace it, or give another "
            "folder with --out."
        )


def _rules(packs: Packs, language: str) -> SubtitleRules:
    """Return the pack's rules; a language that can be heard need not have a pack, and has the usual ones."""
    return SubtitleRules() if packs.find(language) is None else packs.load(language).subtitles


def deliver(
    folder: Path,
    video: SourceVideo,
    shared: Shared,
    dub: Dub,
    runs: Sequence[StageRun],
    settings: Settings,
    stems: bool = False,
) -> Delivery:
    """Write one language's files into ``folder``; each is complete before any appears under its name.

    ``stems`` asks for the parts of the sound as well; where an earlier run left some they are renewed.

    Raises:
        InputError: the disk is full.
    """
    stem, tag, source = video.path.stem, dub.script.target, dub.script.source
    parts = stem_names(stem, tag)
    if not stems and not any((folder / name).exists() for name in parts.values()):
        parts = {}
    content = report(video, shared, dub, runs, settings) | {"stems": parts or None}
    packs = Packs(settings.packs)
    own = dub_cues(dub.script, dub.speech, packs.load(tag).subtitles)
    heard = source_cues(shared.transcript, _rules(packs, source))
    files = _names(stem, tag, source)
    try:
        with Store(settings.work, video).delivery(folder, tag) as scratch:
            write_srt(scratch / files["subtitles"], own)
            write_srt(scratch / files["source_subtitles"], heard)
            write_vtt(scratch / files["subtitles_vtt"], own)
            write_ass(scratch / files["subtitles_ass"], own)
            _write_json(scratch / files["report"], content)
            _write_json(scratch / files["visemes"], visemes(shared, dub))
            mux(
                scratch / files["video"], shared.video, shared.media, dub.picture, dub.mixdown, dub.script,
                {tag: own, source: heard}, scratch,
            )  # fmt: skip
            if parts:
                write_stems(scratch, parts, shared.media, dub.mixdown)
            for name in (*files.values(), *parts.values()):
                (scratch / name).replace(folder / name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"the disk of {printable(folder)} is full; free some space and run the same command again: finished "
                "stages are kept."
            ) from error
        raise
    return _delivery(folder, files, content)


def unchanged(folder: Path, stem: str, content: dict[str, Any], lines: tuple[int, ...]) -> Delivery:
    """Return the dub that lies in ``folder`` with the report ``content``, which ``lines`` have not changed."""
    return _delivery(folder, _names(stem, content["target"], content["source"]["language"]), content, lines)


def _delivery(folder: Path, files: dict[str, str], content: dict[str, Any], lines: tuple[int, ...] = ()) -> Delivery:
    places: dict[str, Any] = {key: folder / name for key, name in files.items()}
    stems = tuple(folder / content["stems"][kind] for kind in STEMS) if content.get("stems") else ()
    return Delivery(target=content["target"], content=content, unchanged_lines=lines, stems=stems, **places)


def _names(stem: str, tag: str, source: str) -> dict[str, str]:
    return {
        "subtitles": f"{stem}.{tag}.srt",
        "subtitles_vtt": f"{stem}.{tag}.vtt",
        "subtitles_ass": f"{stem}.{tag}.ass",
        "source_subtitles": f"{stem}.{source}.srt",
        "report": f"{stem}.{tag}.report.json",
        "visemes": f"{stem}.{tag}.visemes.json",
        "video": f"{stem}.{tag}.mp4",  # last to appear: where it lies, all the others do
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
