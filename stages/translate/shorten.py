"""Shorter ways of saying the same: the packs' rules applied one after the other, and what they may never lose.

The rules are data (``language_packs/<tag>/shorten.toml``). Those for the source leave out words without content
before the text is translated; those for the target take grammatical reductions. Whatever a rule or a translator makes of
them, a version without a number, a negation or a name of the original is not offered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from language_packs import ShorteningRule

_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"(?<![.!?…]\s)(?<!^)\b[^\W\d_a-z][\w’'-]+")
"""A capitalised word that does not begin a sentence."""
_SENTENCE_START = re.compile(r"(?:^|[.!?…]\s+)[\"'“«¿¡]*$")
_LOST_SHARE = 0.15
"""A translation that shrinks by this much more than its source did has lost something."""


def versions(text: str, rules: Sequence[ShorteningRule], negation: str) -> tuple[str, ...]:
    """Return ``text`` and what is left of it after each rule in turn, longest first; only versions that say the same.

    Args:
        text: one line.
        rules: applied in this order, each to what the ones before it have left.
        negation: what negates in the language, as a regular expression; empty where the pack names nothing.
    """
    found = [text]
    for rule in rules:
        shorter = _applied(found[-1], rule)
        if shorter != found[-1] and says_the_same(text, shorter, negation):
            found.append(shorter)
    return tuple(found)


def alternatives(full: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Return the candidates that are shorter than the full text, each once, longest first."""
    shorter = {candidate for candidate in candidates if 0 < len(candidate) < len(full)}
    return tuple(sorted(shorter, key=lambda candidate: (-len(candidate), candidate)))


def says_the_same(full: str, shorter: str, negation: str) -> bool:
    """Return whether no number, negation or name of ``full`` is missing in ``shorter``, and none is new."""
    return (
        Counter(_NUMBER.findall(full)) == Counter(_NUMBER.findall(shorter))
        and _negations(full, negation) == _negations(shorter, negation)
        and set(_NAME.findall(full)) <= set(re.findall(r"\w[\w’'-]+", shorter))
        and _stripped_end(full) == _stripped_end(shorter)
    )


def is_faithful(full: tuple[str, str], shorter: tuple[str, str], negation: str) -> bool:
    """Return whether the translation of a shortened source can stand for that of the full one.

    Args:
        full: the source and its translation.
        shorter: the shortened source and its translation.
        negation: of the target language.
    """
    kept_of_source = len(shorter[0]) / max(len(full[0]), 1)
    kept_of_target = len(shorter[1]) / max(len(full[1]), 1)
    return kept_of_target > kept_of_source - _LOST_SHARE and says_the_same(full[1], shorter[1], negation)


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


def _negations(text: str, negation: str) -> int:
    return len(re.findall(negation, text, re.IGNORECASE)) if negation else 0


def _stripped_end(text: str) -> str:
    """Return the closing punctuation: a question stays one."""
    return text[len(text.rstrip(".!?…,;: ")) :].strip()
