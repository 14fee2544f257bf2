"""Whisper (Radford et al., 2022, arXiv:2212.04356) through CTranslate2: one loaded model, several uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stages import models
from stages.artifacts import Record
from stages.devices import DeviceConfig, ctranslate2_finds_cuda
from stages.errors import MissingEngineError
from stages.sound import SPEECH_RATE_HZ
from stages.transcribe.faults import is_loop
from stages.transcribe.heard import HeardSegment, HeardWord, by_tag, heard_segments, whisper_code
from stages.transcribe.vocabulary import Vocabulary

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

    from stages.transcribe import TranscribeConfig

Task = Literal["transcribe", "translate"]

_THREADS = 2
"""Fixed, so that the same sound gives the same words on every machine."""
_BEAM = 5
NO_REPEATED_WORDS = 4
"""Tokens in a row that may not come twice where repetition is forbidden."""
_LONGEST_SAMPLES = 30 * SPEECH_RATE_HZ
"""What Whisper sees at once."""
PROMPT_TOKENS = 223
"""Whisper's text context is 448 tokens, half of it for what came before, less the token that says so."""
_OUT_OF_MEMORY = "out of memory"
FILES = ("config.json", "model.bin", "tokenizer.json")
"""Without its tokenizer faster-whisper would ask a hub for one."""


class Hearing(Record):
    """How a model is run."""

    device: DeviceConfig = DeviceConfig(kind="cpu")
    beam: int = _BEAM
    vocabulary: Vocabulary = Vocabulary()


def recogniser(config: TranscribeConfig, vocabulary: Vocabulary) -> WhisperEngine:
    """Return the engine that the settings of the transcription ask for.

    Raises:
        InputError: there is no such model.
        MissingEngineError: it is not here, cannot be read, or does not run on the device.
    """
    return WhisperEngine(
        models.find(config.model), Hearing(device=config.device, beam=config.beam, vocabulary=vocabulary)
    )


def check_folder(folder: Path) -> None:
    """Say at once that a folder holds no model for this engine.

    Raises:
        MissingEngineError: a file is absent.
    """
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        raise MissingEngineError(
            f"{folder} holds no model for faster-whisper: {' and '.join(lacking)} not found. Make it from one of a "
            "hub: ct2-transformers-converter --model openai/whisper-small --output_dir FOLDER --copy_files "
            "tokenizer.json preprocessor_config.json"
        )


