"""What a translation may have lost: numbers and names. Pure functions over texts.

Number words are read by ``text2num`` in the languages that it knows; in others only digits are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import langcodes
import regex
from text_to_num import alpha2digit

_SPELLED = ("de", "en", "es", "fr", "it", "nl", "pt")
"""Languages whose number words are read."""
_READ_AS = {"gl": "pt"}
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f’']\d+)*")
_CAPITALISED = r"\p{Lu}\p{L}[\p{L}\p{M}'’-]*"
_NAME = regex.compile(rf"(?<!^)(?<![.!?…:]\s)(?<![\p{{L}}\d'’.-]){_CAPITALISED}(?:\s+{_CAPITALISED})*")
"""Capitalised words that do not begin a sentence; single letters and "I'm" are none."""
_POSSESSIVE = re.compile(r"['’]s?$")
_SHORTEST_STEM = 3


def numbers_differ(source: str, source_tag: str, text: str, tag: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the numbers in digits that the translation lacks, and those that the source does not have.

    A number in digits on one side may be one in words on the other. Only digits are compared: "1,500" is "1.500".

    Args:
        source: what is said.
        source_tag: its language.
        text: the translation.
        tag: its language.
    """
    here, there = _digits(source), _digits(text)
    lost = _lacking(here, there, _with_words(text, tag))
    new = _lacking(there, here, _with_words(source, source_tag))
    return lost, new


def _lacking(written: Counter[str], digits: Counter[str], with_words: Counter[str]) -> tuple[str, ...]:
    """Return what is written here and is there neither in digits nor in words."""
    return tuple(sorted(number for number, times in written.items() if max(digits[number], with_words[number]) < times))


def _digits(text: str) -> Counter[str]:
    return Counter(
        "".join(str(unicodedata.digit(sign)) for sign in found if sign.isdigit()).lstrip("0") or "0"
        for found in _NUMBER.findall(text)
    )


def first_with_number(number: str, texts: Sequence[str]) -> int:
    """Return which of the texts is the first with a number of :func:`numbers_differ`, 0 where none has it whole."""
    return next((at for at, text in enumerate(texts) if number in _digits(text)), 0)


def _with_words(text: str, tag: str) -> Counter[str]:
    language = langcodes.get(tag).language or ""
    read_as = _READ_AS.get(language, language)
    return _digits(alpha2digit(text, read_as, threshold=0)) if read_as in _SPELLED else _digits(text)


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text: capitalised words inside a sentence, neighbours together, each once."""
    return tuple(dict.fromkeys(_POSSESSIVE.sub("", found) for found in _NAME.findall(text)))


def is_name_kept(name: str, alone: str, text: str) -> bool:
    """Return whether a name is in a translation, as it is or as the engine translates it.

    Args:
        name: one of :func:`names`.
        alone: what the engine makes of the name alone ("Germany": "a Alemanha").
        text: the translation.
    """
    said = _words(text)
    if set(_words(name)) <= set(said):
        return True
    stems = [word[: max(_SHORTEST_STEM, len(word) - 2)] for word in _words(alone) if len(word) >= _SHORTEST_STEM]
    return any(word.startswith(stem) for stem in stems for word in said)


def _words(text: str) -> Sequence[str]:
    return re.findall(r"[\w-]+", text.casefold())
