"""Language packs: everything the pipeline must know of a language, as data.

A pack is a folder named by its BCP-47 tag: ``pack.toml`` (names, phonemes, speech rate, subtitle rules) and
``visemes.toml`` (how its sounds look where that differs from what :mod:`language_packs.derive` derives from
the IPA), and where it has any, ``shorten.toml`` (ways of saying the same in fewer words). A pack that ``inherits``
another states only what differs from it. A pack with ``base = true`` is there to be inherited from, and is not
offered as a language of its own.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import langcodes
from pydantic import ValidationError

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
)

__all__ = [
    "G2P",
    "PARAMETERS",
    "Contact",
    "Override",
    "Pack",
    "PackError",
    "Parameter",
    "Shortening",
    "ShorteningRule",
    "SubtitleRules",
    "available",
    "load_pack",
    "load_shortening",
]

_FOLDER = Path(__file__).parent
_SAME_LANGUAGE = 7
"""Greatest CLDR distance (``langcodes``) at which a pack still serves a tag: variants, not neighbours."""


def available() -> tuple[str, ...]:
    """Return the tags of all packs that can be used as a language, sorted."""
    return tuple(sorted(tag for tag in _folders() if not _toml(tag, "pack.toml").get("base", False)))


def load_pack(tag: str) -> Pack:
    """Return the pack for ``tag`` or its closest variant (``"en-US"`` -> en, ``"pt"`` -> pt-BR).

    Raises:
        PackError: the tag is not BCP-47, no pack serves it, or the pack's files are wrong.
    """
    try:
        match, distance = langcodes.closest_match(tag, list(available()), max_distance=_SAME_LANGUAGE)
    except langcodes.LanguageTagError:
        raise PackError(f"{tag!r} is not a language tag (BCP-47, e.g. en or pt-BR)") from None
    if match == "und" or distance > _SAME_LANGUAGE:
        raise PackError(f"no language pack for {tag!r}; there are: {', '.join(available())}")
    return _load(match)


def load_shortening(tag: str) -> Shortening:
    """Return how texts in a language are shortened; nothing where no pack serves the tag or the pack names no way.

    Raises:
        PackError: the pack's file is wrong.
    """
    try:
        return _shortening(load_pack(tag).tag)
    except PackError:
        if langcodes.closest_match(tag, list(available()), max_distance=_SAME_LANGUAGE)[0] == "und":
            return Shortening()
        raise


@cache
def _load(tag: str) -> Pack:
    try:
        return Pack.model_validate({**_merged(tag), "overrides": _overrides(tag)})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PackError(f"language pack {tag}: {where}: {first['msg']}") from None


def _merged(tag: str) -> dict[str, Any]:
    own = _toml(tag, "pack.toml")
    parent = own.pop("inherits", None)
    own.pop("base", None)
    if parent is None:
        return own
    inherited = _merged(parent)
    rules = {**inherited.get("subtitles", {}), **own.get("subtitles", {})}
    return {**inherited, **own, "subtitles": rules}


def _overrides(tag: str) -> dict[str, Any]:
    parent = _toml(tag, "pack.toml").get("inherits")
    inherited = _overrides(parent) if parent else {}
    return {**inherited, **_toml(tag, "visemes.toml")}


@cache
def _shortening(tag: str) -> Shortening:
    parent = _toml(tag, "pack.toml").get("inherits")
    inherited = _shortening(parent) if parent else Shortening()
    own = _toml(tag, "shorten.toml")
    try:
        return Shortening.model_validate(
            {
                "keep": own.get("keep", inherited.keep),
                "avoid": own.get("avoid", inherited.avoid),
                "rules": [*inherited.rules, *(ShorteningRule(**rule) for rule in own.get("rule", []))],
            }
        )
    except (ValidationError, re.error) as error:
        raise PackError(f"language pack {tag}: shorten.toml: {str(error).splitlines()[0]}") from None


def _folders() -> tuple[str, ...]:
    return tuple(file.parent.name for file in _FOLDER.glob("*/pack.toml"))


@cache
def _read(tag: str, name: str) -> str:
    file = _FOLDER / tag / name
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _toml(tag: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(tag, name))
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"language pack {tag}: {name}: {error}") from None
