"""The order of the stages, once.

The functions here are given a ``run`` that performs one stage: plainly through the store, or as a Prefect task.
What all target languages share is made once (:func:`prepare`); the rest is made per language (:func:`dub`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, cast

from language_packs import Packs, Wordings
from stages import (
    corrections,
    diarize,
    evaluate,
    inspect,
    lipsync,
    media,
    mix,
    separate,
    speakers,
    still,
    synthesize,
    timing,
    transcribe,
    translate,
    visemes,
)
from stages.artifacts import (
    Artifact,
    Cast,
    Clip,
    Diarization,
    FaceTrack,
    Inspection,
    Media,
    Mixdown,
    PersonalVisemes,
    Picture,
    PicturePart,
    PictureParts,
    PicturePlan,
    Plan,
    Reading,
    Script,
    Separation,
    SourceVideo,
    SpeakerFaces,
    Speech,
    Trajectory,
    Transcript,
)
from stages.corrections import Corrections
from stages.edits import Edits, listed
from stages.errors import InputError
from stages.evaluate.sound import SoundEvaluation
from stages.inspect.rerun import reinspect
from stages.mix.rerun import remix
from stages.review import AS_HEARD, Review
from stages.settings import Settings
from stages.speakers import Speakers
from stages.store import Stage
from stages.synthesize.rerun import respeak
from stages.timing.rerun import refit, replan
from stages.translate.glossary import read_glossary
from stages.visemes.rerun import reshape

COMPOSE = Stage(
    "compose", "Joining picture and sound", still.compose, Clip, still.VERSION, "still", "mesh",
    ("face-landmarker-v2",),
)  # fmt: skip
INGEST = Stage("ingest", "Reading the clip", media.ingest, Media, media.VERSION, "ingest", "pyav")
SEPARATE = Stage(
    "separate", "Separating voice and background", separate.separate, Separation, separate.VERSION, "separate",
    engines=separate.ENGINES,
)  # fmt: skip
DIARIZE = Stage(
    "diarize", "Finding who speaks when", diarize.diarize, Diarization, diarize.VERSION, "diarize",
    models=("ge2e-speaker-encoder",), engines=diarize.ENGINES,
)  # fmt: skip
SPEAKERS = Stage("speakers", "Knowing the speakers", speakers.identify, Diarization, speakers.VERSION, "diarize")
TRANSCRIBE = Stage(
    "transcribe", "Writing down what is said", transcribe.transcribe, Transcript, transcribe.VERSION, "transcribe",
    engines=transcribe.ENGINES,
)  # fmt: skip
CORRECT = Stage(
    "correct", "Taking over corrections", corrections.correct, Transcript, corrections.VERSION, "transcribe", "person"
)
TRACK = Stage(
    "track", "Tracking faces", lipsync.track, FaceTrack, lipsync.TRACK_VERSION, "track", "mediapipe",
    ("face-landmarker-v2",),
)  # fmt: skip
FACES = Stage("faces", "Finding whose lips move", lipsync.assign_faces, SpeakerFaces, lipsync.FACES_VERSION, "speaker")
TRANSLATE = Stage(
    "translate",
    "Translating",
    translate.translate,
    Script,
    translate.VERSION,
    "translate",
    engines=translate.ENGINES,
)
FIT = Stage(
    "fit",
    "Choosing words that fit",
    timing.fit,
    Script,
    timing.FIT_VERSION,
    "timing",
    borrows=synthesize.synthesizer_of,
)
CAST = Stage(
    "cast", "Finding voices", synthesize.cast, Cast, synthesize.CAST_VERSION, "synthesize",
    models=("ge2e-speaker-encoder",), engines=synthesize.ENGINES,
)  # fmt: skip
READ = Stage(
    "read", "Reading the lines", synthesize.read, Reading, synthesize.READ_VERSION, "synthesize",
    engines=synthesize.ENGINES,
)  # fmt: skip
PLAN = Stage("plan", "Planning the timing", timing.plan, Plan, timing.PLAN_VERSION, "timing")
SPEAK = Stage(
    "speak", "Speaking", synthesize.speak, Speech, synthesize.SPEAK_VERSION, "synthesize",
    models=("ge2e-speaker-encoder",), engines=synthesize.ENGINES,
)  # fmt: skip
PERSONAL = Stage(
    "personal", "Learning the speakers' own visemes", visemes.personal_visemes, PersonalVisemes,
    visemes.PERSONAL_VERSION, "visemes",
)  # fmt: skip
ARTICULATE = Stage(
    "visemes", "Shaping the mouth", visemes.articulate, Trajectory, visemes.VERSION, "visemes", "dominance"
)
LIPSYNC = Stage(
    "lipsync",
    "Moving the lips",
    lipsync.sync,
    Picture,
    lipsync.SYNC_VERSION,
    "lipsync",
    models=("face-landmarker-v2",),
    engines=lipsync.ENGINES,
)
# The same for a long clip: the plan, every part, and the picture that is joined of them.
PLAN_PICTURE = replace(
    LIPSYNC, name="lipsync-plan", title="Planning the mouths", function=lipsync.plan_picture, artifact=PicturePlan
)
DRAW_PART = replace(LIPSYNC, name="lipsync-part", function=lipsync.draw_part, artifact=PicturePart)
JOIN_PARTS = replace(LIPSYNC, title="Joining the picture", function=lipsync.join_parts)
LIPSYNC_TO_VOICES = replace(LIPSYNC, function=lipsync.sync_to_voices)
MIX = Stage("mix", "Mixing", mix.mix, Mixdown, mix.VERSION, "mix")
INSPECT = Stage(
    "inspect", "Listening to the result", inspect.inspect, Inspection, inspect.VERSION, "inspect",
    engines=inspect.ENGINES,
)  # fmt: skip
MEASURE = Stage(
    "measure", "Measuring the sound", evaluate.evaluate_sound, SoundEvaluation, evaluate.SOUND_VERSION, "inspect",
    "ge2e", ("ge2e-speaker-encoder",),
)  # fmt: skip

# The same stages where some lines of a finished dub are made anew: each takes the earlier artifact and keeps the rest.
REFIT = replace(FIT, function=refit)
REPLAN = replace(PLAN, function=replan)
RESPEAK = replace(SPEAK, function=respeak)
RESHAPE = replace(ARTICULATE, function=reshape)
RESYNC = replace(LIPSYNC, function=lipsync.resync)
REMIX = replace(MIX, function=remix)
REINSPECT = replace(INSPECT, function=reinspect)

SHARED_STAGES = (COMPOSE, INGEST, SEPARATE, DIARIZE, SPEAKERS, TRANSCRIBE, TRACK, FACES, PERSONAL)
"""Done once for a video, whatever the target languages."""
LANGUAGE_STAGES = (TRANSLATE, CAST, FIT, READ, PLAN, SPEAK, ARTICULATE, LIPSYNC, MIX, INSPECT, MEASURE)
"""Done for every target language."""
STAGES = (*SHARED_STAGES, CORRECT, *LANGUAGE_STAGES)
"""All; corrections are taken over only where there are some."""

PARTS = {stage.name: LIPSYNC.name for stage in (PLAN_PICTURE, DRAW_PART)}
"""Stages that are a part of another one, and of which: their time is counted as its own."""

ArtifactT = TypeVar("ArtifactT", bound=Artifact)


class RunStage(Protocol):
    """Performs a stage on its inputs and returns its artifact; what performs stages is a subclass."""

    def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Artifact:
        """Run ``stage``; ``language`` is the target language of a language stage."""

    def each(self, stage: Stage, inputs: Sequence[tuple[Any, ...]], language: str | None = None) -> list[Artifact]:
        """Run ``stage`` on each of many inputs, here one after the other; return the artifacts in the same order."""
        return [
            self(stage.numbered(number, len(inputs)), *one, language=language) for number, one in enumerate(inputs, 1)
        ]


@dataclass(frozen=True)
class Shared:
    """What all target languages share."""

    video: SourceVideo
    """What is dubbed: the user's file, or the clip that was made of it."""
    media: Media
    separation: Separation
    diarization: Diarization
    """With the numbers that the speakers are known by."""
    transcript: Transcript
    track: FaceTrack
    faces: SpeakerFaces
    habits: PersonalVisemes
    speakers: Speakers = field(default_factory=Speakers)
    """Names and merges that a person gave."""


