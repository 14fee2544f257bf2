"""Synthesis: a voice for every speaker, the length of every line, and the lines spoken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from language_packs import Pack
from stages import models, sound
from stages.artifacts import (
    Cast,
    Diarization,
    Plan,
    Prosody,
    Reading,
    ReadLine,
    Script,
    ScriptLine,
    Separation,
    Speech,
    SpokenLine,
    VoiceSettings,
)
from stages.errors import DubwrightError
from stages.progress import Progress
from stages.reading import check_lines, read_line, try_line
from stages.synthesize.config import MmsConfig, PocketConfig, SynthesizeConfig, Voicing, XttsConfig
from stages.synthesize.pitch import UNCHANGED, Change, LogF0
from stages.synthesize.registry import (
    ENGINES,
    EngineSpec,
    Quality,
    Synthesizer,
    castable,
    check_speaks,
    engine_spec,
    engines_for,
    load,
    synthesizer_of,
    voicing,
)
from stages.synthesize.voices import Voice, blended_f0, shares

__all__ = [
    "CAST_VERSION",
    "ENGINES",
    "READ_VERSION",
    "SPEAK_VERSION",
    "EngineSpec",
    "MmsConfig",
    "PocketConfig",
    "Quality",
    "SynthesizeConfig",
    "Synthesizer",
    "Voicing",
    "XttsConfig",
    "cast",
    "castable",
    "check_speaks",
    "engine_spec",
    "engines_for",
    "load",
    "read",
    "speak",
    "synthesizer_of",
    "voicing",
]

CAST_VERSION = 6
READ_VERSION = 5
SPEAK_VERSION = 10


_UNDERSTUDIES = 2
"""Other voices that are tried on a line that a speaker's own voice fails on."""


def cast(
    script: Script,
    diarization: Diarization,
    separation: Separation,
    pack: Pack,
    config: SynthesizeConfig,
    out: Path,
    progress: Progress,
) -> Cast:
    """Choose and match one voice per speaker, or clone one of their own seconds, for the whole video.

    Likeness is the cosine of GE2E speaker embeddings, among the voices that stay clear in the language when they hurry.
    Who speaks most is cast first; the others get other voices where those are nearly as alike. Besides the
    corrections, ``spectra.npz`` holds ``<speaker>.f0``: float64 (2,), mean and spread of the chosen voice's own ln F0.
    A speaker with too little voiced speech to be measured gets the clearest voice, unmatched, with similarities of 0.

    Raises:
        InputError: the script cannot be read in its language.
        MissingEngineError: an unknown engine, or a model or a reader of the language that is not here.
    """
    from stages.diarize.ge2e import SpeakerEncoder
    from stages.synthesize import casting, cloning

    check_lines(script.lines, script.target)
    spec, engine = engine_spec(config.engine), load(config, script.target, pack.g2p)
    encoder = SpeakerEncoder(models.path("ge2e-speaker-encoder"))
    voice_path, background_path = (
        separation.file(separation.voice),
        separation.file(separation.background),
    )
    settings: list[VoiceSettings] = []
    arrays: dict[str, np.ndarray] = {}
    readable = [
        line.text for line in script.lines if try_line(line.text, pack.g2p, script.target, f"line {line.id}")[1] is None
    ]
    text = _audition_text(readable, config.audition_characters)
    own_seconds = {
        speaker: casting.reference(voice_path, background_path, diarization.turns, speaker)
        for speaker in _by_speech(script)
    }
    if isinstance(engine, cloning.CloningEngine):
        return cloning.cast_clones(engine, own_seconds, text, encoder.embed, out, progress)
    said = spec.said(text, read_line(text, pack.g2p, script.target, "the script"))

    def read_aloud(voice: str, pitch: Change) -> np.ndarray:
        return engine.speak(said, voice, pitch=pitch).samples

    voices = castable(config.engine, script.target)
    if voices:
        has_sound = engine.durations(said, next(iter(voices))).total_ms > 0
    else:
        voices, has_sound = casting.only_voice(config.engine, read_aloud(config.engine, UNCHANGED), encoder.embed)
    auditions = casting.Auditions(voices, read_aloud, has_sound)
    taken: set[str] = set()
    for speaker, seconds in own_seconds.items():
        found = casting.cast_speaker(
            seconds,
            auditions,
            encoder.embed,
            config.match_voices,
            frozenset(taken),
        )
        taken.update(shares(found.voice))
        settings.append(
            VoiceSettings(
                speaker=speaker,
                voice=found.voice,
                warp=found.matching.warp,
                f0_mean_log_hz=found.matching.target_f0.mean,
                f0_std_log=found.matching.target_f0.std,
                similarity_unmatched=found.unmatched,
                similarity_matched=found.matched,
            )
        )
        arrays[speaker] = found.matching.correction
        arrays[f"{speaker}.f0"] = np.array([found.matching.source_f0.mean, found.matching.source_f0.std])
        progress(len(settings) / len(own_seconds))
    made = Cast(voices=tuple(settings))
    np.savez(out / made.spectra, allow_pickle=False, **arrays)
    return made


