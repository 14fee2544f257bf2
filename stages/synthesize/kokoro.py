"""Kokoro-82M (Hexgrad 2025, StyleTTS 2 architecture) as int8 ONNX, fed with espeak-ng IPA.

Its duration predictor says how many frames every input token lasts, so phone times need no aligner. Only where
a phrase begins and ends is measured in the sound: the model puts the silence after a phrase into its last phone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from language_packs import g2p
from stages import models
from stages.artifacts import Phone, PhraseEnd
from stages.synthesize.kokoro_graph import F0, F0_GIVEN, UNROUNDED
from stages.synthesize.pitch import UNCHANGED, Change
from stages.synthesize.utterance import Length, Utterance
from stages.synthesize.voices import shares

if TYPE_CHECKING:
    import onnxruntime

    from language_packs.schema import G2P
    from stages.artifacts import Cast
    from stages.synthesize.config import SynthesizeConfig

RATE_HZ = 24_000
FRAME_SAMPLES = 600
FRAME_MS = 25
SOUND_LEADS_MS = 62
"""At speed 1 the decoder sounds a token this much before the token's own frames; else this divided by the speed.

Measured on 160 closures of p t k and 18 of s, ``jm_kumo`` and ``jf_alpha``, pt en es: medians 70-75 ms at speed
.85, 58-70 at 1, 50-60 at 1.25; half of all within 10 ms of these."""
MAX_TOKENS = 500
"""A style table has 510 rows, one per input length."""
_STYLE_SHAPE = (510, 1, 256)
"""Rows for input lengths; of the columns the first half is read by the decoder, the second by the predictors."""

_PAD = 0
_NO_PHONE = -1
_ONSET_SEARCH_MS = 60
_FINAL_PHONE_FRAMES = 5
"""Frames of a phrase's last token that can be sound; the rest is the pause that the model hides in it."""
_SPEED_BOUNDS = (0.5, 2.0)
_SILENCE_DB = -42.0
"""Below the sound's peak level: where a phrase's last phone has ended."""

# IPA that the vocabulary lacks -> the nearest that it has. Modifiers that are missing in it are left out.
_NEAREST = {
    "ʑ": "ʒ", "ʐ": "ʒ", "ɬ": "ʃ", "ɮ": "l", "ɧ": "ʃ", "ʄ": "ɟ", "ɱ": "m", "ɫ": "l", "ɭ": "l", "ʟ": "l", "ɺ": "ɾ",
    "ɗ": "d", "ɓ": "b", "ʙ": "b", "ɠ": "ɡ", "ʛ": "ɡ", "ɢ": "ɡ", "g": "ɡ", "ʀ": "ʁ", "ħ": "h", "ɦ": "h", "ʜ": "h",
    "ʕ": "ʔ", "ʡ": "ʔ", "ʢ": "ʔ", "ʍ": "w", "ⱱ": "ʋ", "ʘ": "p", "ǀ": "t", "ǁ": "l", "ǂ": "c", "ǃ": "t",
    "ʉ": "u", "ɵ": "ø", "ɘ": "ə", "ɞ": "ɜ", "ɶ": "œ", "ʏ": "y", "ɝ": "ɚ", "ɿ": "ɨ", "ʅ": "ɨ", "ᵿ": "ʊ", "ꞎ": "ʂ",
    "ʱ": "ʰ", "ʷ": "w", "ˠ": "ɣ", "ˑ": "ː", "˞": "ɹ",
    "«": "“", "»": "”", "„": "“", "–": "—", "-": "—", "[": "(", "]": ")", "{": "(", "}": ")",
}  # fmt: skip

_PHRASE_END = re.compile(r"[;:,.!?—…]")


@dataclass(frozen=True)
class Token:
    """One input symbol and which phone it belongs to (-1: none)."""

    id: int
    phone: int


@dataclass(frozen=True)
class Encoded:
    """A stretch of IPA as the model takes it, cut so that it fits the model."""

    tokens: tuple[Token, ...]
    phones: tuple[str, ...]
    closing: frozenset[int]
    """Phones that end a phrase: the next symbol that is not a phone is punctuation, or there is none."""


def load(_config: SynthesizeConfig, _language: str, _how: G2P | None, _cast: Cast | None) -> KokoroEngine:
    """Return the engine (:class:`stages.synthesize.registry.EngineSpec`)."""
    return KokoroEngine()


