"""Where packs lie and how they become one: built in, from installed packages, from folders that the user names.

A pack is data. Nothing in it is ever executed or imported, no file is read outside its folder or above
:data:`MOST_BYTES`, and every mistake is a :class:`PackError` that names the file and the key.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any, TypeVar

import langcodes
from pydantic import BaseModel, TypeAdapter, ValidationError

from language_packs import scripts
from language_packs.schema import (
    Override,
    Pack,
    PackError,
    PackFile,
    Shortening,
    ShorteningFile,
    ShorteningRule,
    Visemes,
)

ENTRY_POINTS = "dubwright.language_packs"
"""Group of entry points; each names a package whose folder holds packs."""
MOST_BYTES = 1 << 20
"""Largest file of a pack; the largest built-in one has a hundredth of it."""
_BUILT_IN = Path(__file__).parent
_SAME_LANGUAGE = 7
"""Greatest CLDR distance (``langcodes``) at which a pack still serves a tag: variants, not neighbours."""
TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
"""How a pack's folder is named: BCP-47, no path."""
_VISEMES: TypeAdapter[dict[str, Override]] = TypeAdapter(Visemes)
FileT = TypeVar("FileT", bound=BaseModel)


@dataclass(frozen=True)
class Packs:
    """The packs that can be used: built-in ones, those of installed packages, then those of named folders.

    Of two packs with the same tag the later one counts.
    """

    named: tuple[Path, ...] = ()
    """Folders that are a pack or hold packs."""

    @cached_property
    def folders(self) -> Mapping[str, Path]:
        """The folder of every pack, by tag.

        Raises:
            PackError: a named folder or an installed package holds no pack.
        """
        found = {folder.name: folder for folder in _packs_in(_BUILT_IN)}
        for origin, root in [*_installed(), *((str(folder), folder) for folder in self.named)]:
            packs = {folder.resolve().name: folder for folder in _packs_in(root)}
            if not packs:
                raise PackError(f"{origin}: there is no language pack (a folder with a pack.toml) in it")
            found |= packs
        return found

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The tags of all packs that can be used as a language, sorted."""
        return tuple(sorted(tag for tag in self.folders if not self._pack_file(tag).base))

    def load(self, tag: str) -> Pack:
        """Return the pack for ``tag`` or its closest variant (``"en-US"`` -> en, ``"pt"`` -> pt-BR).

        Raises:
            PackError: the tag is not BCP-47, no pack serves it, or the pack's files are wrong.
        """
        found = self.find(tag)
        if found is None:
            raise PackError(f"no language pack for {tag!r}; dubwright languages lists the {len(self.tags)} there are")
        return self._packs(found)

    def find(self, tag: str) -> str | None:
        """Return the tag of the pack that serves a language, or None.

        Raises:
            PackError: the tag is not BCP-47.
        """
        try:
            wanted = langcodes.standardize_tag(tag)
        except langcodes.LanguageTagError:
            raise PackError(f"{tag!r} is not a language tag (BCP-47, e.g. en or pt-BR)") from None
        if wanted in self.folders and not self._pack_file(wanted).base:
            return wanted
        match, distance = langcodes.closest_match(wanted, list(self.tags), max_distance=_SAME_LANGUAGE)
        return match if match != "und" and distance <= _SAME_LANGUAGE else None

    def shortening(self, tag: str) -> Shortening:
        """Return how texts in a language are shortened; nothing where no pack serves the tag or the pack names no way.

        Raises:
            PackError: the pack's file is wrong.
        """
        found = self.find(tag)
        return Shortening() if found is None else self._shortening(found)

    def _packs(self, tag: str) -> Pack:
        merged = scripts.defaults(tag)
        overrides: dict[str, Override] = {}
        for ancestor in reversed(self._line(tag)):
            said = self._pack_file(ancestor).model_dump(by_alias=True, exclude_unset=True, exclude={"inherits", "base"})
            tables = {key: {**merged.get(key, {}), **value} for key, value in said.items() if isinstance(value, dict)}
            merged |= said | tables
            folder = self.folders[ancestor]
            overrides |= _visemes(folder, _stamp_ns(folder / "visemes.toml"))
        try:
            return Pack.model_validate({**merged, "overrides": overrides})
        except ValidationError as error:
            raise PackError(f"language pack {tag}: {self.folders[tag] / 'pack.toml'}: {_first(error)}") from None

    def _line(self, tag: str) -> list[str]:
        """Return the pack and what it inherits from, nearest first."""
        line: list[str] = []
        ancestor: str | None = tag
        while ancestor is not None:
            if ancestor in line:
                raise PackError(f"language pack {tag}: inherits in a circle: {' -> '.join([*line, ancestor])}")
            if ancestor not in self.folders:
                raise PackError(f"language pack {line[-1]}: pack.toml: inherits: there is no pack {ancestor!r}")
            line.append(ancestor)
            ancestor = self._pack_file(ancestor).inherits
        return line

    def _pack_file(self, tag: str) -> PackFile:
        return _pack_file(self.folders[tag], tag, _stamp_ns(self.folders[tag] / "pack.toml"))

    def _shortening(self, tag: str) -> Shortening:
        folders = [self.folders[each] for each in self._line(tag)]
        line = [_shortening_file(folder, _stamp_ns(folder / "shorten.toml")) for folder in folders]
        own: list[ShorteningRule] = [rule for file in reversed(line) for rule in file.rule]
        return Shortening(
            keep=next((file.keep for file in line if file.keep is not None), ()),
            avoid=next((file.avoid for file in line if file.avoid is not None), ""),
            rules=tuple(own),
        )


def _packs_in(root: Path) -> Iterator[Path]:
    """Yield the pack folders in a folder, or the folder itself if it is one."""
    if (root / "pack.toml").is_file():
        yield root
        return
    yield from sorted(file.parent for file in root.glob("*/pack.toml"))


@cache
def _installed() -> tuple[tuple[str, Path], ...]:
    """Return (name, folder) of what installed packages offer; they are found, not imported."""
    found = []
    for point in metadata.entry_points(group=ENTRY_POINTS):
        top, *below = point.value.split(":")[0].split(".")
        spec = util.find_spec(top)
        places = spec.submodule_search_locations if spec else None
        if not places:
            raise PackError(
                f"entry point {point.name} of the group {ENTRY_POINTS}: there is no package {point.value!r}"
            )
        found.append((f"entry point {point.name} ({point.value})", Path(next(iter(places))).joinpath(*below)))
    return tuple(found)


def _stamp_ns(file: Path) -> int:
    """Return when a file was changed, 0 where there is none: what is remembered of it holds until then."""
    return file.stat().st_mtime_ns if file.exists() else 0


@cache
def _pack_file(folder: Path, tag: str, stamp_ns: int) -> PackFile:
    if not TAG.fullmatch(tag):
        raise PackError(f"language pack {folder}: the folder's name is not a language tag (BCP-47, e.g. fr or pt-BR)")
    file = _file(folder, "pack.toml", PackFile)
    if file.tag != tag:
        raise PackError(f"language pack {folder}: pack.toml: tag: is {file.tag!r}, but the folder is named {tag!r}")
    return file


@cache
def _visemes(folder: Path, stamp_ns: int) -> dict[str, Override]:
    try:
        said = _VISEMES.validate_python(_toml(folder, "visemes.toml"))
    except ValidationError as error:
        raise PackError(f"language pack {folder}: visemes.toml: {_first(error)}") from None
    return {unicodedata.normalize("NFD", segment): override for segment, override in said.items()}


@cache
def _shortening_file(folder: Path, stamp_ns: int) -> ShorteningFile:
    return _file(folder, "shorten.toml", ShorteningFile)


def _file(folder: Path, name: str, kind: type[FileT]) -> FileT:
    try:
        return kind.model_validate(_toml(folder, name))
    except ValidationError as error:
        raise PackError(f"language pack {folder}: {name}: {_first(error)}") from None


def _toml(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    if not file.exists():
        return {}
    if file.resolve().parent != folder.resolve():
        raise PackError(f"language pack {folder}: {name}: is a link that leads out of the pack's folder")
    if file.stat().st_size > MOST_BYTES:
        size_mb = file.stat().st_size / (1 << 20)
        raise PackError(f"language pack {folder}: {name}: has {size_mb:.0f} MB; a file of a pack has at most 1 MB")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PackError(f"language pack {folder}: {name}: {error}") from None
    except RecursionError:
        raise PackError(f"language pack {folder}: {name}: tables are nested too deeply") from None


def _first(error: ValidationError) -> str:
    """Return the first mistake: its key, what is wrong, and what was given."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    given = repr(first["input"])
    return f"{_cut(key, 120)}: {_cut(first['msg'], 300)} (given: {_cut(given, 60)})"


def _cut(text: str, length: int) -> str:
    """Return the beginning of what may be damaged and endless."""
    return text if len(text) <= length else f"{text[:length]}..."