def _by_speech(script: Script) -> list[str]:
    """Return the speakers, who speaks longest first."""
    spoken_ms: dict[str, int] = {}
    for line in script.lines:
        spoken_ms[line.speaker] = spoken_ms.get(line.speaker, 0) + line.end_ms - line.start_ms
    return sorted(spoken_ms, key=lambda speaker: -spoken_ms[speaker])


def _audition_text(texts: list[str], characters: int) -> str:
    """Return up to that many characters of the lines, cut between words."""
    text = " ".join(texts)
    return text if len(text) <= characters else text[:characters].rsplit(" ", 1)[0]


def read(script: Script, cast: Cast, pack: Pack, config: SynthesizeConfig, out: Path, progress: Progress) -> Reading:
    """Turn every line into phones and measure how long its speaker's voice takes for it at speed 1.

    A line that cannot be read has no phones, and ``failure`` says why; it does not end the run.

    Raises:
        InputError: the script is not in its language's script.
        MissingEngineError: an unknown engine, or a model or a reader of the language that is not here.
    """
    check_lines(script.lines, script.target)
    spec, engine = engine_spec(config.engine), load(config, script.target, pack.g2p, cast)
    voices = {voice.speaker: voice.voice for voice in cast.voices}
    lines: list[ReadLine] = []
    for line in script.lines:
        lines.append(_read_line(line, spec, engine, voices[line.speaker], pack, script.target))
        progress(len(lines) / len(script.lines))
    return Reading(engine=config.engine, how=pack.g2p, lines=tuple(lines))


def _read_line(
    line: ScriptLine, spec: EngineSpec, engine: Synthesizer, voice: str, pack: Pack, target: str
) -> ReadLine:
    ipa, failure = try_line(line.text, pack.g2p, target, f"line {line.id}")
    if failure is None:
        try:
            length = engine.durations(spec.said(line.text, ipa), voice)
        except (DubwrightError, MemoryError):
            raise
        except Exception as error:  # an engine may fail in any way on one line, and must not end the run
            failure = f"{type(error).__name__}: {error}"
    if failure is not None:
        return ReadLine(id=line.id, ipa="", duration_ms=0, lead_ms=0, tail_ms=0, failure=f"cannot be read: {failure}")
    return ReadLine(
        id=line.id,
        ipa=ipa,
        text=line.text if spec.reads == "text" else None,
        duration_ms=length.total_ms,
        lead_ms=length.lead_ms,
        tail_ms=length.tail_ms,
        phrase_ends=length.phrase_ends,
    )


