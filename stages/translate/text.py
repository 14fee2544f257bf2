"""What passes between the text engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stages.artifacts import Record


class Translated(Record):
    """One text in the target language."""

    text: str
    """Empty where there is no translation."""
    unknown: tuple[str, ...] = ()
    """Words that the engine did not know and left as they were."""
    failure: str | None = None
    """Why the engine could not translate it; the text is empty then."""
    others: tuple[str, ...] = ()
    """Other translations of the same text, of any length."""
    note: str = ""
    """What a person should know of it; where the text is empty: why."""


class TextEngine(Protocol):
    """Translates single-line texts in one direction."""

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """Return one translation a text, in order; an empty text stays empty."""
        ...
