"""When Kokoro's phones sound: told by the frames and the energy that it predicts, before anything is spoken.

The model puts the silence around a phrase into the frames of its first and last phone. Its energy curve, from which the
decoder takes the loudness, says where in them the voice is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stages.artifacts import Phone, PhraseEnd
from stages.synthesize.utterance import Length

FRAME_MS = 25
SOUND_LEADS_MS = 62
"""At speed 1 the decoder sounds a token this much before the token's own frames; else this divided by the speed.

Measured on 160 closures of p t k and 18 of s, ``jm_kumo`` and ``jf_alpha``, pt en es: medians 70-75 ms at speed
.85, 58-70 at 1, 50-60 at 1.25; half of all within 10 ms of these."""

_ENERGY_STEP_MS = 12.5
_VOICE_DEPTH = 8.0
"""How far below its loud stretches (95th percentile) the curve is where a phrase begins and ends, in its own unit.

Of depths from 2 to 12 the one whose edges lie nearest to those that are heard (`python -m bench.phrases`: figures in
docs/timing.md). The noise of one voice, bm_fable, goes on above it after a phrase: its phrases end late."""


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


@dataclass(frozen=True, eq=False)
class Timed:
    """A part and what the model predicts of it at one speed."""

    part: Encoded
    token_frames: np.ndarray
    """int (tokens,): frames of 25 ms, pads included."""
    energy: np.ndarray
    """float (2 * frames,): log energy, every 12.5 ms."""
    speed: float

    @property
    def total_ms(self) -> int:
        """The whole sound."""
        return FRAME_MS * int(self.token_frames.sum())

    def phones(self) -> list[Phone]:
        """Return the phones with times from the part's first sample on."""
        spans = _token_spans_ms(self.part, self.token_frames, self.speed)
        firsts = [0, *(last + 1 for last in sorted(self.part.closing) if last + 1 < len(spans))]
        lasts = sorted(self.part.closing)
        is_loud = self.energy > np.percentile(self.energy, 95) - _VOICE_DEPTH
        for first, last, (begin, end) in zip(firsts, lasts, pairwise(self._phrase_limits(spans, lasts)), strict=True):
            loud = begin + np.flatnonzero(is_loud[begin:end])
            if len(loud):
                onset_ms, end_ms = int(loud[0] * _ENERGY_STEP_MS), int(loud[-1] * _ENERGY_STEP_MS)
                spans[first] = (max(0, min(onset_ms, spans[first][1] - FRAME_MS)), spans[first][1])
                spans[last] = (spans[last][0], max(end_ms, spans[last][0] + FRAME_MS))
        return [
            Phone(ipa=ipa, start_ms=start_ms, end_ms=end_ms)
            for ipa, (start_ms, end_ms) in zip(self.part.phones, spans, strict=True)
        ]

    def _phrase_limits(self, spans: Sequence[tuple[int, int]], lasts: Sequence[int]) -> list[int]:
        """Return the steps of the energy curve that the phrases lie between: the quietest between two of them."""
        limits = [0]
        for last in lasts[:-1]:
            earliest_ms, latest_ms = spans[last][0] + FRAME_MS, spans[last + 1][1] - FRAME_MS
            begin, end = int(earliest_ms / _ENERGY_STEP_MS), int(latest_ms / _ENERGY_STEP_MS)
            limits.append(begin + int(np.argmin(self.energy[begin : max(end, begin + 1)])))
        return [*limits, len(self.energy)]


def length(parts: Sequence[Timed]) -> Length:
    """Return how long parts last, one after the other."""
    phones, closing, total_ms = joined(parts)
    if not phones:
        return Length(0, 0, 0)
    onset_ms, end_ms = phones[0].start_ms, phones[-1].end_ms
    ends = tuple(
        PhraseEnd(phone=last, end_ms=phones[last].end_ms - onset_ms, next_ms=phones[last + 1].start_ms - onset_ms)
        for last in closing[:-1]
    )
    return Length(onset_ms, end_ms - onset_ms, total_ms - end_ms, ends)


def joined(parts: Sequence[Timed]) -> tuple[list[Phone], list[int], int]:
    """Return the phones of parts one after the other, which of them end a phrase, and the length of all in ms."""
    phones: list[Phone] = []
    closing: list[int] = []
    offset_ms = 0
    for timed in parts:
        closing += [len(phones) + last for last in sorted(timed.part.closing)]
        phones += [
            phone.model_copy(update={"start_ms": phone.start_ms + offset_ms, "end_ms": phone.end_ms + offset_ms})
            for phone in timed.phones()
        ]
        offset_ms += timed.total_ms
    return phones, closing, offset_ms


def _token_spans_ms(part: Encoded, token_frames: np.ndarray, speed: float) -> list[tuple[int, int]]:
    """Return (start, end) per phone, on the sound's clock, the silence around phrases included.

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
