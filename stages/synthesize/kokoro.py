"""Kokoro-82M (Hexgrad 2025, StyleTTS 2 architecture) as int8 ONNX, fed with espeak-ng IPA.

Its predictors say how many frames every input token lasts and how loud each is, so phone times need no aligner and are
known before anything is spoken (:mod:`.kokoro_timing`).
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from language_packs import g2p
from stages import models
from stages.synthesize import stretching
from stages.synthesize.kokoro_graph import DURATIONS, ENERGY, F0, F0_GIVEN
from stages.synthesize.kokoro_timing import Encoded, Timed, Token, joined, length
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
MAX_TOKENS = 500
"""A style table has 510 rows, one per input length."""
_STYLE_SHAPE = (510, 1, 256)
"""Rows for input lengths; of the columns the first half is read by the decoder, the second by the predictors."""

_PAD = 0
_NO_PHONE = -1
_SPEED_BOUNDS = (0.5, 2.0)
_SPEED_STEPS = 8
"""Lengths that are tried on the way to the one that is wanted."""

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
        """Return how long ``ipa`` takes, without speaking it: the times are those of :meth:`speak`."""
        return length([timed for timed, _ in self._predicted(self.encode(ipa), voice, speed)])

    def speed_for(self, ipa: str, voice: str, sounding_ms: int) -> float:
        """Return the speed at which the phones of ``ipa`` last ``sounding_ms``, or a little longer.

        Lengths come in uneven steps, and what is too long can be shortened (:mod:`.stretching`): of the lengths that
        are, within its bound, the shortest; where there is none, the nearest.
        """
        parts = self.encode(ipa)
        slow, fast = _SPEED_BOUNDS
        tried: dict[float, int] = {}
        speed = 1.0
        for _ in range(_SPEED_STEPS):
            found_ms = tried[speed] = length([timed for timed, _ in self._predicted(parts, voice, speed)]).sounding_ms
            if sounding_ms <= found_ms <= sounding_ms + stretching.SLACK_MS:
                break
            slow, fast = (speed, fast) if found_ms > sounding_ms else (slow, speed)
            proportional = speed * found_ms / max(sounding_ms, 1)
            speed = proportional if slow < proportional < fast else (slow + fast) / 2
        usable = {each: ms for each, ms in tried.items() if sounding_ms <= ms <= sounding_ms * stretching.MOST}
        return min(usable or tried, key=lambda each: (abs(tried[each] - sounding_ms), abs(each - 1)))

    def speak(self, ipa: str, voice: str, speed: float = 1.0, pitch: Change = UNCHANGED) -> Utterance:
        """Return ``ipa`` spoken. IPA without any phone gives an empty utterance."""
        predicted = self._predicted(self.encode(ipa), voice, speed)
        if not predicted:
            return Utterance(np.zeros(0, np.float32), (), np.zeros(0, int))
        edges = np.cumsum([f0_hz.size for _, f0_hz in predicted])[:-1]
        moved_hz = pitch.moved(np.concatenate([f0_hz for _, f0_hz in predicted])).astype(np.float32)
        sounds = [
            self._sound({**self._feed(timed.part, voice, speed), F0_GIVEN: f0_hz[None, None]})
            for (timed, _), f0_hz in zip(predicted, np.split(moved_hz, edges), strict=True)
        ]
        parts = [timed for timed, _ in predicted]
        frames = np.concatenate([timed.token_frames for timed in parts])
        return Utterance(np.concatenate(sounds), tuple(joined(parts)[0]), frames)

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

    def _predicted(self, parts: list[Encoded], voice: str, speed: float) -> list[tuple[Timed, np.ndarray]]:
        """Return each part's times and its F0 curve: float32 (2 * frames,) in Hz."""
        predicted: list[tuple[Timed, np.ndarray]] = []
        for part in parts:
            frames, energy, f0_hz = self._predicting.run((DURATIONS, ENERGY, F0), self._feed(part, voice, speed))
            predicted.append((Timed(part, frames.ravel().astype(int), energy.ravel(), speed), f0_hz.ravel()))
        return predicted

    def _sound(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(self._speaking.run(None, feed)[0], np.float32).ravel()

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