class WhisperEngine:
    """One loaded Whisper model. Deterministic: beam search, no sampling, no memory of earlier calls."""

    def __init__(self, folder: Path, hearing: Hearing | None = None) -> None:
        """Load the model from a folder such as ``models.path("whisper-base")``.

        Raises:
            MissingEngineError: it cannot be read, knows one language only, or does not run on the device.
        """
        from faster_whisper import WhisperModel

        hearing = hearing or Hearing()
        check_folder(folder)
        kind = _device_kind(hearing.device)
        try:
            with _memory_errors():
                self._model = WhisperModel(
                    str(folder),
                    device=kind,
                    compute_type=_compute_type(kind, hearing.device),
                    cpu_threads=_THREADS,
                    local_files_only=True,
                )
        except MemoryError:
            raise MissingEngineError(
                f"{folder}: the memory of this device does not suffice; choose a smaller model or another device."
            ) from None
        except Exception as error:  # tokenizers raises Exception itself
            reason = str(error).splitlines()[0]
            raise MissingEngineError(f"{folder} cannot be used by faster-whisper ({reason}).") from error
        if not self._model.model.is_multilingual:
            raise MissingEngineError(f"{folder} holds a Whisper for English only; choose a multilingual one.")
        bands = self._model.feature_extractor.mel_filters.shape[0]
        if bands != self._model.model.n_mels:
            raise MissingEngineError(
                f"{folder}: the model hears {self._model.model.n_mels} mel bands, not {bands}; put its "
                "preprocessor_config.json beside it."
            )
        self._beam = hearing.beam
        self._prompt = hearing.vocabulary.prompt(self._tokens, PROMPT_TOKENS)

    def language_probabilities(self, samples_16k: np.ndarray) -> dict[str, float]:
        """Return the probability of every language by BCP-47 tag for float32 (n,) samples of at most 30 s."""
        with _memory_errors():
            _, _, probabilities = self._model.detect_language(audio=samples_16k)
        return by_tag(probabilities)

    def words(self, samples_16k: np.ndarray, language: str) -> tuple[HeardWord, ...]:
        """Return the words in float32 (n,) samples with their times.

        Raises:
            InputError: Whisper does not know the language.
        """
        return tuple(word for segment in self.segments(samples_16k, language) for word in segment.words)

    def segments(self, samples_16k: np.ndarray, language: str, may_repeat: bool = True) -> tuple[HeardSegment, ...]:
        """Return what is said (:class:`stages.transcribe.heard.Recogniser`)."""
        decoded = self._decode(samples_16k, language, "transcribe", word_times=True, may_repeat=may_repeat)
        return heard_segments([_written(segment) for segment in decoded])

    def segments_of(self, sounds: Sequence[np.ndarray], language: str) -> list[tuple[HeardSegment, ...]]:
        """Return what is said in each sound (:class:`stages.transcribe.heard.Recogniser`).

        Several are heard at once, without the search for what follows the last time mark of a window: that is what the
        stage listens for again.
        """
        fit = [number for number, samples in enumerate(sounds) if 0 < len(samples) <= _LONGEST_SAMPLES]
        if len(fit) < 2:
            return [self.segments(samples, language) for samples in sounds]
        written = dict(zip(fit, self._at_once([sounds[number] for number in fit], language), strict=True))
        loops = {number for number, segments in written.items() if is_loop(" ".join(each.text for each in segments))}
        return [
            heard_segments([_written(segment) for segment in written[number]])
            if number in written and number not in loops
            else self.segments(samples, language, may_repeat=number not in loops)
            for number, samples in enumerate(sounds)
        ]

    def _at_once(self, sounds: Sequence[np.ndarray], language: str) -> list[list[Segment]]:
        """Return what is decoded in each sound of at most 30 s, with its own times."""
        from faster_whisper import BatchedInferencePipeline

        code = whisper_code(language)
        # Each begins at a whole second, where no rounding of times meets it.
        lengths_s = [-(-len(samples) // SPEECH_RATE_HZ) for samples in sounds]
        starts_s = [0, *accumulate(lengths_s[:-1])]
        clip = np.concatenate(
            [
                np.pad(samples, (0, length_s * SPEECH_RATE_HZ - len(samples)))
                for samples, length_s in zip(sounds, lengths_s, strict=True)
            ]
        )
        with _memory_errors():
            found, _ = BatchedInferencePipeline(self._model).transcribe(
                np.asarray(clip, np.float32),
                language=code,
                beam_size=self._beam,
                temperature=0.0,
                without_timestamps=False,
                word_timestamps=True,
                vad_filter=False,
                clip_timestamps=[
                    {"start": start_s, "end": start_s + len(samples) / SPEECH_RATE_HZ}
                    for start_s, samples in zip(starts_s, sounds, strict=True)
                ],
                batch_size=len(sounds),
                initial_prompt=self._prompt,
            )
            decoded = list(found)
        by_start = {start_s * self._model.frames_per_second: start_s for start_s in starts_s}
        return [
            [
                _moved(segment, start_s, len(samples) / SPEECH_RATE_HZ)
                for segment in decoded
                if by_start[segment.seek] == start_s
            ]
            for start_s, samples in zip(starts_s, sounds, strict=True)
        ]

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
    ) -> list[Segment]:
        if len(samples_16k) == 0:
            return []
        code = whisper_code(language)
        segments: list[Segment] = []
        # A loop ("and then and then ...") is decoded again with repetition forbidden; sampling, Whisper's own
        # way out, would give other words on every run.
        for no_repeat in (0, NO_REPEATED_WORDS) if may_repeat else (NO_REPEATED_WORDS,):
            with _memory_errors():
                found, _ = self._model.transcribe(
                    np.asarray(samples_16k, np.float32),
                    language=code,
                    task=task,
                    beam_size=self._beam,
                    temperature=0.0,
                    condition_on_previous_text=False,
                    word_timestamps=word_times,
                    vad_filter=False,
                    no_repeat_ngram_size=no_repeat,
                    hotwords=names,
                    initial_prompt=self._prompt,
                )
                segments = list(found)
            if not is_loop(" ".join(segment.text for segment in segments)):
                break
        return segments

    def _tokens(self, text: str) -> int:
        return len(self._model.hf_tokenizer.encode(text, add_special_tokens=False).ids)


def _written(segment: Segment) -> tuple[list[HeardWord], float, float]:
    words = [
        HeardWord(word.word, round(word.start * 1000), round(word.end * 1000), float(word.probability))
        for word in segment.words or ()
    ]
    return words, float(segment.avg_logprob), float(segment.no_speech_prob)


def _moved(segment: Segment, earlier_s: int, most_s: float) -> Segment:
    """Return a segment with times in its own sound, which is ``most_s`` long."""
    words = [
        replace(word, start=min(word.start - earlier_s, most_s), end=min(word.end - earlier_s, most_s))
        for word in segment.words or ()
    ]
    return replace(segment, words=words)


def _device_kind(device: DeviceConfig) -> Literal["cpu", "cuda"]:
    """Return where CTranslate2 computes, which needs no torch to tell."""
    if device.kind == "cpu":
        return "cpu"
    has_cuda = ctranslate2_finds_cuda()
    if device.kind == "cuda" and not has_cuda:
        raise MissingEngineError(
            "transcribe.device.kind is cuda, and CTranslate2 finds no CUDA device here; choose cpu or auto."
        )
    return "cuda" if has_cuda else "cpu"


def _compute_type(kind: str, device: DeviceConfig) -> str:
    if device.precision != "auto":
        return device.precision
    return "int8" if kind == "cpu" else "int8_float16"


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Tell from CTranslate2's errors that the memory of a device does not suffice."""
    try:
        yield
    except RuntimeError as error:
        if _OUT_OF_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        raise
