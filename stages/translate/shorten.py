"""Shorter ways of saying the same: the packs' rules applied one after the other, and what they may never lose.

The rules are data (``language_packs/<tag>/shorten.toml``). Those for the source leave out words without content
before the text is translated; those for the target take grammatical reductions. Whatever a rule or a translator makes
of them, a version without a number, a negation, a possessive or a name of the original is not offered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from language_packs import Shortening, ShorteningRule

Side = Literal["source", "target"]

_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"(?<![.!?…]\s)(?<!^)\b[^\W\d_a-z][\w’'-]+")
"""A capitalised word that does not begin a sentence."""
_SENTENCE_START = re.compile(r"(?:^|[.!?…]\s+)[\"'“«¿¡]*$")
_MOST_LOST = (1.25, 2)
"""A translation may lose this many times the characters that its source lost, and so many more."""


def versions(text: str, side: Side, shortening: Shortening) -> tuple[str, ...]:
    """Return ``text`` and what is left of it after each rule in turn, longest first; only versions that say the same.

    Args:
        text: one line.
        side: whether it is to be translated, or is a translation.
        shortening: of the text's language; every rule is applied to what the ones before it have left.
    """
    found = [text]
    for rule in shortening.rules:
        shorter = _applied(found[-1], rule) if side in rule.sides else found[-1]
        if shorter != found[-1] and says_the_same(text, shorter, shortening):
            found.append(shorter)
    return tuple(found)


def alternatives(full: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Return the candidates that are shorter than the full text, each once, longest first."""
    shorter = {candidate for candidate in candidates if 0 < len(candidate) < len(full)}
    return tuple(sorted(shorter, key=lambda candidate: (-len(candidate), candidate)))


def says_the_same(full: str, shorter: str, shortening: Shortening) -> bool:
    """Return whether ``shorter`` has the numbers, names, kept words and closing punctuation of ``full``."""
    return (
        Counter(_NUMBER.findall(full)) == Counter(_NUMBER.findall(shorter))
        and all(_count(words, full) == _count(words, shorter) for words in shortening.keep)
        and _count(shortening.avoid, full) >= _count(shortening.avoid, shorter)
        and set(_NAME.findall(full)) <= set(re.findall(r"\w[\w’'-]+", shorter))
        and _stripped_end(full) == _stripped_end(shorter)
    )


def is_faithful(full: tuple[str, str], shorter: tuple[str, str], shortening: Shortening) -> bool:
    """Return whether the translation of a shortened source can stand for that of the full one.

    A translator may turn a whole sentence round because one word is gone. So it may bring in no more new words than
    the shortening brought into the source.

    Args:
        full: the source and its translation.
        shorter: the shortened source and its translation.
        shortening: of the target language.
    """
    lost_of_source, lost_of_target = (len(whole) - len(less) for whole, less in zip(full, shorter, strict=True))
    times, more = _MOST_LOST
    new_in_source, new_in_target = (_words(less) - _words(whole) for whole, less in zip(full, shorter, strict=True))
    return (
        lost_of_target <= times * lost_of_source + more
        and new_in_target.total() <= new_in_source.total()
        and says_the_same(full[1], shorter[1], shortening)
    )


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))


def _applied(text: str, rule: ShorteningRule) -> str:
    """Replace every match; a sentence that loses its first word begins with a capital again."""
    pattern = re.compile(rule.find, re.IGNORECASE)
    result, end = "", 0
    for match in pattern.finditer(text):
        if match.start() == match.end():
            continue
        piece = match.expand(rule.replace)
        result += text[end : match.start()]
        end = match.end()
        if match[0][:1].isupper() and _SENTENCE_START.search(result):
            if piece:
                piece = piece[:1].upper() + piece[1:]
            else:
                piece, end = text[end : end + 1].upper(), end + 1
        result += piece
    return result + text[end:]


def _count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text, re.IGNORECASE)) if pattern else 0


def _stripped_end(text: str) -> str:
    """Return the closing punctuation: a question stays one."""
    return text[len(text.rstrip(".!?…,;: ")) :].strip()