@dataclass(frozen=True)
class Dub:
    """Everything made for one target language."""

    script: Script
    cast: Cast
    plan: Plan
    speech: Speech
    trajectory: Trajectory
    picture: Picture
    mixdown: Mixdown
    inspection: Inspection
    sound: SoundEvaluation
    made_anew: tuple[int, ...] = ()
    """Ids of the lines that the last run made anew; empty where it made all."""


def prepare(
    run: RunStage,
    video: SourceVideo,
    targets: tuple[str, ...],
    settings: Settings,
    known: Speakers,
    review: Review = AS_HEARD,
) -> Shared:
    """Do what all target languages share; ``known`` are the speakers as a person left them.

    Raises:
        InputError: there is no speech, a target language cannot be reached from the language that is spoken, or a
            correction cannot be made.
    """
    if still.is_needed(video):
        video = cast(Clip, run(COMPOSE, video, settings.ingest.audio_track)).source(video)
    clip = cast(Media, run(INGEST, video))
    separation = cast(Separation, run(SEPARATE, clip))
    diarization = cast(Diarization, run(DIARIZE, separation))
    if not diarization.turns:
        raise InputError(f"{clip.file_name}: no speech was found in the sound track, so there is nothing to translate.")
    diarization = cast(Diarization, run(SPEAKERS, diarization, known))
    heard = cast(Transcript, run(TRANSCRIBE, separation, diarization, _vocabulary(settings, targets)))
    if not heard.lines:
        raise InputError(
            f"{clip.file_name}: voices were found, but no words could be made out; if the language is known, give it "
            "with --from."
        )

    def corrected(written: Corrections) -> Transcript:
        return cast(Transcript, run(CORRECT, heard, diarization, clip, written)) if written.lines else heard

    transcript = review.transcript(heard, diarization, clip, corrected)
    for target in targets:
        translate.check_pair(transcript.language, target, settings.translate)
        _check_is_read(heard, transcript, target, settings)
    translate.check_references(settings.glossary, settings.memories, transcript.language, targets)
    packs = Packs(settings.packs)
    pack = packs.load(transcript.language) if packs.find(transcript.language) else None
    track = cast(FaceTrack, run(TRACK, video, clip))
    faces = cast(SpeakerFaces, run(FACES, track, clip, diarization, separation))
    habits = cast(PersonalVisemes, run(PERSONAL, clip, track, faces, transcript, pack))
    return Shared(video, clip, separation, diarization, transcript, track, faces, habits, known)


