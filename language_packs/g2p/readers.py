"""Readers: what finds words where there are no spaces, reads characters, or adds vowels, before the engine reads.

Each is a name in a pack's ``[g2p] segmenter``. What they need is in the optional extra ``readers``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import pairwise

from language_packs.g2p.errors import Reader, UnreadableError, reader_package

_REPEATS = "ๆໆៗ"
"""Thai, Lao and Khmer signs: the word before is said again."""


def reader(name: str) -> Reader:
    """Return a reader by name.

    Raises:
        UnreadableError: there is none of that name.
        MissingReaderError: its package is not installed.
    """
    if name not in _READERS:
        raise UnreadableError(f"[g2p] segmenter: there is no {name!r}; there are: {', '.join(_READERS)}")
    return _load(name)


@cache
def _load(name: str) -> Reader:
    return _READERS[name]()


def _spaced(words: Callable[[str], list[str]]) -> Reader:
    """Return a reader that puts spaces between words, and says repeated words twice."""

    def read(text: str) -> str:
        found = [word for word in words(text) if word.strip()]
        found = [before if word in _REPEATS else word for before, word in pairwise(["", *found])]
        return " ".join(found)

    return read


def _thai() -> Reader:
    return _spaced(partial(reader_package("pythainlp.tokenize").word_tokenize, engine="newmm", keep_whitespace=False))


def _khmer() -> Reader:
    return _spaced(reader_package("khmercut").tokenize)


def _lao() -> Reader:
    return _spaced(reader_package("laonlp.tokenize").word_tokenize)


def _burmese() -> Reader:
    return _spaced(reader_package("burmesenlp").BurmeseNLP().word_segment)


# --- Chinese: pinyin, by pypinyin's dictionary of phrases (银行 yínháng, 行走 xíngzǒu) ---

_RESPELLED = (
    (re.compile(r"(?<=[jqx])iong"), "ong"),
    (re.compile(r"\bwong"), "weng"),
    (re.compile(r"\bh?m(?=\d)"), "mu"),
)
"""Syllables that espeak-ng's pinyin voice spells out, as it reads them right."""


def _chinese() -> Reader:
    pypinyin = reader_package("pypinyin")
    cut = reader_package("pypinyin.contrib.mmseg").seg.cut

    def read(text: str) -> str:
        words = list(cut(text))
        syllables = [
            pypinyin.lazy_pinyin(word, style=pypinyin.Style.TONE3, neutral_tone_with_five=True) for word in words
        ]
        pinyin = " ".join("".join(each) for each in syllables if any(part.strip() for part in each))
        for pattern, respelled in _RESPELLED:
            pinyin = pattern.sub(respelled, pinyin)
        return pinyin

    return read


# --- Japanese: kana as they are said (は as a particle: ワ), by MeCab with the IPA dictionary ---

_SAID = 8
"""Column of the dictionary: 発音."""
_LEANS = ("助詞", "助動詞", "接尾", "非自立")
"""Particles, auxiliaries and suffixes make one word with what they follow."""


def _japanese() -> Reader:
    tagger = reader_package("fugashi").GenericTagger(reader_package("ipadic").MECAB_ARGS)

    def read(text: str) -> str:
        words: list[str] = []
        for word in tagger(text):
            said = word.feature[_SAID] if len(word.feature) > _SAID else word.surface
            if words and any(kind in _LEANS for kind in word.feature[:2]):
                words[-1] += said
            else:
                words.append(said)
        return " ".join(words)

    return read


# --- Arabic: the vowels that the script leaves out, by text2tashkeel's models ---

_VOWEL_MARKS = re.compile("[\u064b-\u0652]")
_ENDING = re.compile("[\u064c-\u0650]$")
_MARKED_SHARE = 0.3
"""Of the signs, from which on a text is vowelled already."""


def _arabic() -> Reader:
    diacritizer = reader_package("text2tashkeel").Diacritizer()

    def read(text: str) -> str:
        is_marked = len(_VOWEL_MARKS.findall(text)) > _MARKED_SHARE * len(text)
        marked = text if is_marked else diacritizer.diacritize(text)
        return _ENDING.sub("", marked)  # before a pause a case ending is not said

    return read


_READERS: Mapping[str, Callable[[], Reader]] = {
    "arabic": _arabic,
    "burmese": _burmese,
    "chinese": _chinese,
    "japanese": _japanese,
    "khmer": _khmer,
    "lao": _lao,
    "thai": _thai,
}
