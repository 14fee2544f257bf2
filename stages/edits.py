"""What a person has changed in a dub: ``<stem>.<tag>.edits.toml`` in the output folder.

.. code-block:: toml

    [lines.7]
    text = "Hoje conseguimos uma coisa importante."

The number is the line's ``id`` in the report. A text is spoken as it is written there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ConfigDict, Field, ValidationError, field_validator

from stages.artifacts import Record, ScriptLine
from stages.errors import InputError
from stages.media import printable

RecordT = TypeVar("RecordT", bound=Record)


class LineEdit(Record):
    """What is changed in one line."""

    model_config = ConfigDict(strict=True)

    text: str
    """Spoken instead of the translation, and not shortened; any white space is one space."""

    @field_validator("text")
    @classmethod
    def _has_words(cls, text: str) -> str:
        return said(text)


class Edits(Record):
    """The edits of one dub."""

    lines: dict[int, LineEdit] = Field(default_factory=dict)
    """By line id."""
    source: str = Field(default="", exclude=True)
    """The file they come from, for messages."""

    @property
    def digest(self) -> str:
        """What the key of a stage that takes them depends on."""
        return self.model_dump_json()

    def texts(self) -> dict[int, str]:
        """Return the new texts by line id."""
        return {line: edit.text for line, edit in sorted(self.lines.items())}

    def check(self, ids: Iterable[int]) -> None:
        """Check that there is a line for every edit.

        Raises:
            InputError: there is none.
        """
        check_ids(self.lines, ids, self.source)


class _EditsFile(Record):
    lines: dict[int, LineEdit] = Field(default_factory=dict)


def edits_file(folder: Path, stem: str, tag: str) -> Path:
    """Return where the edits of a dub are looked for."""
    return folder / f"{stem}.{tag}.edits.toml"


def read_edits(file: Path) -> Edits:
    """Return the edits in a file; none where there is no such file.

    Raises:
        InputError: it cannot be read, is not TOML, or says what cannot be done.
    """
    found, shown = read_lines(file, _EditsFile, 'text = "..."')
    return Edits() if found is None else Edits(lines=found.lines, source=shown)


def read_lines(file: Path, kind: type[RecordT], keys: str) -> tuple[RecordT | None, str]:
    """Return what a file says of lines, None where there is no such file, and the file's name for messages.

    Args:
        file: TOML with a table ``[lines.NUMBER]`` for each line.
        kind: what it may say.
        keys: the same for people.

    Raises:
        InputError: it cannot be read, is not TOML, or says what cannot be done.
    """
    shown = printable(file)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return None, shown
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{shown} cannot be read ({error.__class__.__name__}); it must be a UTF-8 text file."
        ) from error
    except (ValueError, RecursionError) as error:  # the latter: brackets in brackets in ...
        raise InputError(
            f'{shown} is not TOML: {error}. Write for example [lines.7] and below it text = "...".'
        ) from error
    try:
        return kind.model_validate(content), shown
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise InputError(f"{shown}: {place}: {_reason(first['type'], first['msg'], keys)}.") from error


def said(text: str) -> str:
    """Return a person's text with single spaces.

    Raises:
        ValueError: there is nothing to be said in it.
    """
    words = " ".join(text.split())
    if not any(sign.isalnum() for sign in words):
        raise ValueError("the text is empty; write what is to be said, or remove the line's entry")
    return words


def check_ids(asked: Iterable[int], ids: Iterable[int], source: str) -> None:
    """Check that there are the lines that a file speaks of.

    Raises:
        InputError: one is not there.
    """
    known = sorted(ids)
    if unknown := sorted(set(asked) - set(known)):
        raise InputError(f"{source}: there is no line {unknown[0]}; there are: {listed(known)}.")


def taken_over(line: ScriptLine, text: str) -> ScriptLine:
    """Return a line with a text that a person has written: nothing said of the translation holds any more."""
    return line.model_copy(update={"text": text, "alternatives": (), "full_text": None, "flags": (), "origin": "edit"})


def listed(ids: Iterable[int]) -> str:
    """Return line ids for a message, runs joined: ``1-4, 7``."""
    runs: list[list[int]] = []
    for line in sorted(ids):
        if runs and runs[-1][-1] == line - 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _reason(kind: str, message: str, keys: str) -> str:
    known = {
        "extra_forbidden": f"there is no such key; what can be said is {keys} below [lines.NUMBER]",
        "missing": "is missing",
        "int_parsing": "is not the number of a line; take the ids from the report",
    }
    return known.get(kind, message.removeprefix("Value error, "))
