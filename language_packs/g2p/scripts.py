"""Scripts: which a language is written in, and which parts of a text are in another one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

import langcodes
import regex

from language_packs.g2p.errors import UnreadableError

_LETTERS_OF = {
    "Hans": ("Hani", "Bopo"), "Hant": ("Hani", "Bopo"), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang",),
}  # fmt: skip
"""ISO 15924 codes of mixed scripts -> the Unicode scripts that they mix; of Korean, the one that espeak-ng reads."""
_ALSO = {"bs": ("Cyrl",), "sr": ("Latn",), "uz": ("Cyrl",)}
"""Languages that are written in more scripts than their likely one, all of which their engine reads."""
_LIKELY = {"grc": "Grek", "hyw": "Armn", "nog": "Cyrl"}
"""Where ``langcodes`` knows no likely script, or another than that of today's texts."""
_LETTER = regex.compile(r"\p{L}")


@cache
def scripts_of(tag: str) -> frozenset[str]:
    """Return the Unicode scripts (ISO 15924) that a language is read in, given its BCP-47 tag or an engine's code."""
    parts = tag.split("-")
    # Engines' codes are not all valid tags: chr-US-Qaaa-x-west, mon-Cyrl-bab.
    named = next((part.title() for part in parts[1:3] if re.fullmatch("(?!Qa)[A-Za-z]{4}", part)), None)
    region = next((part for part in parts[1:3] if re.fullmatch("[A-Za-z]{2}", part)), None)
    language = langcodes.get(f"{parts[0]}-{region}" if region else parts[0])
    likely = named or _LIKELY.get(parts[0]) or language.maximize().script or "Latn"
    own = _LETTERS_OF.get(likely, (likely,))
    return frozenset(own if named else (*own, *_ALSO.get(language.language or "", ())))


def check_script(text: str, tag: str, *, allow_latin: bool = False) -> None:
    """Check that a text is written in a script of its language.

    Args:
        text: what is to be read.
        tag: BCP-47, of the text.
        allow_latin: for a part of a text: names in Latin letters stand in texts of any script.

    Raises:
        UnreadableError: more than half of its letters are of other scripts.
    """
    letters = _LETTER.findall(text)
    fitting = _belongs(scripts_of(tag) | ({"Latn"} if allow_latin else set()))
    own = sum(1 for letter in letters if fitting.match(letter))
    if 2 * own < len(letters):
        found = max({script_name(letter) for letter in letters}, key=[script_name(each) for each in letters].count)
        name = langcodes.get(tag).display_name()
        raise UnreadableError(
            f"{name} is not written in {found} letters: {_shortened(text)!r}. Give the text in {name}, "
            "or choose the language that it is in."
        )


def script_name(letter: str) -> str:
    """Return the English name of a letter's script, e.g. ``"Cyrillic"``."""
    return unicodedata.name(letter, "unknown").split()[0].capitalize()


@cache
def foreign_parts(own: frozenset[str]) -> regex.Pattern[str]:
    """Return what finds stretches of words in scripts other than ``own``.

    One strange letter inside a word is a look-alike or a symbol, and stays with its word.
    """
    letters = "".join(rf"\p{{Script={script}}}" for script in sorted(own))
    strange = rf"[\p{{L}}--[{letters}\p{{Script=Common}}\p{{Script=Inherited}}]]\p{{M}}*"
    word = rf"(?:{strange}){{2,}}|(?<!\p{{L}}\p{{M}}*){strange}(?!\p{{L}})"
    return regex.compile(rf"(?V1)(?:{word})(?:[\s'’\-.]+(?:{word})|(?<=\p{{L}})['’](?:{strange}))*")


def runs(text: str) -> Iterator[tuple[str, str]]:
    """Split a text into (script, stretch), one for every change of script; signs go with what stands before them."""
    stretch, current = "", ""
    for character in text:
        script = _script(character) if _LETTER.match(character) else current
        if script not in ("", current) and current:
            yield current, stretch
            stretch = ""
        current = script or current
        stretch += character
    if stretch:
        yield current, stretch


_KNOWN_SCRIPTS = (
    "Latn", "Cyrl", "Grek", "Arab", "Hebr", "Deva", "Beng", "Guru", "Gujr", "Orya", "Taml", "Telu", "Knda", "Mlym",
    "Sinh", "Thai", "Laoo", "Mymr", "Khmr", "Tibt", "Geor", "Armn", "Ethi", "Hang", "Hira", "Kana", "Hani", "Bopo",
    "Cher", "Mong", "Thaa", "Syrc", "Nkoo", "Adlm", "Tfng", "Cans", "Java",
)  # fmt: skip


@cache
def _script(letter: str) -> str:
    return next((script for script in _KNOWN_SCRIPTS if _belongs(frozenset({script})).match(letter)), "Zyyy")


@cache
def _belongs(scripts: frozenset[str]) -> regex.Pattern[str]:
    """Return what matches a letter of the scripts, or one that is common to many."""
    letters = "".join(rf"\p{{Script={script}}}" for script in sorted(scripts))
    return regex.compile(rf"[{letters}\p{{Script=Common}}\p{{Script=Inherited}}]")


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
