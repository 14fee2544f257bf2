"""A glossary: how terms are to be translated, or that they are not (a CSV file of the user's).

.. code-block:: text

    term,translation,do-not-translate
    board,conselho,
    Dubwright,,yes

A column that is named like a target language (``pt-BR``) holds the translations into it; ``translation`` serves every
language without a column of its own. A term without a translation is kept as it is written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from stages.artifacts import Record
from stages.errors import InputError
from stages.languages import closest, normalise_tag
from stages.media import printable

MOST_BYTES = 4 << 20
_DELIMITERS = ",;\t"
_KEPT = "do-not-translate"
_YES, _NO = {"yes", "y", "true", "1", "x"}, {"", "no", "n", "false", "0"}
_EXAMPLE = "its first line must be: term,translation"


class Term(Record):
    """One entry."""

    term: str
    translation: str
    """The term itself where it is not to be translated."""

    @property
    def is_kept(self) -> bool:
        """Whether it stays as it is."""
        return self.term == self.translation

    def count_in_source(self, text: str) -> int:
        """Return how often it is said, upper and lower case alike."""
        return len(_pattern(self.term).findall(text))

    def count_in_translation(self, text: str) -> int:
        """Return how often its translation stands in a text; a term that is kept, letter for letter."""
        return len(_pattern(self.translation, 0 if self.is_kept else re.IGNORECASE).findall(text))


class Glossary(Record):
    """The terms for one target language, longest first."""

    terms: tuple[Term, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def kept(self) -> Glossary:
        """Return the terms that stay as they are, whatever the language."""
        return Glossary(terms=tuple(term for term in self.terms if term.is_kept))

    def said_in(self, text: str) -> tuple[Term, ...]:
        """Return the terms that a source text says, longest first; one inside a longer one is not counted."""
        said: dict[Term, None] = {}
        self.replaced(text, lambda term: said.setdefault(term) or "")
        return tuple(said)

    def replaced(self, text: str, written: Callable[[Term], str]) -> str:
        """Return a source text with what ``written`` says for every term in it."""
        if not self.terms:
            return text
        return _any_of(self.terms).sub(lambda match: written(self.terms[(match.lastindex or 0) - 1]), text)

    def missed(self, source: str, translation: str) -> tuple[Term, ...]:
        """Return the terms whose translation stands less often in the translation than they in the source."""
        said: dict[Term, int] = {}

        def count(term: Term) -> str:
            said[term] = said.get(term, 0) + 1
            return ""

        self.replaced(source, count)
        return tuple(term for term, times in said.items() if term.count_in_translation(translation) < times)


def read_glossary(file: Path, targets: Sequence[str]) -> dict[str, Glossary]:
    """Return the glossary for every target language.

    Raises:
        InputError: the file cannot be read, is no such table, names a term twice, or has one translation for several
            languages.
    """
    shown = f"--glossary {printable(file)}"
    rows = _rows(file, shown)
    columns = _columns(rows[0][1], shown)
    found: dict[str, list[Term]] = {target: [] for target in targets}
    first_line: dict[str, int] = {}
    for number, row in rows[1:]:
        if len(row) > len(rows[0][1]):
            raise InputError(
                f"{shown}: line {number} has {len(row)} columns, its first line {len(rows[0][1])}; put a text with a "
                "comma in it in quotation marks."
            )
        cells = {name: " ".join(cell.split()) for name, cell in zip(columns, row, strict=False)}
        term = cells.get("term", "")
        if not term:
            raise InputError(f"{shown}: line {number} has no term.")
        if (before := first_line.setdefault(_folded(term), number)) != number:
            raise InputError(f"{shown}: line {number}: {term!r} is there already, in line {before}; leave one of them.")
        for target, terms in found.items():
            terms.append(Term(term=term, translation=_translation(cells, target, targets, f"{shown}: line {number}")))
    return {target: Glossary(terms=tuple(sorted(terms, key=_longest_first))) for target, terms in found.items()}


def _rows(file: Path, shown: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, with the line that each ends in."""
    text = read_text(file, shown, MOST_BYTES)
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{shown} is no CSV file: line {reader.line_num}: {error}; {_EXAMPLE}.") from error
    if not rows:
        raise InputError(f"{shown} is empty; {_EXAMPLE}.")
    return rows


def _columns(head: Sequence[str], shown: str) -> list[str]:
    columns = [name.strip() if "-" in name and name.strip().lower() != _KEPT else name.strip().lower() for name in head]
    if "term" not in columns:
        raise InputError(f"{shown} has no column named term; {_EXAMPLE}.")
    if len(columns) == 1:
        raise InputError(f"{shown} has neither a column named translation nor one named {_KEPT}; {_EXAMPLE}.")
    if len(set(columns)) < len(columns):
        raise InputError(f"{shown} names a column twice; {_EXAMPLE}.")
    for column in columns:
        if column not in ("term", "translation", _KEPT):
            try:
                normalise_tag(column)
            except InputError:
                raise InputError(
                    f"{shown} has a column {column!r}; there can be term, translation, {_KEPT}, and target languages."
                ) from None
    return columns


def _translation(cells: dict[str, str], target: str, targets: Sequence[str], place: str) -> str:
    kept = cells.get(_KEPT, "").casefold()
    if kept not in _YES | _NO:
        raise InputError(f"{place}: {_KEPT} is {cells[_KEPT]!r}; write yes or leave it empty.")
    named = [name for name in cells if name not in ("term", "translation", _KEPT)]
    own = closest(target, named)
    text = cells[own] if own else cells.get("translation", "")
    if kept in _YES and text not in ("", cells["term"]):
        raise InputError(
            f"{place}: {cells['term']!r} has a translation and is not to be translated; leave one of them."
        )
    if text and own is None and len(targets) > 1:
        raise InputError(
            f"{place}: one translation cannot serve {', '.join(targets)}; name a column after each of them in place of "
            "translation."
        )
    return text or cells["term"]


def read_text(file: Path, shown: str, most_bytes: int) -> str:
    """Return the text of a file that a user gave.

    Raises:
        InputError: there is no such file, it is too large, or not UTF-8.
    """
    try:
        if file.is_dir():
            raise InputError(f"{shown} is a folder, not a file.")
        check_size(file, shown, most_bytes)
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{shown}: there is no such file.") from None
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{shown} is not UTF-8 text (byte {error.start}); save it with that encoding.") from error
    if "\0" in text:
        raise InputError(f"{shown} is no text file.")
    return text


def check_size(file: Path, shown: str, most_bytes: int) -> None:
    """Refuse a file that is far too large for what it should be.

    Raises:
        InputError: it is larger than ``most_bytes``.
    """
    size = file.stat().st_size
    if size > most_bytes:
        raise InputError(f"{shown} has {size / (1 << 20):.0f} MB; at most {most_bytes >> 20} MB are read.")


def _pattern(words: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    """Match whole words, whatever white space is between them."""
    body = r"\s+".join(re.escape(word) for word in words.split())
    return re.compile(rf"(?<!\w){body}(?!\w)", flags)


@cache
def _any_of(terms: tuple[Term, ...]) -> re.Pattern[str]:
    """Match any term, each as a group of its own."""
    return re.compile("|".join(f"({_pattern(term.term).pattern})" for term in terms), re.IGNORECASE)


def _folded(term: str) -> str:
    return " ".join(term.split()).casefold()


def _longest_first(term: Term) -> tuple[int, str]:
    return -len(term.term), term.term
