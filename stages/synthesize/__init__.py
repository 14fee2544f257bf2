"""Synthesis: a voice for every speaker, the length of every line, and the lines spoken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from language_packs import Pack
from stages import models, sound
from stages.artifacts import (
    Cast,
    Diarization,
    Plan,
    Reading,
    ReadLine,
    Record,
    Script,
    ScriptLine,
    Separation,
    Speech,
    SpokenLine,
    VoiceSettings,
)
from stages.errors import DubwrightError, MissingEngineError
from stages.progress import Progress
from stages.reading import check_lines, read_line, try_line
from stages.synthesize.pitch import UNCHANGED, Change, LogF0
from stages.synthesize.voices import Voice, blended_f0, clear, measured, shares

if TYPE_CHECKING:
    from stages.synthesize.kokoro import Length, Utterance

CAST_VERSION = 5
READ_VERSION = 3
SPEAK_VERSION = 6


class SynthesizeConfig(Record):
    """Which synthesiser speaks, and whether its voices are matched to the speakers."""

    engine: str = "kokoro"
    """A name in :data:`ENGINES`."""
    match_voices: bool = True
    """Match pitch, vocal-tract length and long-term spectrum to each speaker; else the voices are used as they are."""
    audition_characters: int = 80
    """How much of the script each voice reads, to be compared with the speakers."""


class Synthesizer(Protocol):
    """A loaded engine."""

    rate_hz: int

    def durations(self, ipa: str, voice: str, speed: float = 1.0) -> Length:
        """Return how long ``ipa`` takes, without speaking it."""
        ...

    def speed_for(self, ipa: str, voice: str, sounding_ms: int) -> float:
        """Return the speed at which ``ipa`` sounds for ``sounding_ms``."""
        ...

    def speak(self, ipa: str, voice: str, speed: float = 1.0, pitch: Change = UNCHANGED) -> Utterance:
        """Return ``ipa`` spoken at a pitch, with exact phone times."""
        ...


Quality = Literal["good", "rough"]
"""How well a language is spoken: rough has every sixth to third character misheard."""
_GOOD_CER = 0.15
_UNDERSTUDIES = 2
"""Other voices that are tried on a line that a speaker's own voice fails on."""
_AS_CLEAR_CER = 0.02
"""How much worse than the clearest of its sex a voice may be understood to be cast, in character error rate."""


@dataclass(frozen=True)
class EngineSpec:
    """A synthesiser that can be chosen."""

    load: Callable[[], Synthesizer]
    voices: Callable[[], Mapping[str, Voice]]
    """Reads what was measured of its voices."""
    cer: Mapping[str, float]
    """Primary language subtag -> character error rate of back-transcription, mean of the voices: what it can speak."""


def _load_kokoro() -> Synthesizer:
    return import_module("stages.synthesize.kokoro").KokoroEngine()


ENGINES: Mapping[str, EngineSpec] = {
    "kokoro": EngineSpec(
        load=_load_kokoro,
        voices=lambda: measured("kokoro"),
        # `python -m bench.speaking`; all but pt es fr it de by two voices that were cast before (jm_kumo and a blend of
        # jf_gongitsune and jf_alpha). Not listed, above .30: ar be br cy da fo is sq mt vi am hi mr bn te ml.
        cer={
            "en": 0.01,
            "es": 0.0,
            "id": 0.03,
            "pt": 0.03,
            "de": 0.02,
            "ro": 0.05,
            "hr": 0.06,
            "bs": 0.06,
            "bg": 0.07,
            "pl": 0.07,
            "sl": 0.07,
            "sr": 0.07,
            "it": 0.06,
            "tr": 0.07,
            "ru": 0.08,
            "fi": 0.08,
            "nl": 0.08,
            "ca": 0.08,
            "et": 0.11,
            "mk": 0.11,
            "sk": 0.12,
            "nb": 0.12,
            "lv": 0.12,
            "fr": 0.08,
            "uk": 0.13,
            "hu": 0.13,
            "cs": 0.13,
            "sw": 0.14,
            "kk": 0.16,
            "gl": 0.16,
            "sv": 0.18,
            "eu": 0.19,
            "ta": 0.19,
            "el": 0.19,
            "lt": 0.21,
            "az": 0.21,
            "ms": 0.03,
            "fil": 0.19,
            "fa": 0.22,
            "af": 0.29,
        },
    ),
}


def engine_spec(name: str) -> EngineSpec:
    """Return an engine by name.

    Raises:
        MissingEngineError: there is none of that name.
    """
    if name not in ENGINES:
        raise MissingEngineError(
            f"synthesize.engine: there is no engine {name!r}; choose one of: {', '.join(ENGINES)}."
        )
    return ENGINES[name]