class KokoroEngine:
    """The model in memory. Not for use by several threads at once."""

    name = "kokoro"
    rate_hz = RATE_HZ

    def __init__(self) -> None:
        folder = models.path("kokoro-82m")
        self._timed_graph = folder / "kokoro-timed.onnx"
        self._predicting = open_session(folder / "kokoro-predicted.onnx")
        self._vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))["vocab"]
        self._voices = models.path("kokoro-voices")
        self._styles: dict[str, np.ndarray] = {}

    @cached_property
    def _speaking(self) -> onnxruntime.InferenceSession:
        """The whole model: loaded by the first who speaks, since reading does not need it."""
        return open_session(self._timed_graph)

    def durations(self, ipa: str, voice: str, speed: float = 1.0) -> Length:
        """Return how long ``ipa`` takes, without speaking it.

        Where sound ends inside a phrase's last token can only be heard, so the end is an estimate:
        of 42 lines half within 50 ms, all within 175.
        """
        return _length([(part, _rounded(raw, speed)) for part, raw in self._read(ipa, voice)], speed)

    def speed_for(self, ipa: str, voice: str, sounding_ms: int) -> float:
        """Return the speed at which the phones of ``ipa`` last ``sounding_ms``, as nearly as whole frames allow.

        Of the two nearest lengths, the one nearer to the unhurried reading.
        """
        parts = self._read(ipa, voice)
        slow, fast = _SPEED_BOUNDS
        for _ in range(16):
            speed = (slow + fast) / 2
            frames = [(part, _rounded(raw, speed)) for part, raw in parts]
            if _length(frames, speed).sounding_ms > sounding_ms:
                slow = speed
            else:
                fast = speed
        return slow if slow > 1 else fast

    def speak(self, ipa: str, voice: str, speed: float = 1.0, pitch: Change = UNCHANGED) -> Utterance:
        """Return ``ipa`` spoken. IPA without any phone gives an empty utterance."""
        parts = self.encode(ipa)
        if not parts:
            return Utterance(np.zeros(0, np.float32), (), np.zeros(0, int))
        curves_hz = [self._predict((F0,), self._feed(part, voice, speed))[0] for part in parts]
        edges = np.cumsum([curve.size for curve in curves_hz])[:-1]
        moved_hz = pitch.moved(np.concatenate([curve.ravel() for curve in curves_hz]))
        sounds, frames, phones, start_ms = [], [], [], 0
        for part, f0_hz in zip(parts, np.split(moved_hz.astype(np.float32), edges), strict=True):
            feed = {**self._feed(part, voice, speed), F0_GIVEN: f0_hz[None, None]}
            sound, durations = self._speaking.run(None, feed)
            samples = np.asarray(sound, np.float32).ravel()
            token_frames = durations.ravel().astype(int)
            phones += [
                phone.model_copy(update={"start_ms": phone.start_ms + start_ms, "end_ms": phone.end_ms + start_ms})
                for phone in _phone_times(part, token_frames, samples, speed)
            ]
            start_ms += FRAME_MS * int(token_frames.sum())
            sounds.append(samples)
            frames.append(token_frames)
        return Utterance(np.concatenate(sounds), tuple(phones), np.concatenate(frames))

    def encode(self, ipa: str) -> list[Encoded]:
        """Return ``ipa`` as input tokens, in parts of at most :data:`MAX_TOKENS`, cut after punctuation if possible."""
        pieces = list(g2p.pieces(ipa))
        parts: list[list[g2p.Piece]] = [[]]
        tokens = 0
        for piece in pieces:
            size = len(self._symbols(piece.text))
            if tokens + size > MAX_TOKENS:
                head, rest = _cut(parts[-1])
                parts[-1:] = [head, rest]
                tokens = sum(len(self._symbols(kept.text)) for kept in rest)
            parts[-1].append(piece)
            tokens += size
        encoded = [self._encode_part(part) for part in parts]
        return [part for part in encoded if part.phones]

    def _encode_part(self, pieces: list[g2p.Piece]) -> Encoded:
        tokens: list[Token] = []
        phones: list[str] = []
        closing: set[int] = set()
        for piece in pieces:
            symbols = self._symbols(piece.text)
            owner = _NO_PHONE
            if piece.is_phone and symbols:
                owner = len(phones)
                phones.append(piece.text)
            elif piece.text in g2p.STRESS_MARKS:
                owner = len(phones)  # a stress mark stands before the phone that it lengthens
            elif phones and _PHRASE_END.match(piece.text):
                closing.add(len(phones) - 1)
            tokens += [Token(symbol, owner) for symbol in symbols]
        closing.add(len(phones) - 1)
        owned = (token if token.phone < len(phones) else Token(token.id, _NO_PHONE) for token in tokens)
        return Encoded(tuple(owned), tuple(phones), frozenset(closing))

    def _symbols(self, text: str) -> list[int]:
        mapped = "".join(
            character if character in self._vocabulary else _NEAREST.get(character, "") for character in text
        )
        return [self._vocabulary[character] for character in mapped]

    def _read(self, ipa: str, voice: str) -> list[tuple[Encoded, np.ndarray]]:
        """Return each part with its tokens' unrounded frames at speed 1."""
        feeds = ((part, self._feed(part, voice, 1.0)) for part in self.encode(ipa))
        return [(part, self._predict((UNROUNDED,), feed)[0].ravel()) for part, feed in feeds]

    def _predict(self, outputs: tuple[str, ...], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return some of the predictions."""
        return self._predicting.run(outputs, feed)

    def _style(self, voice: str) -> np.ndarray:
        """Return the float32 (rows, 1, 256) style of a voice or blend (:mod:`stages.synthesize.voices`)."""
        if voice not in self._styles:
            parts = [
                np.float32(weight) * np.fromfile(self._voices / f"{name}.bin", "<f4").reshape(_STYLE_SHAPE)
                for name, weight in shares(voice).items()
            ]
            self._styles[voice] = np.stack(parts).sum(axis=0, dtype=np.float32)
        return self._styles[voice]

    def _feed(self, part: Encoded, voice: str, speed: float) -> dict[str, np.ndarray]:
        style = self._style(voice)
        return {
            "tokens": np.array([[_PAD, *(token.id for token in part.tokens), _PAD]], np.int64),
            "style": style[min(len(part.tokens), len(style)) - 1],
            "speed": np.array([speed], np.float32),
        }


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open a graph for two threads of the CPU, so that its output does not depend on the machine's core count."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would take the CPU
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _cut(pieces: list[g2p.Piece]) -> tuple[list[g2p.Piece], list[g2p.Piece]]:
    """Cut after the last end of a phrase, else after the last space, else at the end."""
    for is_place in (lambda text: _PHRASE_END.match(text), str.isspace):
        for index in range(len(pieces) - 1, 0, -1):
            if not pieces[index].is_phone and is_place(pieces[index].text):
                return pieces[: index + 1], pieces[index + 1 :]
    return pieces, []


def _rounded(unrounded: np.ndarray, speed: float) -> np.ndarray:
    """Return the frames that the graph itself arrives at for a speed."""
    return np.maximum(np.round(unrounded / np.float32(speed)), 1).astype(int)


def _spans_ms(part: Encoded, token_frames: np.ndarray, speed: float) -> list[tuple[int, int]]:
    """Return (start, end) per phone, on the sound's clock.

    Between two words of a phrase speech does not stop: the frames of the space are halved between its neighbours.
    Those of punctuation, and of the space after it, are a pause.
    """
    edges_ms = np.cumsum(token_frames) * FRAME_MS - round(SOUND_LEADS_MS / speed)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for index, token in enumerate(part.tokens):
        first.setdefault(token.phone, int(edges_ms[index]))
        last[token.phone] = int(edges_ms[index + 1])
    spans = [(max(0, first[phone]), last[phone]) for phone in range(len(part.phones))]
    for phone in set(range(len(spans) - 1)) - part.closing:
        middle_ms = (spans[phone][1] + spans[phone + 1][0]) // 2
        spans[phone] = (spans[phone][0], middle_ms)
        spans[phone + 1] = (middle_ms, spans[phone + 1][1])
    return spans


def _length(parts: list[tuple[Encoded, np.ndarray]], speed: float) -> Length:
    if not parts:
        return Length(0, 0, 0)
    offset_ms, onset_ms, end_ms, phones = 0, 0, 0, 0
    phrase_ends: list[PhraseEnd] = []
    for part, token_frames in parts:
        spans = [
            (offset_ms + start_ms, offset_ms + last_ms) for start_ms, last_ms in _spans_ms(part, token_frames, speed)
        ]
        if not phones:
            onset_ms = spans[0][0]
        for phone in sorted(part.closing):
            start_ms, last_ms = spans[phone]
            end_ms = min(last_ms, start_ms + _FINAL_PHONE_FRAMES * FRAME_MS)
            if phone + 1 < len(spans):
                next_ms = max(spans[phone + 1][0], end_ms)
                phrase_ends.append(
                    PhraseEnd(phone=phones + phone, end_ms=end_ms - onset_ms, next_ms=next_ms - onset_ms)
                )
        phones += len(part.phones)
        offset_ms += FRAME_MS * int(token_frames.sum())
    return Length(onset_ms, end_ms - onset_ms, offset_ms - end_ms, tuple(phrase_ends))


def _phone_times(part: Encoded, token_frames: np.ndarray, samples: np.ndarray, speed: float) -> list[Phone]:
    """Return the phones; at a pause, a phone begins and ends where its sound does."""
    level_db = _level_db(samples)
    phones: list[Phone] = []
    for index, (start_ms, end_ms) in enumerate(_spans_ms(part, token_frames, speed)):
        opens, closes = index == 0 or index - 1 in part.closing, index in part.closing
        earliest_ms = max(start_ms - _ONSET_SEARCH_MS, phones[-1].end_ms if phones else 0) if opens else start_ms
        loud_ms = _HOP_MS * np.flatnonzero(level_db[earliest_ms // _HOP_MS : end_ms // _HOP_MS] > _SILENCE_DB)
        if opens and len(loud_ms):
            start_ms = min(earliest_ms + int(loud_ms[0]), end_ms - FRAME_MS)
        if closes:
            heard_ms = earliest_ms + int(loud_ms[-1]) + _HOP_MS if len(loud_ms) else 0
            end_ms = max(heard_ms, start_ms + FRAME_MS)
        phones.append(Phone(ipa=part.phones[index], start_ms=start_ms, end_ms=end_ms))
    return phones


_HOP_MS = 5


def _level_db(samples: np.ndarray) -> np.ndarray:
    """Return the level of every 5 ms, relative to the loudest."""
    hop = RATE_HZ * _HOP_MS // 1000
    power = (samples[: len(samples) // hop * hop].reshape(-1, hop).astype(np.float64) ** 2).mean(axis=1)
    return 10 * np.log10((power + 1e-12) / (power.max() + 1e-12))
