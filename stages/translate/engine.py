"""What every engine of the stage is: who says which pairs it can do, and opens it for one document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from stages.artifacts import Line, Separation, Transcript
from stages.errors import InputError
from stages.languages import closest, language_name
from stages.progress import Progress
from stages.translate.lines import Sentence, Translator
from stages.translate.references import References
from stages.translate.routes import Route


@dataclass(frozen=True)
class Document:
    """What is to be translated into one language."""

    transcript: Transcript
    separation: Separation
    route: Route
    references: References
    known: dict[int, str]
    """Translations that are there already, by line id."""


@dataclass(frozen=True)
class Opened:
    """An engine with everything loaded."""

    translator: Translator
    hear: Callable[[Sequence[Line]], Sentence] | None = None
    """Writes down in English what is said in lines, where the route starts from speech."""


class TranslationEngine(Protocol):
    """An engine with its settings; nothing is loaded before :meth:`open`."""

    def check(self, source: str | None, target: str) -> None:
        """Say at once that a pair cannot be done.

        Args:
            source: normalised tag; None where it is not known before the speech is heard.
            target: normalised tag, of another language.

        Raises:
            InputError: the engine does not do the pair.
            MissingEngineError: something that it needs is not here.
        """
        ...

    def route(self, source: str, target: str) -> Route:
        """Return how a pair that was checked is translated: an input of the stage."""
        ...

    def targets(self, source: str, known: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return the tags that ``source`` can be translated into here, sorted, each with the engines on the way.

        Args:
            source: normalised tag.
            known: the tags that have a language pack.
        """
        ...

    def open(self, document: Document, progress: Progress) -> Opened:
        """Load what translates a document.

        Raises:
            MissingEngineError: something that it needs is not here, or does not answer.
        """
        ...


def refuse_same_language(source: str, target: str) -> None:
    """Raise InputError where both tags are variants of one language."""
    if closest(source, (target,)):
        raise InputError(f"the speech is already {named(source)}; choose another language than {target}")


def named(tag: str) -> str:
    """Return a language's name and tag for people: ``"Japanese (ja)"``."""
    return f"{language_name(tag)} ({tag})"
