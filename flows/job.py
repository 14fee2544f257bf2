"""One job: a video, its target languages and its settings, checked before any work and delivered at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from flows.approve import Approvals, Question, WaitingError, stop, was_agreed
from flows.asked import REVIEW
from flows.finished import Rerun, check_rerun
from flows.fits import check_fits
from flows.history import Task, read_task, remember, task_of
from flows.options import Stop
from flows.output import Output, Place, local_video, naming, open_output
from language_packs import Packs
from stages import lipsync, manifest, models, pipeline
from stages.artifacts import Artifact, SourceVideo
from stages.corrections import corrections_file, read_corrections
from stages.deliver import Delivery, check_place, deliver, unchanged
from stages.deliver.stems import stem_names
from stages.edits import edits_file, read_edits
from stages.errors import InputError
from stages.languages import normalise_tag
from stages.progress import Progress
from stages.review import AS_HEARD, Written
from stages.settings import Settings
from stages.shared_store import check_shared, open_shared
from stages.speakers import Speakers, read_speakers, speakers_file, write_speakers
from stages.still import open_inputs
from stages.store import Stage, StageRun, Store
from stages.synthesize import check_speaks
from stages.translate import check_pair, check_references
from stages.translate.exchange import check_exports, export

Watch = Callable[[Stage, str | None], Progress]
"""Called when a stage begins; returns what is told its progress."""


@dataclass(frozen=True)
class Job:
    """A checked job."""

    video: SourceVideo
    targets: tuple[str, ...]
    settings: Settings
    out: Path
    written: Written = AS_HEARD
    """What a person has written in the files of the output folder."""
    rerun: Rerun | None = None
    """The finished dub of which only some lines are made anew."""
    stems: bool = False
    """Whether the parts of the sound are delivered as well."""
    exports: tuple[str, ...] = ()
    """Files for translators' programs to write beside the dub, by the ends of their names."""
    speakers: Speakers = field(default_factory=Speakers)
    """The speakers as a person left them."""
    approve: tuple[Stop, ...] = ()
    """Where a person is waited for."""
    output: Output | None = None
    """What ``out`` stands for, if it is a URL."""


def check(
    video: Place,
    targets: list[str],
    out: Place | None,
    settings: Settings,
    force: bool,
    lines: tuple[int, ...] = (),
    audio: Path | None = None,
    stems: bool = False,
    exports: tuple[str, ...] = (),
    approve: tuple[Stop, ...] = (),
) -> Job:
    """Check everything that can be checked before any work is done; ``audio`` takes the place of the video's own sound.

    A video that is given by URL is fetched, and what a person wrote in an output folder that is.

    ``lines`` names those of a finished dub that are made anew; none: the whole dub is made. ``exports`` names files
    to write for translators' programs (:data:`stages.translate.exchange.EXPORTS`), ``approve`` where the run
    waits for a person.

    Raises:
        InputError: the video, a language, a pair, an edit, a line or the output folder cannot be used, or the run
            cannot fit into the memory or on a disk; the shared store, or another place at a URL, refuses.
        PassingError: such a place cannot be reached.
        PackError: no language pack serves a target language, or one is wrong.
        MissingEngineError: a model is missing or damaged, or a translator is not installed.
    """
    tags = tuple(dict.fromkeys(normalise_tag(tag) for tag in targets))
    if not tags:
        raise InputError("no target language was given; add for example --to pt-BR.")
    if audio is not None and settings.ingest.audio_track is not None:
        raise InputError("--audio gives the sound and --audio-track chooses among the video's own: give one of them.")
    if approve and lines:
        raise InputError("--approve and --line: lines are made anew without waiting for anybody; give one of them.")
    settings.limits.check([*(stage.name for stage in pipeline.STAGES), *pipeline.PARTS])
    check_shared(settings.shared_store)
    for tag in tags if not lines else ():  # a dub's own settings may name other packs
        Packs(settings.packs).load(tag)
    path, url = local_video(video, settings.work, settings.limits, settings.ingest.max_size_mb)
    with naming(path, url):
        opened = open_inputs(path, audio, settings.ingest).model_copy(update={"url": url})
    output = open_output(out or f"{path.stem}.dub", path.stem, settings.work, settings.limits)
    with naming(output.folder, output.url):
        stem, folder = path.stem, output.folder
        written = Written(
            read_corrections(corrections_file(folder, stem)),
            {tag: read_edits(edits_file(folder, stem, tag)) for tag in tags},
        )
        speakers = read_speakers(speakers_file(folder, stem))
        rerun = None
        if lines:
            rerun = check_rerun(opened, tags, folder, settings, written, lines, speakers)
            settings = rerun.settings
        source = settings.transcribe.language
        packs = Packs(settings.packs)
        for tag in tags:
            packs.load(tag)
            check_pair(source, tag, settings.translate)
            check_speaks(settings.synthesize, tag)
        lipsync.check(settings.lipsync, lines)
        check_references(settings.glossary, settings.memories, source, tags)
        check_exports(exports, folder, stem, tags, settings.memories)
        unasked = [tag for tag in tags if not (approve and was_agreed(folder, stem, tag))]
        goes_on = Store(settings.work, opened).is_begun(folder, tags) or output.is_begun(mark_of(opened, tags))
        check_place(folder, stem, tuple(unasked), force or goes_on or rerun is not None, output.names)
        stems = stems or any(name in output.names for tag in tags for name in stem_names(stem, tag).values())
        needed = dict.fromkeys(
            name
            for stage in (*pipeline.SHARED_STAGES, *pipeline.LANGUAGE_STAGES)
            for name in stage.models_for(getattr(settings, stage.config))
        )
        for name in needed:
            models.find(name)
            if settings.commercial:
                models.check_commercial(name)
        if rerun is None:
            check_fits(opened, tags, settings, folder, read_task(opened, settings.still, settings.diarize.speakers))
        return Job(opened, tags, settings, folder, written, rerun, stems, exports, speakers, approve, output)


