"""What the script of a language decides: the direction of writing, and how subtitles in it are set.

``scripts.toml`` holds it, by ISO 15924 code. A pack states only where its language differs.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import langcodes
from pydantic import BaseModel, ConfigDict, ValidationError

from language_packs.schema import PackError, SubtitleRules

_FILE = Path(__file__).with_name("scripts.toml")
_ANCIENT = {"grc": "Grek"}
"""Where CLDR names the oldest script of a language: for Ancient Greek the Cypriot syllabary."""


class Script(BaseModel):
    """One script, as ``scripts.toml`` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    direction: Literal["ltr", "rtl"]
    subtitles: SubtitleRules


def script_code(tag: str) -> str:
    """Return the ISO 15924 code of the script that a language (BCP-47) is usually written in, e.g. ``"Hans"`` for zh.

    Raises:
        PackError: the tag is not BCP-47, or CLDR knows no script of the language.
    """
    try:
        language = langcodes.Language.get(tag)
    except langcodes.LanguageTagError:
        raise PackError(f"{tag!r} is not a language tag (BCP-47, e.g. en or pt-BR)") from None
    code = language.script or _ANCIENT.get(language.language or "") or language.maximize().script
    if not code or tag == "und":
        raise PackError(f"no script is known for {tag!r}; write it in the tag, e.g. {tag or 'und'}-Latn")
    return code


def defaults(tag: str) -> dict[str, Any]:
    """Return what a pack need not say, as ``pack.toml`` would say it; nothing where its script is not known.

    Raises:
        PackError: the tag is not BCP-47, or CLDR knows no script of the language.
    """
    script = _scripts().get(script_code(tag))
    if script is None:
        return {}
    return {"direction": script.direction, "subtitles": script.subtitles.model_dump(exclude_unset=True)}


@cache
def _scripts() -> dict[str, Script]:
    try:
        return {code: Script.model_validate(said) for code, said in tomllib.loads(_FILE.read_text("utf-8")).items()}
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise PackError(f"scripts.toml: {' '.join(str(error).split())}") from None
