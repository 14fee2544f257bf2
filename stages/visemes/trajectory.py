"""Gestures blended into a value per frame and parameter (Cohen & Massaro 1993).

Every gesture pulls the mouth towards its targets with a weight that rises before it, is held, and falls
after it: ``value = sum(weight * target) / sum(weight)``, ``weight = dominance * envelope``. Silence is a
gesture as well: the mouth at rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from language_packs import PARAMETERS, Parameter
from stages.visemes.gestures import Gesture, local_length_ms, rounding_onset_ms, spread_end_ms

REST = np.array([0.5 if parameter == "width" else 0.0 for parameter in PARAMETERS])
"""The mouth in silence, by parameter."""

_ROUNDING = np.array([parameter in ("width", "protrusion", "compression") for parameter in PARAMETERS])
_SHARPNESS = 5.0
"""Decay of a gesture's weight over its window, in nepers: Cohen & Massaro's negative exponential, cut off."""
_ROUNDING_SHARPNESS = 2.0
"""The lips move forward more slowly than they open."""


@dataclass(frozen=True)
class Timing:
    """The windows of a gesture, in ms (JALI, Edwards et al. 2016), before they shrink with fast speech."""

    onset_ms: float = 120.0
    decay_ms: float = 120.0
    protrusion_ms: float = 150.0
    hold_share: float = 0.75
    rounding_share: float = 0.6
    reference_phone_ms: float = 80.0
    floor_ms: float = 50.0


@dataclass(frozen=True)
class _Envelopes:
    """Per gesture, in ms: rises from ``onset`` to ``apex``, holds to ``release``, has fallen at ``end``."""

    onset: np.ndarray
    apex: np.ndarray
    release: np.ndarray
    end: np.ndarray


def blend(gestures: Sequence[Gesture], times_ms: np.ndarray, timing: Timing) -> tuple[np.ndarray, np.ndarray]:
    """Return the trajectory of one mouth.

    Args:
        gestures: in order of time.
        times_ms: (frames,) presentation times, increasing.
        timing: the windows.

    Returns:
        Values (frames, 9) in 0-1, columns as ``PARAMETERS``, and whether the mouth speaks, bool (frames,).
    """
    values = np.tile(REST, (len(times_ms), 1))
    if not gestures:
        return values, np.zeros(len(times_ms), dtype=bool)
    plain, rounded = _envelopes(gestures, timing)
    targets = np.array([[g.articulation.targets[p] for p in PARAMETERS] for g in gestures])
    dominances = np.array([[g.articulation.dominances[p] for p in PARAMETERS] for g in gestures])
    total = np.zeros_like(values)
    weights = np.zeros_like(values)
    speaking = np.zeros(len(times_ms), dtype=bool)
    for envelopes, sharpness, columns in (
        (plain, _SHARPNESS, np.flatnonzero(~_ROUNDING)),
        (rounded, _ROUNDING_SHARPNESS, np.flatnonzero(_ROUNDING)),
    ):
        frame, gesture, envelope = _samples(envelopes, times_ms, sharpness)
        np.logical_or.at(speaking, frame, envelope > 0)
        for column in columns:
            weight = envelope * dominances[gesture, column]
            weights[:, column] += np.bincount(frame, weight, len(times_ms))
            total[:, column] += np.bincount(frame, weight * targets[gesture, column], len(times_ms))
    resting = _rest_weight(gestures, plain, times_ms)[:, None]
    weights += resting
    total += resting * REST
    speaking &= weights.min(axis=1) > 0
    values[speaking] = total[speaking] / weights[speaking]
    return np.clip(values, 0.0, 1.0), speaking


def shares(
    gestures: Sequence[Gesture],
    groups: np.ndarray,
    count: int,
    times_ms: np.ndarray,
    timing: Timing,
    parameter: Parameter,
) -> np.ndarray:
    """Return (frames, count): how far each group of gestures decides a parameter in each frame; the rest is silence.

    Adding ``d`` to the targets of all gestures of a group adds ``shares * d`` to what :func:`blend` returns.

    Args:
        gestures: in order of time, at least one.
        groups: int (gestures,) below ``count``.
        count: how many groups there are.
        times_ms: (frames,) presentation times, increasing.
        timing: the windows.
        parameter: one of ``PARAMETERS``.
    """
    plain, rounded = _envelopes(gestures, timing)
    is_rounding = bool(_ROUNDING[PARAMETERS.index(parameter)])
    envelopes, sharpness = (rounded, _ROUNDING_SHARPNESS) if is_rounding else (plain, _SHARPNESS)
    frame, gesture, envelope = _samples(envelopes, times_ms, sharpness)
    dominances = np.array([g.articulation.dominances[parameter] for g in gestures])
    weight = envelope * dominances[gesture]
    places = frame * count + groups[gesture]
    felt = np.bincount(places, weight, len(times_ms) * count).reshape(len(times_ms), count)
    whole = felt.sum(axis=1) + _rest_weight(gestures, plain, times_ms)
    return felt / np.where(whole > 0, whole, 1.0)[:, None]


def _envelopes(gestures: Sequence[Gesture], timing: Timing) -> tuple[_Envelopes, _Envelopes]:
    start = np.array([gesture.start_ms for gesture in gestures])
    length = np.array([gesture.end_ms - gesture.start_ms for gesture in gestures])
    release = start + timing.hold_share * length
    shrink = np.minimum(1.0, local_length_ms(gestures) / timing.reference_phone_ms)

    def window(full_ms: float) -> np.ndarray:
        return np.maximum(timing.floor_ms, full_ms * shrink)

    plain = _Envelopes(start - window(timing.onset_ms), start, release, release + window(timing.decay_ms))
    is_rounded = np.array([gesture.articulation.is_rounded for gesture in gestures])
    early = window(timing.onset_ms) + rounding_onset_ms(gestures, timing.rounding_share)
    early = np.where(is_rounded, np.maximum(window(timing.protrusion_ms), early), window(timing.protrusion_ms))
    onset = start - early
    # Anticipated rounding waits for the end of a spread vowel, but never comes later than any other
    # movement would.
    held_back = np.maximum(onset, np.minimum(spread_end_ms(gestures, timing.hold_share), plain.onset))
    rounded = _Envelopes(np.where(is_rounded, held_back, onset), start, release, release + window(timing.protrusion_ms))
    return plain, rounded


def _samples(
    envelopes: _Envelopes, times_ms: np.ndarray, sharpness: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every (frame, gesture, weight) in which a gesture is felt, flat."""
    first = np.searchsorted(times_ms, envelopes.onset, side="right")
    last = np.searchsorted(times_ms, envelopes.end, side="left")
    counts = np.maximum(0, last - first)
    gesture = np.repeat(np.arange(len(counts)), counts)
    frame = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[gesture]
    time = times_ms[frame]
    rising = (envelopes.apex[gesture] - time) / (envelopes.apex - envelopes.onset)[gesture]
    falling = (time - envelopes.release[gesture]) / (envelopes.end - envelopes.release)[gesture]
    return frame, gesture, _decay(np.maximum(0.0, np.maximum(rising, falling)), sharpness)