@dataclass
class Runner(pipeline.RunStage):
    """Runs stages through the store, keeps what the report says of them, and tells a watcher."""

    job: Job
    watch: Watch
    runs: list[StageRun] = field(default_factory=list)

    def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Artifact:
        """Run one stage (:class:`stages.pipeline.RunStage`)."""
        artifact, run = self.perform(stage, inputs, language)
        self.runs.append(run)
        return artifact

    @property
    def store(self) -> Store:
        """The video's part of this machine's work folder."""
        settings = self.job.settings
        shared = open_shared(settings.shared_store)
        return Store(settings.work, self.job.video, settings.models_per_gpu, settings.limits, shared)

    def perform(self, stage: Stage, inputs: tuple[Any, ...], language: str | None) -> tuple[Artifact, StageRun]:
        """Run one stage and return how it went beside its artifact; nothing is kept of it here."""
        config = getattr(self.job.settings, stage.config)
        return self.store.run(stage, inputs, config, language, self.watch(stage, language))

    def runs_for(self, language: str) -> list[StageRun]:
        """Return the runs that one language's dub is made of; a stage that was done in parts is one."""
        return whole([run for run in self.runs if run.language in (None, language)])


def whole(runs: Sequence[StageRun]) -> list[StageRun]:
    """Return the runs with those that are parts of another stage (:data:`stages.pipeline.PARTS`) added to its own."""
    own = {name: [run for run in runs if pipeline.PARTS.get(run.name) == name] for name in pipeline.PARTS.values()}
    return [
        run.model_copy(
            update={
                "seconds": round(sum(each.seconds for each in (run, *own[run.name])), 3),
                "from_store": all(each.from_store for each in (run, *own[run.name])),
            }
        )
        if own.get(run.name)
        else run
        for run in runs
        if run.name not in pipeline.PARTS
    ]


@dataclass(frozen=True)
class Made:
    """A language that is done."""

    delivery: Delivery
    task: Task
    new: list[StageRun]
    """The stages that were done for it, and for the first language those that all share."""


@dataclass(frozen=True)
class Waiting:
    """A language that a person is waited for in."""

    questions: tuple[Question, ...]