def speak(
    script: Script,
    reading: Reading,
    plan: Plan,
    cast: Cast,
    separation: Separation,
    diarization: Diarization,
    config: SynthesizeConfig,
    out: Path,
    progress: Progress,
) -> Speech:
    """Speak every line that was read in its planned time, in its speaker's matched voice, as the speaker said it.

    Level, pitch, liveliness and questions follow the source's line (:mod:`stages.synthesize.prosody`). Line sounds are
    24 kHz mono. A line that cannot be spoken (:func:`stages.synthesize.speaking.speak_line`), could
    not be read or has nothing to be said is left in the original voice, with the reason in ``failure``; it never ends
    the run. Flags of the script and the plan are not repeated.

    Raises:
        MissingEngineError: an unknown engine, or a model that is not here.
    """
    from stages.diarize.ge2e import SpeakerEncoder
    from stages.synthesize import speaking
    from stages.synthesize.prosody import Habits

    spec = engine_spec(config.engine)
    engine, known = load(config, script.target, reading.how, cast), spec.voices()
    clear_ones = tuple(castable(config.engine, script.target))
    encoder = SpeakerEncoder(models.path("ge2e-speaker-encoder"))
    habits = Habits(separation.file(separation.voice), script.lines)
    with np.load(diarization.file(diarization.embeddings)) as stored:
        embeddings = {name: stored[name] for name in stored.files}
    matchings = speaking.matchings(cast)
    voices = {voice.speaker: voice.voice for voice in cast.voices}
    read_lines = {line.id: line for line in reading.lines}
    planned = {line.id: line for line in plan.lines}
    spoken: list[SpokenLine] = []
    for line in script.lines:
        if line.id not in read_lines:
            continue
        place, voice = planned[line.id], voices[line.speaker]
        part = speaking.Part(
            voice,
            matchings[line.speaker],
            habits.level_dbfs(line),
            _as_far_as_can_be(spec, habits.prosody(line, script.source, script.target)),
            _understudies(known, clear_ones, voice),
        )
        failure = _not_to_be_spoken(line, read_lines[line.id])
        result = (
            speaking.speak_line(engine, read_lines[line.id], place, part)
            if failure is None
            else speaking.silence(line.start_ms, failure)
        )
        name = f"line-{line.id:04d}.wav"
        sound.write(out / name, result.samples, engine.rate_hz)
        start_ms, end_ms = (
            (result.phones[0].start_ms, result.phones[-1].end_ms) if result.phones else (line.start_ms, line.end_ms)
        )
        spoken.append(
            SpokenLine(
                id=line.id,
                speaker=line.speaker,
                sound=name,
                sound_start_ms=result.sound_start_ms,
                start_ms=start_ms,
                end_ms=end_ms,
                rate=result.rate,
                phones=result.phones,
                similarity=result.similarity(encoder.embed, embeddings.get(line.speaker)),
                flags=result.flags,
                prosody=part.manner if result.phones else None,
                failure=result.failure,
            )
        )
        progress(len(spoken) / len(read_lines))
    return Speech(language=script.target, engine=reading.engine, rate_hz=engine.rate_hz, lines=tuple(spoken))


def _as_far_as_can_be(spec: EngineSpec, manner: Prosody | None) -> Prosody | None:
    """Return what an engine takes over of the source's manner."""
    if manner is None or spec.moves_pitch:
        return manner
    return manner.model_copy(update={"f0_shift_st": 0.0, "f0_range_ratio": 1.0, "rise_st": None})


def _not_to_be_spoken(line: ScriptLine, read: ReadLine) -> str | None:
    """Return why nothing can be said in a line, None where something can."""
    if read.failure is not None or read.duration_ms > 0:
        return read.failure
    return next((flag for flag in line.flags if flag.startswith("not translated")), "nothing to say in the translation")


def _understudies(voices: Mapping[str, Voice], clear_ones: Iterable[str], voice: str) -> tuple[tuple[str, LogF0], ...]:
    """Return clear voices of a voice's sex that are not in it, the nearest in pitch first, each with its ln F0."""
    if not voices:
        return ()
    own = shares(voice)
    sex, f0 = voices[next(iter(own))].sex, blended_f0(voices, voice)
    others = {name: voices[name].f0 for name in clear_ones if voices[name].sex == sex and name not in own}
    return tuple(sorted(others.items(), key=lambda item: abs(item[1].mean - f0.mean))[:_UNDERSTUDIES])
