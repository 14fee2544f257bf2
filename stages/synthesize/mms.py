"""MMS-TTS (Pratap et al. 2023, "Scaling Speech Technology to 1,000+ Languages"): one VITS a language, by transformers.

VITS (Kim et al. 2021) predicts how long every letter lasts, so lengths are known before anything is spoken, and words
have exact times. Phones inside are timed by alignment with espeak-ng where that reads the language, else spread over
their word's letters. Each language has one voice; its pitch is moved by the WORLD vocoder (Morise et al. 2016), since
the network takes none, and the rest is matched like Kokoro's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyworld

from language_packs import g2p
from language_packs.g2p.numbers import in_words
from stages import models, sound
from stages.artifacts import Phone, PhraseEnd
from stages.devices import fitting, is_out_of_memory
from stages.errors import MissingEngineError
from stages.reading import read_line
from stages.synthesize import matching
from stages.synthesize.alignment import aligned
from stages.synthesize.config import SynthesizeConfig, needed
from stages.synthesize.neural import device_of, file_of, seeded
from stages.synthesize.pitch import STEP_MS, UNCHANGED, Change
from stages.synthesize.rendering import phones_of, render
from stages.synthesize.utterance import Length, Utterance

if TYPE_CHECKING:
    from language_packs.schema import G2P
    from stages.artifacts import Cast

VOICE = "mms"
_TITLE = "MMS-TTS"
_SPEED_BOUNDS = (0.5, 2.0)
_SEED = 0
_PUNCTUATION = re.compile(r"[;:,.!?—…]")


def load(config: SynthesizeConfig, language: str, how: G2P | None, _cast: Cast | None) -> MmsEngine:
    """Return the engine (:class:`stages.synthesize.registry.EngineSpec`).

    Raises:
        InputError: there is no such model.
        MissingEngineError: there is no such device, or the model is absent, damaged, or needs a package.
    """
    subtag = language.split("-")[0].lower()
    setting = f"synthesize.mms.models.{subtag}"
    folder = models.find(needed(config.mms.models.get(subtag), setting, "the language's model"))
    if how is None:
        raise ValueError("MMS-TTS must know how its language is read")
    return MmsEngine(folder, config, language, how)


@dataclass(frozen=True, eq=False)
class _Letters:
    """A text as the model takes it."""

    ids: np.ndarray
    letters: tuple[int, ...]
    """Token of every letter."""
    words: tuple[tuple[int, int], ...]
    """First and last letter + 1 of every word, as indices of ``letters``."""
    lost: tuple[str, ...]
    """Letters of the text that the model's alphabet lacks, and so nobody says."""


