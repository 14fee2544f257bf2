"""``dubwright evaluate``: the dubs of an output folder in figures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from flows.finished import read_finished
from flows.job import Job, Runner, Watch
from stages import evaluate, lipsync, pipeline
from stages.artifacts import FaceTrack, Media, Record, SourceVideo, SpeakerFaces, Trajectory
from stages.corrections import corrections_file, read_corrections
from stages.deliver.report import unsynced_times, visemes
from stages.edits import read_edits
from stages.errors import InputError
from stages.evaluate.goals import ROWS, Evaluation, Figure
from stages.evaluate.sound import SoundEvaluation
from stages.media import open_source, printable
from stages.review import Written
from stages.settings import Settings, load
from stages.shared_store import open_shared
from stages.speakers import read_speakers, speakers_file
from stages.store import Stage

EVALUATE = Stage("evaluate", "Looking at the result", evaluate.evaluate, Evaluation, evaluate.VERSION, "lipsync")
REENACT = Stage("reenact", "Driving the clip by itself", evaluate.reenact, Evaluation, evaluate.VERSION, "lipsync")
_REPORT = ".report.json"


class Evaluated(Record):
    """One picture in figures."""

    target: str | None
    """Language of the dub; None for a clip that was driven by itself."""
    video: Path
    evaluation: Evaluation
    sound: SoundEvaluation | None
    """None for a clip that was driven by itself."""
    unsynced: tuple[tuple[int, int, str], ...]
    """Start and end in ms, and the reason, of speech for which no mouth was moved."""
    pictures: tuple[Path, ...]

    @property
    def met(self) -> bool:
        """Whether no goal is missed."""
        return self.evaluation.met and (self.sound is None or self.sound.met)

    def show(self, console: Console) -> None:
        """Print the tables for people."""
        console.print(f"{self.video} ({self.target or 'driven by itself'})", highlight=False, soft_wrap=True)
        faces = self.evaluation.faces
        for each in faces if len(faces) > 1 else ():
            console.print(_table(f"face {each.face}", each.figures))
        console.print(_table("all faces" if len(faces) > 1 else "", self.evaluation.total))
        if self.sound is not None:
            console.print(_lines_table(self.sound))
            console.print(_table("sound", self.sound.total))
        for start_ms, end_ms, reason in self.unsynced:
            console.print(f"{start_ms / 1000:.2f}-{end_ms / 1000:.2f} s: {reason}", highlight=False, soft_wrap=True)
        for path in self.pictures:
            console.print(str(path), highlight=False, soft_wrap=True)

    def content(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "target": self.target,
            "video": str(self.video),
            "met": self.evaluation.met,
            "faces": [
                {"face": each.face, "figures": [item.content() for item in each.figures]}
                for each in self.evaluation.faces
            ],
            "total": [item.content() for item in self.evaluation.total],
            "sound": None
            if self.sound is None
            else {
                "lines": [line.model_dump(mode="json") for line in self.sound.lines],
                "total": [item.content() for item in self.sound.total],
            },
            "unsynced": [
                {"start_ms": start_ms, "end_ms": end_ms, "reason": reason} for start_ms, end_ms, reason in self.unsynced
            ],
            "pictures": [str(path) for path in self.pictures],
        }


def evaluate_folder(
    folder: Path, source: Path | None, audio: Path | None, work: Path | None, pictures: bool, watch: Watch
) -> Iterator[Evaluated]:
    """Evaluate every dub that lies in an output folder.

    What the dub was made from is taken from the work folder, and made again as the report's settings say where it is no
    longer there.

    Raises:
        InputError: no dub, its source is not there or another one, or it was made by another version.
    """
    reports = sorted(folder.glob(f"*{_REPORT}"))
    if not reports:
        raise InputError(f"{printable(folder)} holds no dub (no file *{_REPORT}); give a folder that translate wrote.")
    for report in reports:
        yield _evaluate_dub(report, source, audio, work, pictures, watch)


def evaluate_self(clip: Path, work: Path | None, watch: Watch) -> Evaluated:
    """Drive a clip by its own lips and compare what is drawn with what was filmed.

    Raises:
        InputError: it cannot be read, is shorter than 5 s, or nobody is seen to speak in it.
    """
    video, settings = open_source(clip), load("embedded", {} if work is None else {"work": work})
    if lipsync.hears(settings.lipsync):
        raise InputError(
            f"--self drives a clip by its own lips, which only lipsync.engine mesh can; "
            f"{settings.lipsync.engine} goes by the sound."
        )
    run = Runner(Job(video, (), settings, clip.parent), watch)
    media = run(pipeline.INGEST, video)
    separation = run(pipeline.SEPARATE, media)
    diarization = run(pipeline.DIARIZE, separation)
    track = run(pipeline.TRACK, video, media)
    faces = run(pipeline.FACES, track, media, diarization, separation)
    evaluation = _measured(run, REENACT, None, video, media, track, faces)
    return Evaluated(target=None, video=clip, evaluation=evaluation, sound=None, unsynced=(), pictures=())


def _measured(run: Runner, stage: Stage, language: str | None, *inputs: object) -> Evaluation:
    """Measure now: unlike a stage's result this is not kept, because it also says how the renderer does today."""
    progress = run.watch(stage, language)
    with tempfile.TemporaryDirectory() as scratch:
        result = stage.function(*inputs, run.job.settings.lipsync, Path(scratch), progress)
    progress(1.0)
    return cast(Evaluation, result)


