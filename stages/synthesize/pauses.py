"""Pauses of a plan in a spoken line: silence put in, or left out, where a phrase ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stages.artifacts import AddedPause
from stages.synthesize.matching import RATE_HZ
from stages.synthesize.utterance import Utterance

_FADE_MS = 10
_KEPT_MS = 30
"""On either side of what is left out."""


def with_pauses(utterance: Utterance, pauses: Sequence[AddedPause]) -> Utterance:
    """Return the utterance with its pauses made longer or shorter, its phones' times with them.

    The sound is cut in the middle of its own pause, between the last phone of the phrase and the next one; both ends
    are faded. No more is left out than the pause has.
    """
    if not pauses or not utterance.phones:
        return utterance
    sounds: list[np.ndarray] = []
    phones = list(utterance.phones)
    begin = shift_ms = 0
    for pause in pauses:
        end_ms, next_ms = utterance.phones[pause.after_phone].end_ms, utterance.phones[pause.after_phone + 1].start_ms
        added_ms = max(pause.added_ms, min(0, 2 * _KEPT_MS - (next_ms - end_ms)))
        middle_ms, left_out_ms = (end_ms + next_ms) // 2, max(0, -added_ms)
        first, last = (_sample(middle_ms - left_out_ms // 2), _sample(middle_ms + left_out_ms - left_out_ms // 2))
        sounds += [_faded(utterance.samples[begin:first], begin > 0, True), np.zeros(_sample(max(0, added_ms)), "f4")]
        begin, shift_ms = last, shift_ms + added_ms
        for index in range(pause.after_phone + 1, len(phones)):
            own = utterance.phones[index]
            phones[index] = own.model_copy(
                update={"start_ms": own.start_ms + shift_ms, "end_ms": own.end_ms + shift_ms}
            )
    sounds.append(_faded(utterance.samples[begin:], True, False))
    return replace(utterance, samples=np.concatenate(sounds), phones=tuple(phones))


def added_ms(pauses: Sequence[AddedPause]) -> int:
    """Return how much longer a line gets."""
    return sum(pause.added_ms for pause in pauses)


def _sample(time_ms: int) -> int:
    return time_ms * RATE_HZ // 1000


def _faded(samples: np.ndarray, at_start: bool, at_end: bool) -> np.ndarray:
    ramp = np.linspace(0, 1, min(_sample(_FADE_MS), len(samples) // 2), dtype=np.float32)
    faded = samples.copy()
    if at_start:
        faded[: len(ramp)] *= ramp
    if at_end and len(ramp):
        faded[-len(ramp) :] *= ramp[::-1]
    return faded
