"""Text to IPA through espeak-ng, and IPA to phone segments.

espeak-ng (GPL-3) is loaded at run time as a shared library that ``espeakng-loader`` brings along; nothing is installed
on the system and no process is started.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

from language_packs.schema import G2P

STRESS_MARKS = "ˈˌ"
_TIE_BARS = "\u0361\u035c"
_RHOTIC_HOOK = "˞"

# Titles after which a full stop does not end a phrase. espeak-ng reads them itself when the stop is left on them.
_TITLES = ("Mr", "Mrs", "Ms", "Dr", "Dra", "Sr", "Sra", "St")
# Commas, stops and colons inside numbers, and the stops inside initialisms (D.C.), are espeak-ng's to read.
_PUNCTUATION = re.compile(
    r"(\s*(?:[;!?¡¿—–…\"«»„“”()\[\]{}]|--+|(?<=\s)-(?=\s)|[,:](?!\d)|"
    + "".join(rf"(?<!\b{title})" for title in _TITLES)
    + r"(?<!\.[^\W\d_])\.(?![\w])|(?<=[^\W\d_])\.$)+\s*)"
)

_lock = threading.Lock()


class Piece(NamedTuple):
    """A phone with its modifiers, or one character that is not part of a phone."""

    text: str
    is_phone: bool


class _Backend(Protocol):
    def phonemize(self, text: list[str], *, strip: bool) -> list[str]: ...


def phonemize(text: str, how: G2P) -> str:
    """Return ``text`` as IPA with stress marks, punctuation kept where it stood.

    Combining tildes are always separate characters (õ is o + U+0303), so that every nasal vowel is written one way.

    Args:
        text: any text in the voice's language.
        how: as the language's pack says.

    Raises:
        ValueError: espeak-ng has no such voice.
    """
    chunks = _PUNCTUATION.split(" ".join(text.split()))
    spoken = [chunk for chunk in chunks[::2] if chunk.strip()]
    with _lock:
        read = iter(_backend(how.code).phonemize(spoken, strip=True) if spoken else [])
    ipa = "".join(
        chunk if index % 2 else (next(read).replace("-", "") if chunk.strip() else chunk)
        for index, chunk in enumerate(chunks)
    )
    return _decompose(ipa).strip()


def segments(ipa: str) -> list[str]:
    """Split IPA into phones: a base with its length, nasalisation, secondary articulation and tie bars.

    Stress marks, spaces and punctuation are dropped. ``"tˈeɪŋtʲ͡ɕ"`` gives ``["t", "e", "ɪ", "ŋ", "tʲ͡ɕ"]``.
    """
    return [piece.text for piece in pieces(ipa) if piece.is_phone]


def pieces(ipa: str) -> Iterator[Piece]:
    """Split IPA into phones and the single characters between them; joined, they are the input (NFD, ç kept)."""
    phone = ""
    for character in _decompose(ipa):
        if (_is_modifier(character) and phone) or (phone and phone[-1] in _TIE_BARS):
            phone += character
        else:
            if phone:
                yield Piece(phone, is_phone=True)
            phone = character if unicodedata.category(character) in ("Ll", "Lu", "Lo") else ""
            if not phone:
                yield Piece(character, is_phone=False)
    if phone:
        yield Piece(phone, is_phone=True)


def _is_modifier(character: str) -> bool:
    if character in STRESS_MARKS:
        return False
    return character == _RHOTIC_HOOK or unicodedata.category(character) in ("Mn", "Lm")


def _decompose(ipa: str) -> str:
    return unicodedata.normalize("NFD", ipa).replace("c\u0327", "ç")


@lru_cache
def _backend(espeak_voice: str) -> _Backend:
    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    if not EspeakBackend.is_supported_language(espeak_voice):
        raise ValueError(f"espeak-ng has no voice {espeak_voice!r}")
    never = re.compile(r"(?!)")  # punctuation is kept here: phonemizer would cut numbers and initialisms at it
    return EspeakBackend(espeak_voice, punctuation_marks=never, with_stress=True, language_switch="remove-flags")
