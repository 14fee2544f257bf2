"""Whisper by its authors' own code (``openai-whisper``, torch), with checkpoints in their form: ``NAME.pt``."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import whisper
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.decoding import DecodingOptions, DecodingResult, DecodingTask, LogitFilter
from whisper.tokenizer import get_tokenizer

from stages import models
from stages.devices import Device, DeviceConfig, device, fitting
from stages.errors import InputError, MissingEngineError
from stages.transcribe import openai_checkpoint
from stages.transcribe.faster_whisper_engine import NO_REPEATED_WORDS
from stages.transcribe.faults import is_loop
from stages.transcribe.heard import HeardSegment, HeardWord, by_tag, heard_segments, whisper_code

if TYPE_CHECKING:
    from torch import Tensor

    from stages.transcribe import TranscribeConfig
    from stages.transcribe.vocabulary import Vocabulary

_SETTING = "transcribe.device"


def recogniser(config: TranscribeConfig, vocabulary: Vocabulary) -> OpenAIWhisper:
    """Return the engine that the settings of the transcription ask for.

    Raises:
        InputError: there is no such model, or Whisper does not compute in the precision.
        MissingEngineError: it is not here, cannot be read, or does not run on the device.
    """
    return OpenAIWhisper(openai_checkpoint(models.find(config.model)), config.device, config.beam, vocabulary)


class OpenAIWhisper:
    """One loaded model. Deterministic: beam search, no sampling, no memory of earlier calls."""

    def __init__(self, checkpoint: Path, where: DeviceConfig, beam: int, vocabulary: Vocabulary) -> None:
        """Load the model from a file of torch's, weights only.

        Raises:
            InputError: Whisper does not compute in the precision on this device.
            MissingEngineError: the file cannot be read, the model knows one language only, or does not fit.
        """
        found = device(where, _SETTING)
        self._is_half = _is_half(where, found)
        with fitting(str(checkpoint)):
            self._network = load(checkpoint).to(found.kind)
        if not self._network.is_multilingual:
            raise MissingEngineError(f"{checkpoint} is a Whisper for English only; choose a multilingual one.")
        self._tokenizer = get_tokenizer(True, num_languages=self._network.num_languages, language="en")
        self._beam = beam
        most_tokens = self._network.dims.n_text_ctx // 2 - 1
        self._prompt = vocabulary.prompt(lambda text: len(self._tokenizer.encode(text)), most_tokens)

    def language_probabilities(self, samples_16k: np.ndarray) -> dict[str, float]:
        """Return the probability of every language by BCP-47 tag for float32 (n,) samples of at most 30 s."""
        samples = torch.from_numpy(np.asarray(samples_16k, np.float32))
        mel = pad_or_trim(log_mel_spectrogram(samples, self._network.dims.n_mels, padding=N_SAMPLES), N_FRAMES)
        mel = mel.to(self._network.device, torch.float16 if self._is_half else torch.float32)
        _, probabilities = self._network.detect_language(mel, self._tokenizer)
        return by_tag(list(probabilities.items()))

    def segments(self, samples_16k: np.ndarray, language: str, may_repeat: bool = True) -> tuple[HeardSegment, ...]:
        """Return what is said (:class:`stages.transcribe.heard.Recogniser`)."""
        if len(samples_16k) == 0:
            return ()
        code = whisper_code(language)
        if code not in self._tokenizer.all_language_codes:
            raise InputError(f"this Whisper does not know the language {language!r}; choose a newer model.")
        decoded: list[dict] = []
        for no_repeat in (0, NO_REPEATED_WORDS) if may_repeat else (NO_REPEATED_WORDS,):
            self._network.no_repeat = no_repeat
            decoded = whisper.transcribe(
                self._network,
                np.asarray(samples_16k, np.float32),
                language=code,
                beam_size=self._beam,
                temperature=0.0,
                compression_ratio_threshold=None,
                condition_on_previous_text=False,
                word_timestamps=True,
                initial_prompt=self._prompt,
                fp16=self._is_half,
            )["segments"]
            if not is_loop(" ".join(segment["text"] for segment in decoded)):
                break
        return heard_segments([_written(segment) for segment in decoded])

    def segments_of(self, sounds: Sequence[np.ndarray], language: str) -> list[tuple[HeardSegment, ...]]:
        """Return what is said in each sound (:class:`stages.transcribe.heard.Recogniser`), one after the other."""
        return [self.segments(samples, language) for samples in sounds]


def load(checkpoint: Path) -> Network:
    """Return the network in a file: tensors and plain values are read, nothing in it is run.

    Raises:
        MissingEngineError: it is no checkpoint of Whisper's, or damaged.
    """
    try:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network = Network(whisper.ModelDimensions(**stored["dims"]))
        network.load_state_dict(stored["model_state_dict"])
        if checkpoint.stem in whisper.available_models():  # which heads know the times of words is published for these
            network.set_alignment_heads(whisper._ALIGNMENT_HEADS[checkpoint.stem])
    except pickle.UnpicklingError as error:
        raise MissingEngineError(
            f"{checkpoint} holds more than weights, or is no checkpoint, and is not read; take the file that OpenAI "
            "publishes."
        ) from error
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MissingEngineError(f"{checkpoint} is no checkpoint of Whisper's, or damaged ({reason}).") from error
    return network.eval()


class Network(whisper.Whisper):
    """Whisper that can be forbidden to repeat itself."""

    no_repeat = 0
    """Tokens in a row that may not come twice; 0: any may."""

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """Return what is written for the mel bands (bands, 3000) of a window."""
        task = DecodingTask(self, options)
        if self.no_repeat:
            task.logit_filters.append(_NoRepeat(self.no_repeat, task.sample_begin, task.tokenizer.eot))
        return task.run(mel[None])[0]


class _NoRepeat(LogitFilter):
    """Forbids what would repeat as many tokens as are given (as CTranslate2's ``no_repeat_ngram_size``)."""

    def __init__(self, length: int, first: int, end_token: int) -> None:
        self._length, self._first, self._end_token = length, first, end_token

    def apply(self, logits: Tensor, tokens: Tensor) -> None:
        """Forbid in ``logits`` (beams, vocabulary) what repeats the ends of ``tokens`` (beams, n)."""
        for row, written in enumerate(tokens[:, self._first :].tolist()):
            last = written[len(written) - self._length + 1 :]
            for at in range(len(written) - self._length + 1):
                follows = written[at + self._length - 1]
                if written[at : at + self._length - 1] == last and follows < self._end_token:
                    logits[row, follows] = -np.inf


def _written(segment: dict) -> tuple[list[HeardWord], float, float]:
    words = [
        HeardWord(word["word"], round(word["start"] * 1000), round(word["end"] * 1000), float(word["probability"]))
        for word in segment["words"]
    ]
    return words, float(segment["avg_logprob"]), float(segment["no_speech_prob"])


def _is_half(where: DeviceConfig, found: Device) -> bool:
    """Return whether to compute in float16: on a CUDA device, where nothing else is asked for."""
    if where.precision == "bfloat16" or (where.precision == "float16" and found.kind == "cpu"):
        raise InputError(
            f"{_SETTING}.precision: whisper does not compute in {where.precision} on {found.kind}; choose auto."
        )
    return found.kind == "cuda" and where.precision != "float32"
