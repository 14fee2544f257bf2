"""What can go wrong in reading; ``str()`` of each is one line for the user."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


class UnreadableError(ValueError):
    """A text cannot be read: the wrong script, or signs that no voice knows."""


class MissingReaderError(RuntimeError):
    """A package that reads this language is not installed."""


def reader_package(module: str) -> Any:
    """Import a package of the optional extra ``readers``.

    Raises:
        MissingReaderError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingReaderError(
            f'this language is read by {error.name}, which is not installed. Run: pip install "dubwright[readers]"'
        ) from None


Reader = Callable[[str], str]
"""Takes text, returns text that an engine reads, or IPA."""
