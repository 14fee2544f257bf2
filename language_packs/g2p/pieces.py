"""IPA to phones."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

STRESS_MARKS = "ˈˌ"
_TIE_BARS = "\u0361\u035c"
_RHOTIC_HOOK = "˞"
_BEFORE_ITS_PHONE = ("ᵐ", "ⁿ", "ᶬ", "ᵑ", "ʲ", "ˀ", "ʰ")
"""Prenasalisation, preaspiration and glides, where nothing stands before them that they could belong to."""


class Piece(NamedTuple):
    """A phone with its modifiers, or one character that is not part of a phone."""

    text: str
    is_phone: bool


def segments(ipa: str) -> list[str]:
    """Split IPA into phones: a base with its length, nasalisation, secondary articulation and tie bars.

    Stress marks, tones, spaces and punctuation are dropped. ``"tˈeɪŋtʲ͡ɕ"`` gives ``["t", "e", "ɪ", "ŋ", "tʲ͡ɕ"]``.
    """
    return [piece.text for piece in pieces(ipa) if piece.is_phone]


def pieces(ipa: str) -> Iterator[Piece]:
    """Split IPA into phones and the single characters between them; joined, they are the input (NFD, ç kept)."""
    bare = decompose(ipa)
    phone = ""
    for character, following in zip(bare, f"{bare[1:]} ", strict=False):
        if (_is_modifier(character) and phone) or (phone and phone[-1] in _TIE_BARS) or phone in _BEFORE_ITS_PHONE:
            phone += character
            continue
        if phone:
            yield Piece(phone, is_phone=True)
        is_begun = _is_letter(character) or (character in _BEFORE_ITS_PHONE and _is_letter(following))
        phone = character if is_begun else ""
        if not phone:
            yield Piece(character, is_phone=False)
    if phone:
        yield Piece(phone, is_phone=True)


def without_strays(ipa: str) -> str:
    """Return IPA without modifiers that belong to no phone, as engines leave them where they drop a letter."""
    return "".join(piece.text for piece in pieces(ipa) if piece.is_phone or not _is_modifier(piece.text))


def decompose(ipa: str) -> str:
    """Return IPA with every mark a character of its own, but for ç, which is a letter of the IPA."""
    return unicodedata.normalize("NFD", ipa).replace("c\u0327", "ç")


def _is_letter(character: str) -> bool:
    return unicodedata.category(character) in ("Ll", "Lu", "Lo")


def _is_modifier(character: str) -> bool:
    if character in STRESS_MARKS:
        return False
    return character == _RHOTIC_HOOK or unicodedata.category(character) in ("Mn", "Lm")
