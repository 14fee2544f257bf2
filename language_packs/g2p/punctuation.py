"""Punctuation of all scripts, as the pause marks of the Latin script that timing and synthesis know."""

from __future__ import annotations

import re
import unicodedata

# Titles after which a full stop does not end a phrase. espeak-ng reads them itself when the stop is left on them.
_TITLES = ("Mr", "Mrs", "Ms", "Dr", "Dra", "Sr", "Sra", "St")
# Commas, stops and colons inside numbers, and the stops inside initialisms (D.C.), are the engine's to read.
_PUNCTUATION = re.compile(
    r"(\s*(?:[;!?¡¿—–…\"«»„“”()\[\]{}]|--+|(?<=\s)-(?=\s)|[,:](?!\d)|"
    + "".join(rf"(?<!\b{title})" for title in _TITLES)
    + r"(?<!\.[^\W\d_])\.(?![\w])|(?<=[^\W\d_])\.$)+\s*)"
)

_ALIKE = {
    ". ": "。｡．۔।॥။།༎༏༐༑።៕។៚᠃։܁܂᱾᱿꘎꛳꩝꩞꩟꯫𑁇𑁈߸",
    ", ": "、､，،၊፣᠂՝߹꛵꘍\u060c",
    "; ": "；؛፤\u0387꛶",
    ": ": "：፥፦៖᠄",
    "? ": "？؟፧꘏꛷⸮",
    "! ": "！՜߹",
    "… ": "⋯‥᠁",
    "“": "「『〝",
    "”": "」』〞〟",
    "«": "《〈",
    "»": "》〉",
    "[": "【〔〖",
    "]": "】〕〗",
    "—": "―﹘⸺",
    "-": "‐‑",
    " ": "・･፡\u200b\u3000",
}
"""What stands in a Latin text -> the signs of other scripts for which it stands. Unicode Standard 15, chapter 6.2."""
_TO_LATIN = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {sign: latin for latin, signs in _ALIKE.items() for sign in signs}
)
# Between digits the full-width signs are those of numbers, and take no space.
_FULLWIDTH_IN_NUMBER = re.compile(r"(?<=\d)[，．：](?=\d)")
_SPACE_IN_NUMBER = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
_NOT_READ = re.compile("[\u00ad\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufe00-\ufe0f]")
"""Soft hyphens, marks of direction, and of how a sign is drawn. Joiners stay: in Persian and Hindi they spell."""


def latin_punctuation(text: str) -> str:
    """Return text in NFC with Latin punctuation and single spaces; nothing that is read is lost."""
    text = _NOT_READ.sub("", text)
    text = _SPACE_IN_NUMBER.sub("", text)
    text = _FULLWIDTH_IN_NUMBER.sub(lambda sign: chr(ord(sign[0]) - 0xFEE0), text)
    return " ".join(unicodedata.normalize("NFC", text.translate(_TO_LATIN)).split())


def phrases(text: str) -> list[str]:
    """Split text with Latin punctuation into phrases and, at the odd indices, what stands between them."""
    return _PUNCTUATION.split(text)
