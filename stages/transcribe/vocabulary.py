"""Terms that are likely to be said: the user's glossary as Whisper's initial prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from stages.artifacts import Record

_FORM = "Glossary: {}."
"""Of the forms that were tried on speech in English and German, with Whisper base: without a full stop at its end words
that had been right came out wrong, without the word before it the speech was cut short once."""
_BETWEEN = ", "


class Vocabulary(Record):
    """The terms, in the order in which they are told; none leaves the recogniser as it is."""

    terms: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def prompt(self, tokens: Callable[[str], int], most_tokens: int) -> str | None:
        """Return the terms as a prompt: whole terms, as many as fit; None without any.

        Args:
            tokens: counts the tokens of a text.
            most_tokens: what the model takes as its prompt.
        """
        told = ""
        for term in self.terms:
            longer = f"{told}{_BETWEEN}{term}" if told else term
            if tokens(" " + _FORM.format(longer)) > most_tokens:
                break
            told = longer
        return _FORM.format(told) if told else None
