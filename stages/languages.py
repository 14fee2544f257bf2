"""Language tags as users write them (BCP-47, RFC 5646)."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import langcodes

from stages.errors import InputError

_GENERIC = {"pt": "pt-BR", "no": "nb"}
"""What a tag without a region or variety means where these differ too much to leave it open."""
_SAME_LANGUAGE = 7
"""Greatest CLDR distance at which two tags name variants of one language."""


def normalise_tag(text: str) -> str:
    """Return the canonical form of a language tag: ``"PT_br"`` -> pt-BR, ``"por"`` -> pt-BR, ``"no"`` -> nb.

    Raises:
        InputError: the text is not a BCP-47 tag or names no registered language.
    """
    try:
        language = langcodes.get(langcodes.standardize_tag(text.strip()))
    except langcodes.LanguageTagError:
        raise InputError(f"{text!r} is not a language tag; write one such as en, pt-BR or es") from None
    if not language.is_valid() or language.language is None:
        raise InputError(f"{text!r} is not a known language; write a BCP-47 tag such as en, pt-BR or es")
    tag = language.to_tag()
    return _GENERIC.get(tag, tag)


def closest(tag: str, known: Collection[str]) -> str | None:
    """Return which of the known tags is the same language as ``tag`` (or a variant of it), or None."""
    return tag if tag in known else _closest(tag, frozenset(known))


@cache
def _closest(tag: str, known: frozenset[str]) -> str | None:
    match, _distance = langcodes.closest_match(tag, sorted(known), max_distance=_SAME_LANGUAGE)
    return None if match == "und" else match


def language_name(tag: str) -> str:
    """Return the language's English name, e.g. ``"Brazilian Portuguese"``."""
    return langcodes.get(tag).display_name()