def translation(run: RunStage, shared: Shared, target: str, settings: Settings) -> Script:
    """Translate into one target language and make nothing else of its dub."""
    return _Steps(run, target)(TRANSLATE, Script, *_to_translate(shared, target, settings))


def dub(run: RunStage, shared: Shared, target: str, settings: Settings, review: Review = AS_HEARD) -> Dub:
    """Do everything for one target language.

    Raises:
        InputError: there is no line of an edit's number.
    """
    step = _Steps(run, target)
    separation, diarization = shared.separation, shared.diarization
    pack = Packs(settings.packs).load(target)
    translation = step(TRANSLATE, Script, *_to_translate(shared, target, settings))
    voices = step(CAST, Cast, translation, diarization, separation, pack)
    voicing = synthesize.voicing(settings.synthesize)

    def fitted(edits: Edits) -> Script:
        return step(FIT, Script, translation, voices, shared.media, voicing, pack, edits)

    script = review.translation(target, fitted)
    reading = step(READ, Reading, script, voices, pack)
    plan = step(PLAN, Plan, script, reading, shared.transcript, shared.faces, shared.media)
    speech = step(SPEAK, Speech, script, reading, plan, voices, separation, diarization)
    trajectory = step(ARTICULATE, Trajectory, speech, shared.media, shared.habits, pack)
    picture = move_lips(run, shared, target, trajectory, speech, settings)
    mixdown = step(MIX, Mixdown, shared.media, separation, shared.transcript, speech)
    inspection = step(INSPECT, Inspection, script, speech, mixdown)
    figures = step(MEASURE, SoundEvaluation, *_to_measure(shared, voices, speech, mixdown, inspection))
    return Dub(script, voices, plan, speech, trajectory, picture, mixdown, inspection, figures)


def move_lips(
    run: RunStage, shared: Shared, target: str, trajectory: Trajectory, speech: Speech, settings: Settings
) -> Picture:
    """Make the picture of one target language: in one stage, or in parts where the clip is long."""
    step = _Steps(run, target)
    video, media, track = shared.video, shared.media, shared.track
    if lipsync.hears(settings.lipsync):
        return step(LIPSYNC_TO_VOICES, Picture, video, media, track, shared.faces, trajectory, speech)
    if not lipsync.in_parts(media, settings.lipsync):
        return step(LIPSYNC, Picture, video, media, track, shared.faces, trajectory)
    plan = step(PLAN_PICTURE, PicturePlan, media, track, shared.faces, trajectory)
    drawn = step.each(DRAW_PART, PicturePart, [(video, media, track, plan, span) for span in plan.parts])
    return step(JOIN_PARTS, Picture, video, media, track, plan, PictureParts(tuple(drawn)))


