"""Engines: text without digits or punctuation that they do not know, to IPA."""

from __future__ import annotations

import lzma
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import langcodes

from language_packs.g2p import espeak
from language_packs.g2p.errors import MissingReaderError, UnreadableError, reader_package


@dataclass(frozen=True)
class Engine:
    """One way from text to IPA."""

    read: Callable[[Sequence[str], str], list[str]]
    """Takes texts and the engine's code of their language."""
    reads_digits: bool
    """Whether digits and signs (%, &) are words to it; else they are read in words or by the English voice."""


def _epitran(texts: Sequence[str], code: str) -> list[str]:
    """Read by Epitran's rules (Mortensen et al. 2018). They have no stress, so there are no stress marks."""
    transliterator = _transliterator(code)
    return [" ".join(_tidy(transliterator.transliterate(word)) for word in text.split()) for text in texts]


@cache
def _transliterator(code: str) -> Any:
    package = reader_package("epitran")
    exceptions = reader_package("epitran.exceptions")
    try:
        return package.Epitran(code)
    except exceptions.DatafileError:
        raise UnreadableError(f"[g2p] code: Epitran has no language {code!r}") from None


def _g2p2(texts: Sequence[str], code: str) -> list[str]:
    """Read by g2p2's models (Gladia), word by word. They have no stress."""
    model = _model(code)

    def read(word: str) -> str:
        # A model may have nothing for a short word: then its letters are read.
        return _tidy(model.phonemize(word)) or _tidy("".join(model.phonemize(letter) for letter in word))

    return [" ".join(read(word) for word in text.split()) for text in texts]


_GROUPS = ("african", "celtic", "germanic", "iranian", "sea", "semitic")
"""Packages of models that the extra ``readers`` installs."""


@cache
def _model(code: str) -> Any:
    """Load a model that is installed; g2p2's own loader would download it."""
    model = reader_package("g2p2").Model
    for group in _GROUPS:
        found = find_spec(f"g2p2_group_{group}")
        folder = Path(next(iter(found.submodule_search_locations or []))) if found else None
        if folder and (folder / f"{code}.g2p.xz").is_file():
            return model.from_bytes(lzma.decompress((folder / f"{code}.g2p.xz").read_bytes()))
    raise MissingReaderError(
        f'no model of g2p2 for {langcodes.get(code).display_name()} is installed. Run: pip install "dubwright[readers]"'
    )


_TONES = re.compile("[\u0300\u0301\u0302\u0304\u030c˥˦˧˨˩ꜛꜜ꜒-꜖²‿/]")
_LEFT_OVER = str.maketrans({"g": "ɡ", "ं": "\u0303", "-": None, "'": None, "’": None, "‘": None})


def _tidy(ipa: str) -> str:
    """Leave out tones and the spelling's hyphens and apostrophes."""
    return _TONES.sub("", unicodedata.normalize("NFD", ipa.lower()).translate(_LEFT_OVER))


ENGINES: Mapping[str, Engine] = {
    "espeak": Engine(espeak.read, reads_digits=True),
    "epitran": Engine(_epitran, reads_digits=False),
    "g2p2": Engine(_g2p2, reads_digits=False),
}
