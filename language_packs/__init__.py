"""Language packs: everything the pipeline must know of a language, as data.

A pack is a folder named by its BCP-47 tag: ``pack.toml`` (names, phonemes, speech rate, subtitle rules) and
``visemes.toml`` (how its sounds look where that differs from what :mod:`language_packs.derive` derives from
the IPA), and where it has any, ``shorten.toml`` (ways of saying the same in fewer words). A pack that ``inherits``
another states only what differs from it. A pack with ``base = true`` is there to be inherited from, and is not
offered as a language of its own.
"""

from __future__ import annotations

from functools import cache

from language_packs.collection import Packs
from language_packs.schema import (
    G2P,
    PARAMETERS,
    Contact,
    Override,
    Pack,
    PackError,
    Parameter,
    Shortening,
    ShorteningRule,
    SubtitleRules,
    Wordings,
)

__all__ = [
    "G2P",
    "PARAMETERS",
    "Contact",
    "Override",
    "Pack",
    "PackError",
    "Packs",
    "Parameter",
    "Shortening",
    "ShorteningRule",
    "SubtitleRules",
    "Wordings",
    "available",
    "load_pack",
    "load_shortening",
]


@cache
def installed() -> Packs:
    """Return the packs that need not be named: built in, or from installed packages."""
    return Packs()


def available() -> tuple[str, ...]:
    """Return the tags of all installed packs that can be used as a language, sorted."""
    return installed().tags


def load_pack(tag: str) -> Pack:
    """Return the installed pack for ``tag`` or its closest variant, see :meth:`Packs.load`."""
    return installed().load(tag)


def load_shortening(tag: str) -> Shortening:
    """Return how texts in a language are shortened, see :meth:`Packs.shortening`."""
    return installed().shortening(tag)