def engines_for(tag: str) -> dict[str, Quality]:
    """Return the engines that speak a language, given its BCP-47 tag, and how well."""
    language = tag.split("-")[0].lower()
    return {
        name: "good" if spec.cer[language] < _GOOD_CER else "rough"
        for name, spec in ENGINES.items()
        if language in spec.cer
    }


def castable(engine: str, tag: str) -> Mapping[str, Voice]:
    """Return the voices of an engine that may be cast in a language, the clearest first.

    Raises:
        MissingEngineError: an unknown engine.
    """
    return clear(engine_spec(engine).voices(), tag.split("-")[0].lower(), _AS_CLEAR_CER)


def cast(
    script: Script,
    diarization: Diarization,
    separation: Separation,
    pack: Pack,
    config: SynthesizeConfig,
    out: Path,
    progress: Progress,
) -> Cast:
    """Choose and match one voice per speaker, for the whole video.

    Likeness is the cosine of GE2E speaker embeddings, among the voices that stay clear in the language when they hurry.
    Who speaks most is cast first; the others get other voices where those are nearly as alike. Besides the
    corrections, ``spectra.npz`` holds ``<speaker>.f0``: float64 (2,), mean and spread of the chosen voice's own ln F0.
    A speaker with too little voiced speech to be measured gets the clearest voice, unmatched, with similarities of 0.

    Raises:
        InputError: the script cannot be read in its language.
        MissingEngineError: an unknown engine, or a model or a reader of the language that is not here.
    """
    from stages.diarize.ge2e import SpeakerEncoder
    from stages.synthesize import casting

    check_lines(script.lines, script.target)
    engine = engine_spec(config.engine).load()
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
    ipa = read_line(_audition_text(readable, config.audition_characters), pack.g2p, script.target, "the script")
    voices = castable(config.engine, script.target)
    has_sound = engine.durations(ipa, next(iter(voices))).total_ms > 0

    def read_aloud(voice: str, pitch: Change) -> np.ndarray:
        return engine.speak(ipa, voice, pitch=pitch).samples

    auditions = casting.Auditions(voices, read_aloud, has_sound)
    taken: set[str] = set()
    for speaker in _by_speech(script):
        found = casting.cast_speaker(
            casting.reference(voice_path, background_path, diarization.turns, speaker),
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
        progress(len(settings) / len(_by_speech(script)))
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
    engine = engine_spec(config.engine).load()
    voices = {voice.speaker: voice.voice for voice in cast.voices}
    lines: list[ReadLine] = []
    for line in script.lines:
        lines.append(_read_line(line, engine, voices[line.speaker], pack, script.target))
        progress(len(lines) / len(script.lines))
    return Reading(engine=config.engine, lines=tuple(lines))


def _read_line(line: ScriptLine, engine: Synthesizer, voice: str, pack: Pack, target: str) -> ReadLine:
    ipa, failure = try_line(line.text, pack.g2p, target, f"line {line.id}")
    if failure is None:
        try:
            length = engine.durations(ipa, voice)
        except (DubwrightError, MemoryError):
            raise
        except Exception as error:  # an engine may fail in any way on one line, and must not end the run
            failure = f"{type(error).__name__}: {error}"
    if failure is not None:
        return ReadLine(id=line.id, ipa="", duration_ms=0, lead_ms=0, tail_ms=0, failure=f"cannot be read: {failure}")
    return ReadLine(
        id=line.id,
        ipa=ipa,
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
    24 kHz mono (Kokoro's own rate). A line that cannot be spoken (:func:`stages.synthesize.speaking.speak_line`), could
    not be read or has nothing to be said is left in the original voice, with the reason in ``failure``; it never ends
    the run. Flags of the script and the plan are not repeated.

    Raises:
        MissingEngineError: an unknown engine, or a model that is not here.
    """
    from stages.diarize.ge2e import SpeakerEncoder
    from stages.synthesize import speaking
    from stages.synthesize.prosody import Habits

    spec = engine_spec(config.engine)
    engine, known = spec.load(), spec.voices()
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
            habits.prosody(line, script.source, script.target),
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


def _not_to_be_spoken(line: ScriptLine, read: ReadLine) -> str | None:
    """Return why nothing can be said in a line, None where something can."""
    if read.failure is not None or read.duration_ms > 0:
        return read.failure
    return next((flag for flag in line.flags if flag.startswith("not translated")), "nothing to say in the translation")


def _understudies(voices: Mapping[str, Voice], clear_ones: Iterable[str], voice: str) -> tuple[tuple[str, LogF0], ...]:
    """Return clear voices of a voice's sex that are not in it, the nearest in pitch first, each with its ln F0."""
    own = shares(voice)
    sex, f0 = voices[next(iter(own))].sex, blended_f0(voices, voice)
    others = {name: voices[name].f0 for name in clear_ones if voices[name].sex == sex and name not in own}
    return tuple(sorted(others.items(), key=lambda item: abs(item[1].mean - f0.mean))[:_UNDERSTUDIES])