def redub(
    run: RunStage, shared: Shared, settings: Settings, edits: Edits, before: Dub, lines: tuple[int, ...]
) -> Dub | None:
    """Make some lines of a finished dub anew and keep everything else; None where they come out as they were.

    Raises:
        InputError: there is no line of an edit's number, or a line does not fit between the others.
    """
    target = before.script.target
    step = _Steps(run, target)
    media, separation, diarization = shared.media, shared.separation, shared.diarization
    pack = Packs(settings.packs).load(target)
    translation = step(TRANSLATE, Script, *_to_translate(shared, target, settings))
    voices = step(CAST, Cast, translation, diarization, separation, pack)
    voicing = synthesize.voicing(settings.synthesize)
    script = step(REFIT, Script, translation, voices, media, voicing, pack, edits, before.script, lines)
    asked = script.model_copy(update={"lines": tuple(line for line in script.lines if line.id in lines)})
    reading = step(READ, Reading, asked, voices, pack)
    plan = step(REPLAN, Plan, script, reading, shared.transcript, shared.faces, media, before.plan, lines)
    speech = step(RESPEAK, Speech, script, reading, plan, voices, separation, diarization, before.speech)
    if script.lines == before.script.lines and speech.digest == before.speech.digest:
        return None
    trajectory = step(RESHAPE, Trajectory, speech, media, shared.habits, pack, before.trajectory, lines)
    faces = shared.track, shared.faces
    picture = step(RESYNC, Picture, shared.video, media, *faces, trajectory, before.picture)
    mixdown = step(REMIX, Mixdown, media, separation, shared.transcript, speech, before.speech, before.mixdown, lines)
    inspection = step(REINSPECT, Inspection, script, speech, mixdown, before.inspection, lines)
    figures = step(MEASURE, SoundEvaluation, *_to_measure(shared, voices, speech, mixdown, inspection))
    return Dub(script, voices, plan, speech, trajectory, picture, mixdown, inspection, figures, lines)


def _check_is_read(heard: Transcript, transcript: Transcript, target: str, settings: Settings) -> None:
    """Check that a corrected text is what is translated: Whisper's translation listens to the speech itself."""
    texts = {line.id: line.text for line in heard.lines}
    rewritten = [line.id for line in transcript.lines if line.text != texts[line.id]]
    route = translate.chosen_route(transcript.language, target, settings.translate)
    if rewritten and route.hops[0].engine == "whisper":
        raise InputError(
            f"the text of line {listed(rewritten)} was corrected, but into {target} Whisper translates what it hears, "
            "not what is written; correct the translation instead (--approve translation), or choose another "
            "translate.engine."
        )


def _vocabulary(settings: Settings, targets: tuple[str, ...]) -> transcribe.Vocabulary:
    """Return the terms of the user's glossary, which are likely to be said."""
    if settings.glossary is None:
        return transcribe.Vocabulary()
    found = read_glossary(settings.glossary, targets)[targets[0]]
    return transcribe.Vocabulary(terms=tuple(term.term for term in found.terms))


def _to_measure(
    shared: Shared, voices: Cast, speech: Speech, mixdown: Mixdown, inspection: Inspection
) -> tuple[Artifact, ...]:
    """Return the inputs of the sound's figures."""
    heard = shared.media, shared.separation, shared.diarization, shared.transcript
    return *heard, voices, speech, mixdown, inspection


def _to_translate(shared: Shared, target: str, settings: Settings) -> tuple[Any, ...]:
    """Return the inputs of the translation."""
    packs = Packs(settings.packs)
    route = translate.chosen_route(shared.transcript.language, target, settings.translate)
    heard_in_english = route.hops[0].engine == "whisper"
    wordings = Wordings(
        source=packs.shortening(route.hops[0].target if heard_in_english else route.source),
        target=packs.shortening(route.target),
    )
    pack = packs.load(target)
    references = translate.read_references(
        settings.glossary,
        settings.memories,
        route.source,
        target,
        pack.subtitles.no_break_after,
        pack.phones_per_second,
    )
    return shared.transcript, shared.separation, route, wordings, references


@dataclass(frozen=True)
class _Steps:
    """Runs stages for one language."""

    run: RunStage
    target: str

    def __call__(self, stage: Stage, kind: type[ArtifactT], *inputs: Any) -> ArtifactT:
        artifact = self.run(stage, *inputs, language=self.target)
        assert isinstance(artifact, kind)
        return artifact

    def each(self, stage: Stage, kind: type[ArtifactT], inputs: Sequence[tuple[Any, ...]]) -> list[ArtifactT]:
        """Run one stage on each of many inputs."""
        artifacts = self.run.each(stage, inputs, language=self.target)
        assert all(isinstance(artifact, kind) for artifact in artifacts)
        return cast(list[ArtifactT], artifacts)
