"""The synthesisers that can be chosen, as data, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from language_packs.schema import G2P
from stages.artifacts import Cast
from stages.engines import Engine, chosen
from stages.errors import InputError, MissingEngineError
from stages.languages import language_name
from stages.synthesize.config import SynthesizeConfig, Voicing, needed
from stages.synthesize.pitch import UNCHANGED, Change
from stages.synthesize.utterance import Length, Utterance
from stages.synthesize.voices import Voice, clear, measured


class Synthesizer(Protocol):
    """A loaded engine. What it is given to say is IPA or text, as :attr:`EngineSpec.reads` says."""

    rate_hz: int

    def durations(self, said: str, voice: str, speed: float = 1.0) -> Length:
        """Return how long something takes, without speaking it."""
        ...

    def speed_for(self, said: str, voice: str, sounding_ms: int) -> float:
        """Return the speed at which something sounds for ``sounding_ms``."""
        ...

    def speak(self, said: str, voice: str, speed: float = 1.0, pitch: Change = UNCHANGED) -> Utterance:
        """Return it spoken, with phone times; at a pitch where :attr:`EngineSpec.moves_pitch` says so."""
        ...


Quality = Literal["good", "rough"]
"""How well a language is spoken: rough has every sixth to third character misheard."""
_GOOD_CER = 0.15
_AS_CLEAR_CER = 0.02
"""How much worse than the clearest of its sex a voice may be understood to be cast, in character error rate."""


def _no_voices() -> Mapping[str, Voice]:
    return {}


@dataclass(frozen=True)
class EngineSpec(Engine):
    """A synthesiser that can be chosen.

    ``loads`` makes it of the settings, the language (BCP-47), how the language is read (None where nothing will be
    read) and the cast (None while that is made).
    """

    reads: Literal["ipa", "text"] = "ipa"
    """What it is given."""
    moves_pitch: bool = True
    """Its pitch can be moved; else only level and its course are taken over from the source's lines."""
    voices: Callable[[], Mapping[str, Voice]] = _no_voices
    """Reads what was measured of its voices; empty where they are measured when they are cast, or cloned."""
    cer: Mapping[str, float] = field(default_factory=dict)
    """Primary language subtag -> character error rate of back-transcription, mean of the voices."""
    languages: frozenset[str] | None = None
    """Primary language subtags that it speaks; None: any that there is a model for."""
    models_by_language: Callable[[Any], Mapping[str, str]] | None = None
    """The stage's config -> primary language subtag -> model; None: one model speaks all languages."""
    language_modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Primary language subtag -> import names that it needs beside :attr:`modules`."""

    def said(self, text: str, ipa: str) -> str:
        """Return what it is given."""
        return {"ipa": ipa, "text": text}[self.reads]


_KOKORO_CER = {
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
}
"""`python -m bench.speaking`; all but pt es fr it de by two voices that were cast before (jm_kumo and a blend of
jf_gongitsune and jf_alpha). Not listed, above .30: ar be br cy da fo is sq mt vi am hi mr bn te ml."""


def _models_of(name: str, setting: str, config: Any) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(getattr(config, name).models.values()))
    return found or (needed(None, f"{setting}.models", "each language's model"),)


ENGINES: Mapping[str, EngineSpec] = {
    "kokoro": EngineSpec(
        "Kokoro",
        "stages.synthesize.kokoro:load",
        models=lambda _config: ("kokoro-82m", "kokoro-voices"),
        voices=partial(measured, "kokoro"),
        cer=_KOKORO_CER,
        languages=frozenset(_KOKORO_CER),
    ),
    "xtts": EngineSpec(
        "XTTS-v2",
        "stages.synthesize.xtts:load",
        modules=("TTS", "torch"),
        device="device",
        extra="xtts",
        models=lambda config: (needed(config.xtts.model, "synthesize.xtts.model", "an XTTS-v2 model"),),
        reads="text",
        moves_pitch=False,
        languages=frozenset(
            ["en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh", "hu", "ko", "ja", "hi"]
        ),
        language_modules={"ja": ("cutlet",), "zh": ("pypinyin",)},
    ),
    "pocket": EngineSpec(
        "Pocket TTS",
        "stages.synthesize.pocket:load",
        modules=("pocket_tts", "torch"),
        device="device",
        extra="pocket",
        models=partial(_models_of, "pocket", "synthesize.pocket"),
        reads="text",
        moves_pitch=False,
        languages=frozenset(["en", "fr", "de", "pt", "it", "es", "nl"]),
        models_by_language=lambda config: config.pocket.models,
    ),
    "mms": EngineSpec(
        "MMS-TTS",
        "stages.synthesize.mms:load",
        modules=("transformers", "torch"),
        device="device",
        extra="transformers",
        models=partial(_models_of, "mms", "synthesize.mms"),
        reads="text",
        models_by_language=lambda config: config.mms.models,
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


def load(config: SynthesizeConfig, tag: str, how: G2P | None, cast: Cast | None = None) -> Synthesizer:
    """Return the chosen engine for a language (BCP-47), ready to speak as far as the cast is known.

    Raises:
        InputError: it does not speak the language.
        MissingEngineError: there is none of that name, or a package or a model is not here.
    """
    check_speaks(config, tag)
    return ENGINES[config.engine].make()(config, tag, how, cast)


def check_speaks(config: SynthesizeConfig, tag: str) -> None:
    """Check, before any work, that the chosen engine can speak a language.

    Raises:
        InputError: it does not speak the language.
        MissingEngineError: there is none of that name, or a package or the language's model is not here.
    """
    spec, language = engine_spec(config.engine), tag.split("-")[0].lower()
    chosen(ENGINES, config.engine, "synthesize.engine")
    if spec.languages is not None and language not in spec.languages:
        raise InputError(
            f"{config.engine} does not speak {language_name(tag)}, so it cannot be dubbed here; see dubwright "
            "languages for those that can."
        )
    if spec.models_by_language is not None:
        model = spec.models_by_language(config).get(language)
        needed(model, f"synthesize.{config.engine}.models.{language}", f"its model for {language_name(tag)}")
    reading = Engine(spec.title, spec.loads, spec.language_modules.get(language, ()), spec.extra)
    if lacking := reading.missing():
        raise MissingEngineError(
            f"synthesize.engine: {config.engine} reads {language_name(tag)} by {' and '.join(lacking)}, not installed. "
            f"Run: pip install {' '.join(lacking)}"
        )


def voicing(config: SynthesizeConfig) -> Voicing:
    """Return the chosen engine as an input of stages that are not configured by it.

    Raises:
        MissingEngineError: there is none of that name, or a model is not named.
    """
    return Voicing(config, engine_spec(config.engine).models(config))


def synthesizer_of(inputs: tuple[Any, ...]) -> tuple[EngineSpec, SynthesizeConfig]:
    """Return the engine, and its settings, of the :class:`Voicing` among the inputs of a stage."""
    (config,) = (each.config for each in inputs if isinstance(each, Voicing))
    return engine_spec(config.engine), config


def engines_for(tag: str) -> dict[str, Quality]:
    """Return the engines that were measured to speak a language, given its BCP-47 tag, and how well."""
    language = tag.split("-")[0].lower()
    return {
        name: "good" if spec.cer[language] < _GOOD_CER else "rough"
        for name, spec in ENGINES.items()
        if language in spec.cer
    }


def castable(engine: str, tag: str) -> Mapping[str, Voice]:
    """Return the measured voices of an engine that may be cast in a language, the clearest first.

    Raises:
        MissingEngineError: an unknown engine.
    """
    return clear(engine_spec(engine).voices(), tag.split("-")[0].lower(), _AS_CLEAR_CER)
