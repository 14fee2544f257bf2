"""Lines of a script as phones: the language pack's reading, with errors that name the line."""

from __future__ import annotations

from language_packs import g2p
from language_packs.schema import G2P
from stages.errors import InputError, MissingEngineError


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
    try:
        g2p.check_script(text, tag)
        return g2p.phonemize(text, how)
    except g2p.UnreadableError as error:
        raise InputError(f"{where}: {error}") from None
    except g2p.MissingReaderError as error:
        raise MissingEngineError(f"{where}: {error}") from None
