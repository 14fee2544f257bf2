"""What the script of a language decides: the direction of writing, and how subtitles in it are set.

``scripts.toml`` holds it, by ISO 15924 code. A pack states only where its language differs.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

import langcodes
from pydantic import BaseModel, ConfigDict, ValidationError

from language_packs.schema import Pack, PackError, SubtitleRules

_FILE = Path(__file__).with_name("scripts.toml")


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
        code = langcodes.Language.get(tag).maximize().script
    except langcodes.LanguageTagError:
        raise PackError(f"{tag!r} is not a language tag (BCP-47, e.g. en or pt-BR)") from None
    if not code or tag == "und":
        raise PackError(f"no script is known for {tag!r}; write it in the tag, e.g. {tag or 'und'}-Latn")
    return code


def script(code: str) -> Script:
    """Return what a script (ISO 15924, e.g. ``"Cyrl"``) decides.

    Raises:
        PackError: ``scripts.toml`` says nothing of it.
    """
    scripts = _scripts()
    if code not in scripts:
        raise PackError(f"scripts.toml says nothing of the script {code!r}; there are: {', '.join(sorted(scripts))}")
    return scripts[code]


def subtitle_rules(pack: Pack) -> SubtitleRules:
    """Return a pack's subtitle rules; what it does not say is its script's.

    Raises:
        PackError: the language's script is unknown or not in ``scripts.toml``.
    """
    said = {name: getattr(pack.subtitles, name) for name in pack.subtitles.model_fields_set}
    return script(script_code(pack.tag)).subtitles.model_copy(update=said)


@cache
def _scripts() -> dict[str, Script]:
    try:
        return {code: Script.model_validate(said) for code, said in tomllib.loads(_FILE.read_text("utf-8")).items()}
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise PackError(f"scripts.toml: {' '.join(str(error).split())}") from None