def _decay(distance: np.ndarray, sharpness: float) -> np.ndarray:
    """Return 1 at distance 0, falling exponentially and reaching 0 at distance 1."""
    edge = np.exp(-sharpness)
    return np.clip((np.exp(-sharpness * distance) - edge) / (1.0 - edge), 0.0, 1.0)


def _rest_weight(gestures: Sequence[Gesture], plain: _Envelopes, times_ms: np.ndarray) -> np.ndarray:
    """Return (frames,) how strongly the mouth is drawn to rest: 1 in silence, 0 while a sound lasts.

    A pause shorter than the movement into and out of rest only begins it.
    """
    start = plain.apex
    end = np.maximum.accumulate(np.array([gesture.end_ms for gesture in gestures]))
    pause_start = np.concatenate([[-np.inf], end])
    pause_end = np.concatenate([start, [np.inf]])
    into = np.concatenate([[1.0], plain.end - plain.release])
    out_of = np.concatenate([plain.apex - plain.onset, [1.0]])
    here = np.clip(np.searchsorted(pause_end, times_ms, side="right"), 0, len(pause_end) - 1)
    since, until = times_ms - pause_start[here], pause_end[here] - times_ms
    share = np.minimum(since / into[here], until / out_of[here])
    return np.where(share > 0, _decay(1.0 - np.clip(share, 0.0, 1.0), _SHARPNESS), 0.0)
