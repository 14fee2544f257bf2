"""Lines of a script as phones: the language pack's reading, with errors that name the line."""

from __future__ import annotations

from collections.abc import Sequence

from language_packs import g2p
from language_packs.schema import G2P
from stages.artifacts import ScriptLine
from stages.errors import InputError, MissingEngineError


def check_lines(lines: Sequence[ScriptLine], tag: str) -> None:
    """Check that a script is written in its language's script; single lines may be all names in Latin letters.

    Raises:
        InputError: more than half of its letters are of other scripts; the first such line is named.
    """
    try:
        g2p.check_script(" ".join(line.text for line in lines), tag)
    except g2p.UnreadableError:
        for line in lines:
            _check(line.text, tag, f"line {line.id}", allow_latin=False)


def _check(text: str, tag: str, where: str, *, allow_latin: bool) -> None:
    try:
        g2p.check_script(text, tag, allow_latin=allow_latin)
    except g2p.UnreadableError as error:
        raise InputError(f"{where}: {error}") from None


def read_line(text: str, how: G2P, tag: str, where: str) -> str:
    """Return a line as IPA, see :func:`language_packs.g2p.phonemize`.

    Args:
        text: of the line.
        how: as the language's pack says.
        tag: the language, BCP-47.
        where: what the error calls the text, e.g. ``"line 7"``.

    Raises:
        InputError: the text is not in the language's script, or nobody can read it.
        MissingEngineError: a package that reads the language is not installed.
    """
    _check(text, tag, where, allow_latin=True)
    try:
        return g2p.phonemize(text, how)
    except g2p.UnreadableError as error:
        raise InputError(f"{where}: {error}") from None
    except g2p.MissingReaderError as error:
        raise MissingEngineError(f"{where}: {error}") from None


def try_line(text: str, how: G2P, tag: str, where: str) -> tuple[str, str | None]:
    """Return a line as IPA, and None; or no IPA, and why it cannot be read: one bad line must not end a run.

    Arguments as of :func:`read_line`.

    Raises:
        MissingEngineError: a package that reads the language is not installed.
    """
    try:
        return read_line(text, how, tag, where), None
    except (MissingEngineError, MemoryError):
        raise
    except InputError as error:
        return "", str(error)
    except Exception as error:  # a reader may fail in any way on one line
        return "", f"{where}: {type(error).__name__}: {error}"
