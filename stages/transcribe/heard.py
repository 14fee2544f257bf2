"""What a recogniser writes, whichever it is, and what the stage asks of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stages.errors import InputError

_WHISPER_CODES = {"jv": "jw", "fil": "tl", "nb": "no"}
"""Where Whisper's code differs from the primary BCP-47 subtag."""


@dataclass(frozen=True)
class HeardWord:
    """A word as Whisper wrote it, leading space included, with its times in the sound it was given."""

    text: str
    start_ms: int
    end_ms: int
    probability: float


@dataclass(frozen=True)
class HeardSegment:
    """Words that Whisper wrote in one go, and how sure it was."""

    words: tuple[HeardWord, ...]
    mean_log_probability: float
    """Of the tokens, natural logarithm."""
    no_speech_probability: float

    @property
    def text(self) -> str:
        """As Whisper wrote it, without the space before it."""
        return "".join(word.text for word in self.words).strip()


class Recogniser(Protocol):
    """A loaded engine. Deterministic: beam search, no sampling, no memory of earlier calls."""

    def segments(self, samples_16k: np.ndarray, language: str, may_repeat: bool = True) -> tuple[HeardSegment, ...]:
        """Return what is said in float32 (n,) samples, segment by segment.

        Args:
            samples_16k: what to listen to.
            language: BCP-47.
            may_repeat: False forbids to write the same four tokens twice.

        Raises:
            InputError: the model does not know the language.
        """
        ...

    def segments_of(self, sounds: Sequence[np.ndarray], language: str) -> list[tuple[HeardSegment, ...]]:
        """Return what is said in each of several sounds, which may be heard at once.

        Raises:
            InputError: the model does not know the language.
            MemoryError: they do not fit into the memory at once.
        """
        ...

    def language_probabilities(self, samples_16k: np.ndarray) -> dict[str, float]:
        """Return the probability of every language by BCP-47 tag for float32 (n,) samples of at most 30 s."""
        ...


def heard_segments(written: Sequence[tuple[Sequence[HeardWord], float, float]]) -> tuple[HeardSegment, ...]:
    """Return the segments that have words, with whole words.

    Args:
        written: words, mean log probability and no-speech probability of each segment of one sound.
    """
    has_spaces = writes_spaces([word for words, _, _ in written for word in words])
    return tuple(
        HeardSegment(whole_words(words) if has_spaces else tuple(words), mean_log_probability, no_speech_probability)
        for words, mean_log_probability, no_speech_probability in written
        if words
    )


def writes_spaces(words: Sequence[HeardWord]) -> bool:
    """Tell whether most words begin with a space."""
    return 2 * sum(word.text.startswith(" ") for word in words) >= len(words)


def whole_words(words: Sequence[HeardWord]) -> tuple[HeardWord, ...]:
    """Join what Whisper split inside a word ("D" ".C."), in a script that writes spaces between words."""
    whole: list[HeardWord] = []
    for word in words:
        if whole and not word.text.startswith(" "):
            first = whole.pop()
            probability = min(first.probability, word.probability)
            word = HeardWord(first.text + word.text, first.start_ms, word.end_ms, probability)
        whole.append(word)
    return tuple(whole)


def whisper_code(language: str) -> str:
    """Return Whisper's code for a BCP-47 tag: ``pt`` for ``pt-BR``, ``jw`` for ``jv``.

    Raises:
        InputError: the tag is malformed or Whisper does not know the language.
    """
    import langcodes
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    try:
        primary = langcodes.Language.get(language).language or ""
    except langcodes.LanguageTagError as error:
        raise InputError(f"{language!r} is not a language tag: use one such as en or pt-BR.") from error
    code = _WHISPER_CODES.get(primary, primary)
    if code not in _LANGUAGE_CODES:
        raise InputError(f"Whisper does not know the language {language!r}: see dubwright languages.")
    return code


def by_tag(probabilities: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return probabilities of Whisper's codes by BCP-47 tag."""
    tags = {code: tag for tag, code in _WHISPER_CODES.items()}
    return {tags.get(code, code): float(probability) for code, probability in probabilities}