def _evaluate_dub(
    report: Path, source: Path | None, audio: Path | None, work: Path | None, pictures: bool, watch: Watch
) -> Evaluated:
    stem = report.with_name(report.name.removesuffix(_REPORT))
    content = json.loads(report.read_text(encoding="utf-8"))
    if "settings" not in content:
        raise InputError(f"{printable(report)} does not say how the dub was made; dub it again with translate --force.")
    video, settings = _source(content, source, audio), _settings(content, work)
    lipsync.check(settings.lipsync, ())
    dubbed = open_source(stem.with_name(f"{stem.name}.mp4"))
    target = content["target"]
    run = Runner(Job(video, (target,), settings, report.parent), watch)
    shared, dub = _what_it_was_made_from(run, content, stem)
    told = json.loads(stem.with_name(f"{stem.name}.visemes.json").read_text(encoding="utf-8"))
    if json.loads(json.dumps(visemes(shared, dub))) != told:
        raise InputError(
            f"{printable(dubbed.path)} was made by another version, which speaks or shapes the mouth differently; dub "
            "it again with translate --force."
        )
    inputs = (shared.video, shared.media, dubbed, shared.track, shared.faces, dub.trajectory)
    with_speech = replace(EVALUATE, function=partial(evaluate.evaluate, speech=dub.speech))
    evaluation = _measured(run, with_speech, target, *inputs)
    drawn = _draw(stem, inputs) if pictures else ()
    return Evaluated(
        target=target,
        video=dubbed.path,
        evaluation=evaluation,
        sound=dub.sound,
        unsynced=tuple(unsynced_times(evaluation.unsynced, shared.media)),
        pictures=drawn,
    )


def _what_it_was_made_from(run: Runner, content: dict[str, Any], stem: Path) -> tuple[pipeline.Shared, pipeline.Dub]:
    video, settings, target = run.job.video, run.job.settings, content["target"]
    finished = read_finished(content, video, settings.work, open_shared(settings.shared_store))
    if finished is not None:
        return finished.shared, finished.dub
    name = stem.name.removesuffix(f".{target}")
    review = Written(
        read_corrections(corrections_file(stem.parent, name)),
        {target: read_edits(stem.with_name(f"{stem.name}.edits.toml"))},
    )
    speakers = read_speakers(speakers_file(stem.parent, name))
    shared = pipeline.prepare(run, video, (target,), settings, speakers, review)
    return shared, pipeline.dub(run, shared, target, settings, review)


def _table(title: str, figures: Sequence[Figure]) -> Table:
    shown = Table(box=None, title=title or None, title_justify="left")
    shown.add_column("figure")
    for heading in ("dub", "source", "ratio", "goal", ""):
        shown.add_column(heading, justify="right", no_wrap=True)
    for each in figures:
        ratio = _number(each.value) if ROWS[each.key].is_ratio else ""
        result = "" if each.met is None else "pass" if each.met else "MISS"
        shown.add_row(ROWS[each.key].title, _number(each.dub), _number(each.source), ratio, each.goal, result)
    return shown


def _lines_table(evaluation: SoundEvaluation) -> Table:
    """Show what was measured of every line, and the goals that it misses."""
    shown = Table(box=None, title="sound of the lines", title_justify="left")
    headings = ("line", "start, ms", "rate", "similarity", "source's", "like", "pitch, st", "level, dB", "CER")
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("misses")
    for line in evaluation.lines:
        shown.add_row(
            str(line.id),
            f"{line.start_error_ms:+d}",
            f"{line.rate:.2f}",
            _number(line.similarity),
            _number(line.source_similarity),
            line.most_like or "-",
            _number(line.pitch_semitones),
            _number(line.level_db),
            _number(line.cer),
            "; ".join(ROWS[key].title for key in line.missed),
        )
    return shown


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _draw(
    stem: Path, inputs: tuple[SourceVideo, Media, SourceVideo, FaceTrack, SpeakerFaces, Trajectory]
) -> tuple[Path, ...]:
    """Write the pictures beside the dub and return those that there are: without a moved mouth there are none."""
    from stages.evaluate.contact_sheet import contact_sheet
    from stages.evaluate.side_by_side import side_by_side

    sheet = stem.with_name(f"{stem.name}.contact-sheet.png")
    clip = stem.with_name(f"{stem.name}.side-by-side.mp4")
    contact_sheet(*inputs, sheet)
    side_by_side(*inputs, clip)
    return tuple(path for path in (sheet, clip) if path.exists())


def _source(content: dict[str, Any], given: Path | None, audio: Path | None) -> SourceVideo:
    told = content["source"]
    video = _file(told, given, "source", "--source VIDEO")
    if told.get("sound") is None:
        return video
    return video.model_copy(update={"sound": _file(told["sound"], audio, "sound", "--audio SOUND")})


def _file(told: dict[str, Any], given: Path | None, kind: str, option: str) -> SourceVideo:
    """Return a file of the dubbing: the given one, or the one that the report names, if that is still the same."""
    path = given or Path(told["path"])
    if given is None and not path.exists():
        raise InputError(f"the {kind} {printable(path)} is not there any more; say where it is with {option}.")
    found = open_source(path, "sound" if kind == "sound" else "video")
    if found.sha256 != told["sha256"]:
        raise InputError(f"{printable(path)} is not the {kind} of this dub; say where that is with {option}.")
    return found


def _settings(content: dict[str, Any], work: Path | None) -> Settings:
    return load("embedded", content["settings"] | ({} if work is None else {"work": work}))
