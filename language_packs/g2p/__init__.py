"""Text to IPA, and IPA to phone segments.

What a language's pack says under ``[g2p]`` chooses the engine (espeak-ng, Epitran or g2p2), the reader that finds the
words or reads the characters first, and who writes numbers in words. Whatever the language, punctuation comes out as
the pause marks of the Latin script, words in another script are read by a voice of that script (English for Latin),
and what nobody can read is an error, never a gap. Digits that neither the engine nor rules for number words know are
read in English, as are the signs % & + = @ where the engine has no words for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import NamedTuple
from unicodedata import category

from language_packs.g2p.engines import ENGINES
from language_packs.g2p.errors import MissingReaderError, UnreadableError
from language_packs.g2p.numbers import NUMBER, in_words, with_currencies
from language_packs.g2p.pieces import STRESS_MARKS, Piece, pieces, segments, without_strays
from language_packs.g2p.punctuation import latin_punctuation, phrases
from language_packs.g2p.readers import reader
from language_packs.g2p.scripts import check_script, foreign_parts, runs, scripts_of
from language_packs.schema import G2P

__all__ = [
    "STRESS_MARKS",
    "MissingReaderError",
    "Piece",
    "UnreadableError",
    "check_script",
    "phonemize",
    "pieces",
    "segments",
]

_ENGLISH = G2P(code="en-us")
_OF_SCRIPT = {
    "Latn": _ENGLISH,
    "Cyrl": G2P(code="ru"),
    "Grek": G2P(code="el"),
    "Arab": G2P(code="ar", segmenter="arabic"),
    "Hebr": G2P(code="he"),
    "Deva": G2P(code="hi"),
    "Beng": G2P(code="bn"),
    "Guru": G2P(code="pa"),
    "Gujr": G2P(code="gu"),
    "Orya": G2P(code="or"),
    "Taml": G2P(code="ta"),
    "Telu": G2P(code="te"),
    "Knda": G2P(code="kn"),
    "Mlym": G2P(code="ml"),
    "Sinh": G2P(code="si"),
    "Geor": G2P(code="ka"),
    "Armn": G2P(code="hy"),
    "Ethi": G2P(code="am"),
    "Cher": G2P(code="chr-US-Qaaa-x-west"),
    "Hang": G2P(code="ko"),
    "Hani": G2P(code="cmn-latn-pinyin", segmenter="chinese", numbers="zh"),
    "Hira": G2P(code="ja", segmenter="japanese", numbers="ja"),
    "Kana": G2P(code="ja", segmenter="japanese", numbers="ja"),
    "Thai": G2P(engine="g2p2", code="th", segmenter="thai", numbers="th"),
    "Laoo": G2P(engine="g2p2", code="lo", segmenter="lao", numbers="lo"),
    "Khmr": G2P(engine="g2p2", code="km", segmenter="khmer", numbers="km"),
    "Mymr": G2P(engine="g2p2", code="my", segmenter="burmese", numbers="my"),
}
"""Who reads words of a script inside a text of another."""
_KANA = re.compile("[\u3041-\u30ff]")
_READ_SCRIPT = {"chinese": "zh", "japanese": "ja"}
"""Readers that turn their own script into another for the engine: the language that they read."""
_SIGNS = re.compile(rf"(?:{NUMBER.pattern})(?:\s?[%€$£])?|[%&+=@°]|\b(?:Dr|Mr|Mrs|Ms|St)\.")
"""What is read in English where the engine has no words for it."""


class _Span(NamedTuple):
    text: str
    how: G2P | None
    """None: punctuation, that stays as it is."""


def phonemize(text: str, how: G2P) -> str:
    """Return ``text`` as IPA, with stress marks where the engine knows stress; punctuation as Latin pause marks.

    Combining tildes are always separate characters (õ is o + U+0303), so that every nasal vowel is written one way.
    Tones are left out: they are not seen, and no synthesiser here takes them.

    Args:
        text: any text in the language.
        how: as the language's pack says.

    Raises:
        UnreadableError: it holds letters that nobody can read.
        MissingReaderError: a package that reads the language is not installed.
        ValueError: espeak-ng has no such voice.
    """
    spans = list(_spans(latin_punctuation(text), how))
    wanted: dict[G2P, list[str]] = {}
    for span in spans:
        if span.how:
            wanted.setdefault(span.how, []).append(span.text)
    read = {each: iter(_corrected(_read(texts, each), each)) for each, texts in wanted.items()}
    ipa = "".join(next(read[span.how]) if span.how else span.text for span in _apart(spans))
    ipa = without_strays(ipa).strip()
    if any(sign.isalnum() and category(sign) != "Lm" for sign in text) and not segments(ipa):
        raise UnreadableError(f"nothing of {text[:60]!r} can be read as {how.code} by {how.engine}")
    return ipa


def _corrected(read: Iterable[str], how: G2P) -> Iterator[str]:
    for ipa in read:
        for written, right in how.corrections:
            ipa = ipa.replace(written, right)
        yield ipa


def _apart(spans: Iterable[_Span]) -> Iterator[_Span]:
    """Put a space where one voice takes over from another inside a word, as in scripts without spaces."""
    voice = None
    for span in spans:
        if voice and span.how:
            yield _Span(" ", None)
        voice = span.how
        yield span


def _spans(text: str, how: G2P) -> Iterator[_Span]:
    for spelt, respelt in how.respell:
        text = text.replace(spelt, respelt).replace(spelt.capitalize(), respelt.capitalize())
    text = with_currencies(text, how.numbers or how.code)
    if how.numbers:
        text = in_words(text, how.numbers)
    for index, phrase in enumerate(phrases(text)):
        if index % 2 or not phrase.strip():
            yield _Span(phrase, None)
        else:
            yield from _parts(phrase, how)


def _parts(phrase: str, how: G2P) -> Iterator[_Span]:
    """Split a phrase into what the language's engine reads and what others read, spaces kept between them."""
    own = scripts_of(_READ_SCRIPT.get(how.segmenter, how.code))
    for is_foreign, stretch in _split(foreign_parts(own), phrase):
        if is_foreign:
            for voice, voiced in groupby(runs(stretch), partial(_voice_of, stretch)):
                yield from _with_spaces("".join(run for _, run in voiced), voice)
        elif ENGINES[how.engine].reads_digits:
            yield from _with_spaces(stretch, how)
        else:
            for is_sign, part in _split(_SIGNS, stretch):
                yield from _with_spaces(part, _ENGLISH if is_sign else how)


def _voice_of(stretch: str, run: tuple[str, str]) -> G2P:
    script, letters = run
    if script == "Hani" and _KANA.search(stretch):  # characters beside kana are Japanese, else Chinese
        script = "Kana"
    if script not in _OF_SCRIPT:
        raise UnreadableError(f"no voice reads {letters!r} in {stretch[:60]!r}: take it out or respell it")
    return _OF_SCRIPT[script]


def _split(pattern: re.Pattern[str], text: str) -> Iterator[tuple[bool, str]]:
    """Split a text into (whether the pattern found it, stretch)."""
    end = 0
    for found in pattern.finditer(text):
        if found.start() > end:
            yield False, text[end : found.start()]
        yield True, found[0]
        end = found.end()
    if end < len(text):
        yield False, text[end:]


def _with_spaces(text: str, how: G2P) -> Iterator[_Span]:
    bare = text.strip()
    if not bare:
        yield _Span(text, None)
        return
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    yield from (span for span in (_Span(before, None), _Span(bare, how), _Span(after, None)) if span.text)


def _read(texts: list[str], how: G2P) -> list[str]:
    if how.segmenter:
        texts = [reader(how.segmenter)(text) for text in texts]
    return ENGINES[how.engine].read(texts, how.code)
