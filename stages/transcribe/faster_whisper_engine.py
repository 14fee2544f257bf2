"""Whisper (Radford et al., 2022, arXiv:2212.04356) through CTranslate2: one loaded model, several uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stages.errors import InputError
from stages.transcribe.faults import is_loop

Task = Literal["transcribe", "translate"]

_THREADS = 2
"""Fixed, so that the same sound gives the same words on every machine."""
_BEAM = 5
_NO_REPEATED_WORDS = 4
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


class WhisperEngine:
    """One loaded Whisper model. Deterministic: beam search, no sampling, no memory of earlier calls."""

    def __init__(self, folder: Path) -> None:
        """Load the model from ``models.path("whisper-base")``."""
        from faster_whisper import WhisperModel

        self._model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=_THREADS, local_files_only=True
        )

    def language_probabilities(self, samples_16k: np.ndarray) -> dict[str, float]:
        """Return the probability of every language by BCP-47 tag for float32 (n,) samples of at most 30 s."""
        _, _, probabilities = self._model.detect_language(audio=samples_16k)
        tags = {code: tag for tag, code in _WHISPER_CODES.items()}
        return {tags.get(code, code): float(probability) for code, probability in probabilities}

    def words(self, samples_16k: np.ndarray, language: str) -> tuple[HeardWord, ...]:
        """Return the words in float32 (n,) samples with their times.

        Raises:
            InputError: Whisper does not know the language.
        """
        return tuple(word for segment in self.segments(samples_16k, language) for word in segment.words)

    def segments(self, samples_16k: np.ndarray, language: str, may_repeat: bool = True) -> tuple[HeardSegment, ...]:
        """Return what is said in float32 (n,) samples, segment by segment.

        Args:
            samples_16k: what to listen to.
            language: BCP-47.
            may_repeat: False forbids to write the same four tokens twice.

        Raises:
            InputError: Whisper does not know the language.
        """
        decoded = self._decode(samples_16k, language, "transcribe", word_times=True, may_repeat=may_repeat)
        written = [
            [
                HeardWord(word.word, round(word.start * 1000), round(word.end * 1000), float(word.probability))
                for word in segment.words or ()
            ]
            for segment in decoded
        ]
        has_spaces = _writes_spaces([word for words in written for word in words])
        return tuple(
            HeardSegment(
                words=_whole_words(words) if has_spaces else tuple(words),
                mean_log_probability=float(segment.avg_logprob),
                no_speech_probability=float(segment.no_speech_prob),
            )
            for segment, words in zip(decoded, written, strict=True)
            if words
        )

    def recognise(
        self, samples_16k: np.ndarray, language: str, task: Task = "transcribe", names: str | None = None
    ) -> str:
        """Return what is said in float32 (n,) samples: in ``language`` itself, or translated into English.

        ``names`` are words that are likely to be said, and make their spelling likelier (Whisper's "hot words").

        Raises:
            InputError: Whisper does not know the language.
        """
        segments = self._decode(samples_16k, language, task, word_times=False, names=names)
        return "".join(segment.text for segment in segments).strip()

    def _decode(
        self,
        samples_16k: np.ndarray,
        language: str,
        task: Task,
        word_times: bool,
        may_repeat: bool = True,
        names: str | None = None,
    ) -> list:
        if len(samples_16k) == 0:
            return []
        code = whisper_code(language)
        segments: list = []
        # A loop ("and then and then ...") is decoded again with repetition forbidden; sampling, Whisper's own
        # way out, would give other words on every run.
        for no_repeat in (0, _NO_REPEATED_WORDS) if may_repeat else (_NO_REPEATED_WORDS,):
            found, _ = self._model.transcribe(
                np.asarray(samples_16k, np.float32),
                language=code,
                task=task,
                beam_size=_BEAM,
                temperature=0.0,
                condition_on_previous_text=False,
                word_timestamps=word_times,
                vad_filter=False,
                no_repeat_ngram_size=no_repeat,
                hotwords=names,
            )
            segments = list(found)
            if not is_loop(" ".join(segment.text for segment in segments)):
                break
        return segments


def _writes_spaces(words: list[HeardWord]) -> bool:
    return 2 * sum(word.text.startswith(" ") for word in words) >= len(words)


def _whole_words(words: list[HeardWord]) -> tuple[HeardWord, ...]:
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
