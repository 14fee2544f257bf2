"""espeak-ng (GPL-3): loaded at run time as the shared library that ``espeakng-loader`` brings along.

Nothing is installed on the system and no process is started.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from language_packs.g2p.errors import UnreadableError

_LONGEST_WORD = 40
"""Letters. espeak-ng writes over its buffers and ends the process at words of some 60 letters in Burmese."""
_TOO_LONG = re.compile(rf"(\w{{{_LONGEST_WORD}}})(?=\w)")
_APOSTROPHES = str.maketrans("ʼʻ", "’‘")
"""espeak-ng reads the letters ʼ and ʻ as "ejective"; the quotation marks it takes for the letters."""
_FLAG = re.compile(r"\([a-z][a-z0-9-]*\)")

_TONAL = frozenset({"cmn", "hak", "my", "shn", "th", "vi", "yue"})
_TONE = re.compile(r"(?<=[^\d\W]|[.\-])(?:\d|ɜ)+$|\d")
"""What follows a phone in these voices; the third tone is written ɜ, like the vowel."""

# Where espeak-ng gives a phoneme no IPA it writes its own mnemonic (Kirshenbaum's ASCII-IPA).
_MNEMONICS = tuple(
    (re.compile(pattern), ipa)
    for pattern, ipa in (
        (r"tS", "tʃ"), (r"dZ", "dʒ"), (r"S", "ʃ"), (r"Z", "ʒ"), (r"X", "χ"), (r"A", "ɑ"), (r"N", "ŋ"), (r"ε", "ɛ"),
        (r"Φ", "ɸ"), (r"ʦ", "ts"), (r"g", "ɡ"), (r"\?+", "ʔ"), (r"K", "tɬ"), (r":", "ː"), (r"nɡ$", "ŋ"),
        (r"ts\.", "tʂ"), (r"s\.", "ʂ"), (r"r\.", "ɽ"), (r"i\.", "ɨ"),
        (r"(?<=[tkpsʃqc])`", "ʼ"), (r"(?<=[tdsznlk])\^", "ʲ"), (r'u"', "ʉ"), (r"(?<=[mnlrŋ])#", "\u0325"),
        (r"(?<=[ptkqcɕʂs])h(?=$)", "ʰ"), (r"a\.", "ɑ"), (r"[`^.\"#+\-\[\d]", ""),
    )
)  # fmt: skip
_OF_VOICE: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "cmn": ((re.compile("o-"), "ɤ"),),
    # The Cantonese voice writes Jyutping; vowels after Matthews & Yip 2011, "Cantonese: a comprehensive grammar".
    "yue": tuple(
        (re.compile(pattern), ipa)
        for pattern, ipa in (
            (r"^z", "ts"), (r"^c", "tsʰ"), (r"aa", "aː"), (r"a(?!ː)", "ɐ"), (r"yu", "y"), (r"oe", "œ"), (r"eo", "ɵ"),
            (r"nɡ", "ŋ"), (r"^([ptk])$", r"\1ʰ"),
        )
    ),
}  # fmt: skip

_DIES_AT_DIGITS = frozenset({"kl"})
"""Voices whose missing number words end the process (espeak-ng 1.52)."""

_lock = threading.Lock()


class _Voice(Protocol):
    def text_to_phonemes(self, text: str) -> str: ...


def read(texts: Sequence[str], voice: str) -> list[str]:
    """Return the IPA of each text, with stress marks, and without tones and flags of language.

    Raises:
        ValueError: espeak-ng has no such voice.
        UnreadableError: there are digits, and the voice has no number words.
    """
    if voice in _DIES_AT_DIGITS and any(sign.isdecimal() for text in texts for sign in text):
        raise UnreadableError(f"espeak-ng's voice {voice!r} reads no digits: the pack's [g2p] must name numbers")
    with _lock:
        speaker = _voice(voice)
        raw = [speaker.text_to_phonemes(_TOO_LONG.sub(r"\1 ", text.translate(_APOSTROPHES))) for text in texts]
    return [_cleaned(ipa, voice) for ipa in raw]


def _cleaned(raw: str, voice: str) -> str:
    words = _FLAG.sub("", raw).split()
    return " ".join(word for word in ("".join(_phone(p, voice) for p in word.split("_")) for word in words) if word)


@lru_cache(maxsize=4096)
def _phone(mnemonic: str, voice: str) -> str:
    """Return the IPA of what espeak-ng writes for one phoneme."""
    stress = "".join(sign for sign in mnemonic if sign in "ˈˌ")
    phone = mnemonic.lstrip("ˈˌ")
    family = voice.split("-")[0]
    tones = ((_TONE, ""),) if family in _TONAL else ()
    for pattern, ipa in (*_OF_VOICE.get(family, ()), *tones, *_MNEMONICS):
        phone = pattern.sub(ipa, phone)
    return stress + phone


@lru_cache(maxsize=16)
def _voice(name: str) -> _Voice:
    import espeakng_loader
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    wrapper = EspeakWrapper()
    try:
        wrapper.set_voice(name)
    except RuntimeError:
        raise ValueError(f"espeak-ng has no voice {name!r}") from None
    return wrapper
