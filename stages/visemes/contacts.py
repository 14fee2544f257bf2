"""Contacts that no blending may blur: lips shut for p b m, the lower lip at the teeth for f v.

Set after every smoothing. A closure lasts from the occlusion to the burst: until the gesture's release, or
to its end where the sound is long. Where the frames are too few for that, the nearest frame closes: a
closure is never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from language_packs import PARAMETERS
from stages.visemes.gestures import Gesture

_APERTURE = PARAMETERS.index("aperture")
_CLOSURE = PARAMETERS.index("closure")
_LIP_TO_TEETH = PARAMETERS.index("lip_to_teeth")
_OPEN_VOWEL = 0.85


@dataclass(frozen=True)
class ContactRules:
    """How long a contact must at least be seen."""

    closure_ms: float = 60.0
    closure_frames: int = 2
    labiodental_aperture: float = 0.06
    hold_share: float = 0.75
    opening_ms: float = 65.0
    """Shortest time from a contact to an open vowel: lips part at 150-250 mm/s (Loefqvist & Gracco 1997, "Lip and jaw
    kinematics in bilabial stop consonant production"), an open vowel is 12-16 mm."""


def enforce(values: np.ndarray, gestures: Sequence[Gesture], times_ms: np.ndarray, rules: ContactRules) -> np.ndarray:
    """Return the trajectory with every contact made.

    Args:
        values: (frames, 9) in 0-1, columns as ``PARAMETERS``.
        gestures: in order of time.
        times_ms: (frames,) presentation times, increasing.
        rules: how long a contact lasts.
    """
    made = values.copy()
    if len(times_ms) == 0:
        return made
    closed = np.zeros(len(times_ms), dtype=bool)
    closing = [g for g in gestures if g.articulation.contact == "closure" and _is_shown(g, times_ms)]
    for gesture in closing:
        closed[_closed_frames(gesture, times_ms, rules)] = True
    _join(closed, closing, times_ms)
    made[closed, _CLOSURE] = 1.0
    made[closed, _APERTURE] = 0.0
    made[closed, _LIP_TO_TEETH] = 0.0
    # An open mouth next to a closure is not a closure: blending alone must not claim one.
    made[~closed, _CLOSURE] = np.minimum(made[~closed, _CLOSURE], 0.99)
    for gesture in gestures:
        if gesture.articulation.contact == "labiodental" and _is_shown(gesture, times_ms):
            touching = _touching_frames(gesture, times_ms, closed, rules)
            made[touching, _LIP_TO_TEETH] = 1.0
            made[touching, _CLOSURE] = 0.0
            made[touching, _APERTURE] = np.minimum(made[touching, _APERTURE], rules.labiodental_aperture)
    made[:, _APERTURE] = _no_faster(made[:, _APERTURE], times_ms, _OPEN_VOWEL / rules.opening_ms)
    return made


def _no_faster(values: np.ndarray, times_ms: np.ndarray, most_per_ms: float) -> np.ndarray:
    """Return the largest curve (n,) that is nowhere above ``values`` and nowhere steeper: contacts keep their place."""
    slow = values.copy()
    for here, before in [(n, n - 1) for n in range(1, len(slow))] + [(n, n + 1) for n in range(len(slow) - 2, -1, -1)]:
        slow[here] = min(slow[here], slow[before] + most_per_ms * abs(times_ms[here] - times_ms[before]))
    return slow


def _is_shown(gesture: Gesture, times_ms: np.ndarray) -> bool:
    """Whether the picture still runs when the gesture is made."""
    period_ms = (times_ms[-1] - times_ms[0]) / max(1, len(times_ms) - 1)
    return times_ms[0] - period_ms <= _centre(gesture) <= times_ms[-1] + period_ms


def _centre(gesture: Gesture) -> float:
    return (gesture.start_ms + gesture.end_ms) / 2


def _closed_frames(gesture: Gesture, times_ms: np.ndarray, rules: ContactRules) -> np.ndarray:
    share = 1.0 if gesture.is_long else rules.hold_share
    held_ms = max(rules.closure_ms, share * (gesture.end_ms - gesture.start_ms))
    centre = gesture.start_ms + share * (gesture.end_ms - gesture.start_ms) / 2
    distance = np.abs(times_ms - centre)
    nearest = np.argsort(distance, kind="stable")[: rules.closure_frames]
    # At a low frame rate a second frame would already show the neighbouring vowel.
    near_enough = nearest[distance[nearest] <= max(rules.closure_ms, held_ms / 2)]
    return np.union1d(np.flatnonzero(distance <= held_ms / 2), np.union1d(near_enough, nearest[:1]))


def _join(closed: np.ndarray, closing: Sequence[Gesture], times_ms: np.ndarray) -> None:
    """Keep the lips shut between two closing sounds with nothing between them (``pp``, ``mb``)."""
    for before, after in pairwise(closing):
        if 0.0 <= after.start_ms - before.end_ms < 1.0:
            closed[(times_ms >= _centre(before)) & (times_ms <= _centre(after))] = True


def _touching_frames(gesture: Gesture, times_ms: np.ndarray, closed: np.ndarray, rules: ContactRules) -> np.ndarray:
    end_ms = gesture.start_ms + rules.hold_share * (gesture.end_ms - gesture.start_ms)
    held = (times_ms >= gesture.start_ms) & (times_ms <= end_ms) & ~closed
    if held.any() or closed.all():
        return np.flatnonzero(held)
    distance = np.where(closed, np.inf, np.abs(times_ms - _centre(gesture)))
    return np.array([int(np.argmin(distance))])