class MmsEngine:
    """The model in memory (:class:`stages.synthesize.registry.Synthesizer`); it is given text."""

    rate_hz = matching.RATE_HZ

    def __init__(self, folder: Path, config: SynthesizeConfig, language: str, how: G2P) -> None:
        self._folder, self._language, self._how = folder, language, how
        self._where = device_of(config)
        self._tokenizer = _tokenizer(folder)
        self._raw: dict[str, tuple[_Letters, np.ndarray]] = {}

    @cached_property
    def _model(self) -> Any:
        with fitting("synthesize.engine mms"):
            return read_model(self._folder).to(self._where)

    def durations(self, said: str, voice: str, speed: float = 1.0) -> Length:
        """Return how long a text takes, without speaking it."""
        if not phones_of(self._ipa(said)):
            return Length(0, 0, 0)
        letters, raw = self._read(said)
        return self._length(said, letters, _frames(raw, speed))

    def speed_for(self, said: str, voice: str, sounding_ms: int) -> float:
        """Return the speed at which a text sounds for ``sounding_ms``, as nearly as whole frames allow."""
        slow, fast = _SPEED_BOUNDS
        for _ in range(16):
            speed = (slow + fast) / 2
            if self.durations(said, voice, speed).sounding_ms > sounding_ms:
                slow = speed
            else:
                fast = speed
        return (slow + fast) / 2

    def speak(self, said: str, voice: str, speed: float = 1.0, pitch: Change = UNCHANGED) -> Utterance:
        """Return a text spoken at a pitch; without any letter, an empty utterance."""
        import torch

        ipa = self._ipa(said)
        wanted = phones_of(ipa)
        if not wanted:
            return Utterance(np.zeros(0, np.float32), ())
        letters, raw = self._read(said)
        try:
            with seeded(_SEED, self._where), torch.inference_mode():
                made = self._model(torch.from_numpy(letters.ids)[None].to(self._where), speaking_rate=speed)
        except Exception as error:
            if is_out_of_memory(error):
                raise MissingEngineError(
                    "synthesize.engine mms: the memory does not suffice for one line; set synthesize.device.kind to "
                    "cpu, or choose synthesize.engine kokoro."
                ) from None
            raise
        wave = made.waveform[0].float().cpu().numpy()
        samples = sound.resample(np.ascontiguousarray(wave), self._model.config.sampling_rate, self.rate_hz)
        samples = at_pitch(samples, pitch)
        frames = _frames(raw, speed)
        phones = aligned(samples, self.rate_hz, render(said, ipa, self._how)) if self._how.engine == "espeak" else ()
        flags = (
            (f"letters that the voice does not know were left out: {' '.join(letters.lost)}",) if letters.lost else ()
        )
        return Utterance(samples, phones or self._spread(ipa, letters, frames), flags=flags)

    def _ipa(self, text: str) -> str:
        return read_line(text, self._how, self._language, "the line")

    def _read(self, text: str) -> tuple[_Letters, np.ndarray]:
        """Return the letters and each token's unrounded frames at speed 1."""
        import torch

        if text not in self._raw:
            letters = self._letters(text)
            ids = torch.from_numpy(letters.ids)[None].to(self._where)
            model = self._model
            with seeded(_SEED, self._where), torch.inference_mode():
                mask = torch.ones_like(ids).unsqueeze(-1).float()
                hidden = model.text_encoder(input_ids=ids, padding_mask=mask).last_hidden_state.transpose(1, 2)
                mask = mask.transpose(1, 2)
                if model.config.use_stochastic_duration_prediction:
                    # the same seed draws the same noise first when the text is spoken
                    logs = model.duration_predictor(
                        hidden, mask, None, reverse=True, noise_scale=model.noise_scale_duration
                    )
                else:
                    logs = model.duration_predictor(hidden, mask, None)
            self._raw[text] = letters, torch.exp(logs).ravel().cpu().numpy()
        return self._raw[text]

    def _letters(self, text: str) -> _Letters:
        if any(sign.isdecimal() for sign in text):  # the models' alphabets have no digits
            text = in_words(text, self._how.numbers or self._language.split("-")[0])
        prepared, _ = self._tokenizer.prepare_for_tokenization(text)
        if not any(sign.isalpha() for sign in prepared):
            raise ValueError(f"{text[:60]!r} has no letter that {self._folder} spells")
        ids = np.array(self._tokenizer(text)["input_ids"], np.int64)
        signs = prepared
        step, first = (2, 1) if self._tokenizer.add_blank else (1, 0)
        if len(ids) != step * len(signs) + first:
            raise ValueError(f"{text[:60]!r} has signs that {self._folder} does not spell")
        letters, words, begin = [], [], 0
        for place, sign in enumerate(signs):
            if sign.isalpha() or sign in "'’ʼ-" or _is_mark(sign):
                letters.append(first + step * place)
            elif len(letters) > begin:
                words.append((begin, len(letters)))
                begin = len(letters)
        if len(letters) > begin:
            words.append((begin, len(letters)))
        lost = () if self._tokenizer.is_uroman else _lost(text, prepared)
        return _Letters(ids, tuple(letters), tuple(words), lost)

    @property
    def _frame_ms(self) -> float:
        config = self._model.config
        return float(np.prod(config.upsample_rates)) / config.sampling_rate * 1000

    def _edges_ms(self, letters: _Letters, frames: np.ndarray) -> np.ndarray:
        """Return float (letters + 1,): where each begins; the blank between two belongs to both by half."""
        ends = np.cumsum(frames) * self._frame_ms
        begins = ends - frames * self._frame_ms
        own = np.array(letters.letters)
        middles = (ends[own[:-1]] + begins[own[1:]]) / 2
        return np.concatenate([[begins[own[0]]], middles, [ends[own[-1]]]])

    def _spread(self, ipa: str, letters: _Letters, frames: np.ndarray) -> tuple[Phone, ...]:
        """Return the phones of each word spread over its letters; over all letters where words do not correspond."""
        edges_ms = self._edges_ms(letters, frames)
        words, spans = _words(ipa), letters.words
        if len(words) != len(spans):
            words, spans = [[phone for word in words for phone in word]], ((0, len(letters.letters)),)
        phones: list[Phone] = []
        for word, (first, last) in zip(words, spans, strict=True):
            places = np.linspace(first, last, len(word) + 1)
            times_ms = np.interp(places, np.arange(len(edges_ms)), edges_ms).round().astype(int)
            phones += [
                Phone(ipa=phone, start_ms=int(start), end_ms=int(end))
                for phone, start, end in zip(word, times_ms[:-1], times_ms[1:], strict=True)
            ]
        return tuple(phones)

    def _length(self, text: str, letters: _Letters, frames: np.ndarray) -> Length:
        ipa = self._ipa(text)
        phones = self._spread(ipa, letters, frames)
        first_ms, last_ms = phones[0].start_ms, phones[-1].end_ms
        ends = tuple(
            PhraseEnd(
                phone=index, end_ms=phones[index].end_ms - first_ms, next_ms=phones[index + 1].start_ms - first_ms
            )
            for index in _phrase_ends(ipa)
            if index + 1 < len(phones)
        )
        return Length(first_ms, last_ms - first_ms, max(0, round(frames.sum() * self._frame_ms) - last_ms), ends)


