"""The beginning of a pack: what is known of a language without its speakers, for them to correct."""

from __future__ import annotations

from pathlib import Path

import langcodes

from language_packs import PARAMETERS, PackError, Parameter
from language_packs.collection import TAG
from language_packs.derive import SEGMENTS, articulations
from language_packs.schema import SCHEMA_VERSION

_PHONES_PER_SECOND = 14.0
_RESTING = {"width": 0.5}
_PACK = """\
# {name}. dubwright packs check {tag} --pack DIR says what is wrong; docs/packs.md explains every key.
schema = {schema}
tag = "{tag}"
name = "{name}"
phones_per_second = {rate} # of read speech, pauses left out: count the phones of a text and time a reader

[g2p]
engine = "{engine}"
code = "{code}"
"""
_VISEMES = """\
# How the sounds of {name} look. What stands in comments is derived from the IPA and holds without being said. Take away
# the "#" of a sound (both lines) and change what is different in this language; say after whom (author, year, title).
# All values are 0-1; width .5 is the mouth at rest. "contact" is "closure" (the lips meet) or "labiodental".
#
# ["x"]
# like = "ɕ"                         # take the whole look of another sound first
# targets = {{ jaw = 0.2 }}            # then what differs
# dominances = {{ protrusion = 2.0 }}  # how firmly it is held against the neighbours

"""


def write_skeleton(folder: Path, tag: str, engine: str, code: str) -> Path:
    """Write ``folder/<tag>/`` with a pack that can be used as it stands, and return it.

    Raises:
        PackError: the tag is not BCP-47, or the folder is there already.
    """
    if not TAG.fullmatch(tag):
        raise PackError(f"{tag!r} is not a language tag (BCP-47, e.g. fr or pt-BR)")
    place = folder / tag
    if place.exists():
        raise PackError(f"{place} is there already; nothing was written")
    place.mkdir(parents=True)
    said = {"tag": tag, "name": langcodes.get(tag).display_name(), "schema": SCHEMA_VERSION}
    pack = _PACK.format(**said, rate=_PHONES_PER_SECOND, engine=engine, code=code)
    (place / "pack.toml").write_text(pack, encoding="utf-8")
    table = "\n".join(_derived(segment) for segment in SEGMENTS)
    (place / "visemes.toml").write_text(_VISEMES.format(**said) + table, encoding="utf-8")
    return place


def _derived(segment: str) -> str:
    """Return a segment's derived look as TOML in comments."""
    (look,) = articulations(segment)
    shown: dict[Parameter, float] = {
        parameter: look.targets[parameter]
        for parameter in PARAMETERS
        if look.targets[parameter] != _RESTING.get(parameter, 0.0)
    }
    targets = ", ".join(f"{parameter} = {value:.3f}" for parameter, value in shown.items())
    contact = f'\n# contact = "{look.contact}"' if look.contact else ""
    return f'# ["{segment}"]\n# targets = {{ {targets} }}{contact}\n'
