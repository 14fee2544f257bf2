"""A translation memory: texts that a person has translated before, and that are taken as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from stages.artifacts import Record
from stages.errors import InputError
from stages.languages import closest, language_name
from stages.media import printable
from stages.translate.exchange import Unit, read_units


class Entry(Record):
    """A source text and its translation."""

    source: str
    target: str
    line: int | None = None
    """The line's id, where the file says it (XLIFF): it serves this line only."""


class Memory(Record):
    """What is known for one pair of languages; of several translations of a text the last one counts."""

    entries: tuple[Entry, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def lookup(self) -> dict[tuple[str, int | None], str]:
        """Return the translations by text and line."""
        return {(entry.source, entry.line): entry.target for entry in self.entries}


def plain(text: str) -> str:
    """Return a text as it is compared: any white space is one space."""
    return " ".join(text.split())


def read_memory(files: Sequence[Path], source: str, target: str) -> Memory:
    """Return what the files (TMX, XLIFF) know for a pair.

    Raises:
        InputError: a file cannot be read.
    """
    found = (_entry(unit, source, target) for file in files for unit in read_units(file))
    return Memory(entries=tuple(entry for entry in found if entry is not None))


def check_memories(files: Sequence[Path], source: str | None, targets: Sequence[str]) -> None:
    """Check that every file serves one of the target languages; ``source`` None: not known before it is heard.

    Raises:
        InputError: a file cannot be read, or knows nothing for any of the pairs.
    """
    for file in files:
        units = read_units(file)
        if not any(_entry(unit, source, target) for unit in units for target in targets):
            of = "" if source is None else f" from {language_name(source)}"
            has = ", ".join(sorted({tag for unit in units for tag in unit.texts})) or "no text at all"
            raise InputError(
                f"--memory {printable(file)} has no translation{of} into {', '.join(targets)}; it has: {has}."
            )


def _entry(unit: Unit, source: str | None, target: str) -> Entry | None:
    to = closest(target, unit.texts)
    if to is None:
        return None
    others = [tag for tag in unit.texts if tag != to]
    of = closest(source, others) if source is not None else next(iter(others), None)
    if of is None or not plain(unit.texts[of]) or not plain(unit.texts[to]):
        return None
    return Entry(source=plain(unit.texts[of]), target=plain(unit.texts[to]), line=unit.line)
