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
from typing import Any, Literal, get_args

import langcodes
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Parameter = Literal[
    "jaw",
    "aperture",
    "width",
    "protrusion",
    "compression",
    "closure",
    "lip_to_teeth",
    "teeth_together",
    "tongue_visible",
]
PARAMETERS: tuple[Parameter, ...] = get_args(Parameter)
"""The articulation basis, each 0-1; width .5 is the relaxed mouth, 0 the others' rest."""

Contact = Literal["", "closure", "labiodental"]

_FOLDER = Path(__file__).parent
_SAME_LANGUAGE = 7
"""Greatest CLDR distance (``langcodes``) at which a pack still serves a tag: variants, not neighbours."""


class PackError(ValueError):
    """A language pack cannot be found or does not say what it must; ``str()`` is one line."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SubtitleRules(_Frozen):
    """How much text a viewer reads in what time; defaults: Netflix Timed Text Style Guide."""

    characters_per_second: float = Field(default=17.0, gt=0)
    characters_per_line: int = Field(default=42, gt=0)
    lines: int = Field(default=2, gt=0)
    min_ms: int = Field(default=833, gt=0)
    """Shortest time a cue stays on the screen."""
    max_ms: int = Field(default=7000, gt=0)
    """Longest time a cue stays on the screen."""


class Override(_Frozen):
    """How a sound looks in this language, where that differs from the derived articulation."""

    like: str | None = None
    """Take the whole articulation of this IPA segment first."""
    targets: dict[Parameter, float] = {}
    dominances: dict[Parameter, float] = {}
    contact: Contact | None = None
    viseme: str | None = None


class Pack(_Frozen):
    """One language, as ``pack.toml`` and ``visemes.toml`` describe it."""

    tag: str
    """BCP-47."""
    name: str
    """In English."""
    direction: Literal["ltr", "rtl"]
    """Of the script."""
    espeak_voice: str
    phones_per_second: float = Field(gt=0)
    """Typical rate of read speech, pauses left out."""
    subtitles: SubtitleRules = SubtitleRules()
    overrides: dict[str, Override] = {}
    """By IPA segment or single sound, see :func:`language_packs.derive.articulations`."""


class ShorteningRule(_Frozen):
    """One way of saying the same in fewer words."""

    find: str
    """Regular expression (:mod:`re`), upper and lower case alike."""
    replace: str = ""
    """With ``\\1`` for a group."""
    sides: tuple[Literal["source", "target"], ...]
    """Whether it holds for what is to be translated out of the language, into it, or both."""

    @field_validator("find")
    @classmethod
    def _compiles(cls, find: str) -> str:
        re.compile(find)
        return find


class Shortening(_Frozen):
    """What ``shorten.toml`` says."""

    keep: tuple[str, ...] = ()
    """Regular expressions of words that are never lost: a shorter version has as many of each kind."""
    avoid: str = ""
    """Regular expression of what a shorter version may not bring in."""
    rules: tuple[ShorteningRule, ...] = ()
    """In the order of their application: those that are missed least come first."""


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