InTurn = Callable[[Callable[[str], Made | Waiting], Sequence[str]], Iterable[Made | Waiting]]
"""Does something for every language, as ``map`` does; it need not be one after the other."""


def translate(
    job: Job,
    run: pipeline.RunStage,
    runs_for: Callable[[str], list[StageRun]],
    pause: Callable[[Question], None] = stop,
    in_turn: InTurn = map,
) -> Iterator[Delivery]:
    """Dub the video into every target language and yield each, in their order, when it lies in the output folder.

    Raises:
        WaitingError: a person is waited for; raised when all other languages are done.
    """
    output, mark = job.output or Output(job.out), mark_of(job.video, job.targets)
    placing = Lock()  # what lies in the output folder is put elsewhere only while no language writes there

    def shown_and_paused(question: Question) -> None:
        with placing:
            output.put()
        pause(question)

    def put(delivery: Delivery) -> Delivery:
        with placing:
            return output.delivered(delivery)

    with naming(job.out, output.url):
        output.begin(mark)
        try:
            if job.rerun is not None:
                yield output.delivered(_translate_again(job, job.rerun, run, runs_for))
            else:
                yield from map(put, _translate(job, run, runs_for, shown_and_paused, in_turn, placing))
        except WaitingError:
            output.put()
            raise
        output.end(mark, tuple(f"{REVIEW}/{target}/{job.video.path.stem}." for target in job.targets))


def mark_of(video: SourceVideo, targets: tuple[str, ...]) -> str:
    """Return the name of what marks, in an output folder at a URL, that a job is at work."""
    return f".dubwright-begun-{manifest.digest([video.digest, *targets])[:12]}"


def _translate(
    job: Job,
    run: pipeline.RunStage,
    runs_for: Callable[[str], list[StageRun]],
    pause: Callable[[Question], None],
    in_turn: InTurn,
    placing: Lock,
) -> Iterator[Delivery]:
    stem = job.video.path.stem
    store = Store(job.settings.work, job.video)
    if is_here := job.output is None or job.output.url is None:
        store.begin(job.out, job.targets)
    review = Approvals(job.out, stem, job.approve, job.written, job.speakers, pause)
    shared = pipeline.prepare(run, job.video, job.targets, job.settings, job.speakers, review)
    write_speakers(speakers_file(job.out, stem), job.speakers, shared.diarization)

    def dubbed(target: str) -> Made | Waiting:
        try:
            dub = pipeline.dub(run, shared, target, job.settings, review)
            runs = runs_for(target)

            def deliver_into(folder: Path) -> Delivery:
                with placing:
                    return deliver(folder, job.video, shared, dub, runs, job.settings, job.stems)

            with placing:
                export(job.exports, job.out, stem, dub.script)
            delivered = review.delivered(target, dub, deliver_into)
        except WaitingError as error:
            return Waiting(error.questions)
        new = [each for each in runs if each.language == target or target == job.targets[0]]
        return Made(delivered, task_of(shared, dub), new)

    waiting: list[Question] = []
    for made in in_turn(dubbed, job.targets):
        if isinstance(made, Waiting):
            waiting += made.questions
            continue
        remember(job.settings.work, made.task, made.new)
        yield made.delivery
    if waiting:
        raise WaitingError(waiting)
    if is_here:
        store.end(job.out, job.targets)


def _translate_again(
    job: Job, rerun: Rerun, run: pipeline.RunStage, runs_for: Callable[[str], list[StageRun]]
) -> Delivery:
    (target,) = job.targets
    before = rerun.before
    shared = replace(before.shared, speakers=job.speakers)
    dub = pipeline.redub(run, shared, job.settings, job.written.edits[target], before.dub, rerun.lines)
    made = dub or before.dub
    export(job.exports, job.out, job.video.path.stem, made.script)
    if dub is None and not job.stems:
        return unchanged(job.out, job.video.path.stem, before.report, rerun.lines)
    runs = [*before.shared_runs(), *runs_for(target)] if dub is not None else before.runs
    return deliver(job.out, job.video, shared, made, runs, job.settings, job.stems)