def read_model(folder: Path) -> Any:
    """Return the ``VitsModel`` in a folder, from safetensors only, for inference.

    Raises:
        MissingEngineError: a file is absent, damaged, pickled, or of another architecture.
    """
    from safetensors import SafetensorError
    from transformers import VitsConfig, VitsModel
    from transformers.utils import logging

    for name in ("config.json", "model.safetensors"):
        file_of(folder, name, _TITLE)
    logging.disable_progress_bar()
    try:
        config = VitsConfig.from_pretrained(folder, local_files_only=True)
        loaded: Any = VitsModel.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        model, told = loaded
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise MissingEngineError(f"{folder} cannot be read ({line}): fetch the model again.") from error
    lacking = [name for name in told["missing_keys"] if not name.startswith("posterior_encoder")]
    if lacking:
        raise MissingEngineError(f"{folder} lacks {len(lacking)} weights ({lacking[0]} ...): fetch the model again.")
    return model.eval()


def _tokenizer(folder: Path) -> Any:
    import importlib.util

    from transformers import VitsTokenizer

    for name in ("vocab.json", "tokenizer_config.json"):
        file_of(folder, name, _TITLE)
    try:
        tokenizer = VitsTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise MissingEngineError(f"{folder} cannot be read ({line}): fetch the model again.") from error
    if tokenizer.is_uroman and importlib.util.find_spec("uroman") is None:
        raise MissingEngineError(f"{folder} spells in Latin letters by uroman, not installed. Run: pip install uroman")
    if tokenizer.phonemize:
        raise MissingEngineError(f"{folder} is given phones, not letters: it is no model of {_TITLE}.")
    return tokenizer


def at_pitch(samples: np.ndarray, pitch: Change) -> np.ndarray:
    """Return float32 (n,) samples at 24 kHz at another pitch, as many, by WORLD; as they are where none is wanted."""
    if pitch == UNCHANGED:
        return samples
    wave = np.ascontiguousarray(samples, np.float64)
    floor, ceiling = matching.F0_RANGE_HZ
    rough_hz, times = pyworld.dio(wave, matching.RATE_HZ, f0_floor=floor, f0_ceil=ceiling, frame_period=STEP_MS)
    f0_hz = pyworld.stonemask(wave, rough_hz, times, matching.RATE_HZ)
    if not (f0_hz > 0).any():
        return samples
    envelope = pyworld.cheaptrick(wave, f0_hz, times, matching.RATE_HZ)
    aperiodicity = pyworld.d4c(wave, f0_hz, times, matching.RATE_HZ)
    moved_hz = np.ascontiguousarray(pitch.moved(f0_hz), np.float64)
    made = pyworld.synthesize(moved_hz, envelope, aperiodicity, matching.RATE_HZ, STEP_MS)[: len(wave)]
    return np.pad(made, (0, len(wave) - len(made))).astype(np.float32)


@lru_cache(maxsize=256)
def _is_mark(sign: str) -> bool:
    """Return whether a sign is a combining mark: it belongs to its letter's word."""
    import unicodedata

    return unicodedata.category(sign).startswith("M")


def _lost(text: str, prepared: str) -> tuple[str, ...]:
    return tuple(sorted({sign for sign in text.lower() if sign.isalpha() and sign not in prepared.lower()}))


def _frames(raw: np.ndarray, speed: float) -> np.ndarray:
    """Return the frames that the network itself arrives at for a speed."""
    return np.ceil(raw * np.float32(1.0 / speed)).astype(int)


def _words(ipa: str) -> list[list[str]]:
    """Return the phones of each word of IPA."""
    words: list[list[str]] = [[]]
    for piece in g2p.pieces(ipa):
        if piece.is_phone:
            words[-1].append(piece.text)
        elif piece.text not in g2p.STRESS_MARKS and words[-1]:
            words.append([])
    return [word for word in words if word]


def _phrase_ends(ipa: str) -> list[int]:
    """Return the index of every phone after which punctuation ends a phrase."""
    ends: list[int] = []
    count = 0
    for piece in g2p.pieces(ipa):
        count += piece.is_phone
        if not piece.is_phone and _PUNCTUATION.match(piece.text) and count and (not ends or ends[-1] != count - 1):
            ends.append(count - 1)
    return ends
