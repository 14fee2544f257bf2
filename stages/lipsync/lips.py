"""The points of the lower face where the plan wants them.

Lips take the shape of the retrieved mouth, moved by what the model says is still missing, so that real shapes stay real
and the noise of single landmarks is not drawn; then the gap is made exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.lipsync.geometry import fit_poses
from stages.lipsync.landmarks import (
    JAW_CONTOUR,
    LIPS,
    LOWER_FACE,
    LOWER_INNER,
    LOWER_LIP_ROWS,
    UPPER_INNER,
    UPPER_LIP_ROWS,
)
from stages.lipsync.plan import LABIODENTAL, FacePlan

_SHARES = (1.0, 0.9, 0.7)
"""How much of a correction of the inner edge the inner, middle and outer lip points follow."""
_MEASURED = slice(4, 7)
"""Columns of the three pairs that the inner gap is measured on."""
_SMOOTH_BELOW_IOD, _FREE_ABOVE_IOD = 0.04, 0.1
"""Below, an opening is a parabola (its landmarks are mostly noise); above, it keeps its own outline."""
_LENS = 0.8
"""Exponent of the outline of an opening that nobody has seen: between a parabola and an ellipse."""
_LABIODENTAL_UPPER_SHARE = 0.0
"""On f v it is the lower lip that comes up; the upper one leaves the teeth free."""
_SEALED_IOD = 1e-3
_MIN_THICKNESS = 0.45
"""The red of a lip never gets thinner than this share of its mean in the clip."""
_LIP_ROWS = np.searchsorted(LOWER_FACE, LIPS)
_CONTOUR_ROWS = np.searchsorted(LOWER_FACE, JAW_CONTOUR)
_CONTOUR_SHARE = np.sin(np.linspace(0, np.pi, len(JAW_CONTOUR)))
"""The chin carries the contour along; beside the ears it stands still."""


class Shown(NamedTuple):
    """A retrieved mouth."""

    row: int
    """Of the face's track."""
    weight: float
    landmarks: np.ndarray
    """float64 (478, 2) px of its own frame."""
    head: np.ndarray
    """float64 (478, 3) in the head frame."""
    iod_px: float


def shown_mouths(plan: FacePlan, row: int) -> list[Shown]:
    """Return the one or two mouths that serve a row, weights adding up to 1."""
    second = float(plan.mix[row]) if plan.picks[row, 1] >= 0 else 0.0
    return [
        shown(plan, int(pick), weight)
        for pick, weight in zip(plan.picks[row], (1 - second, second), strict=True)
        if weight > 0
    ]


def shown(plan: FacePlan, pick: int, weight: float) -> Shown:
    """Return the mouth of one row as it is seen there."""
    landmarks = plan.states.landmarks(pick, pick + 1).astype(np.float64)
    pose = fit_poses(landmarks, plan.reference)
    return Shown(pick, weight, landmarks[0, :, :2], pose.to_head(landmarks)[0], float(pose.scale[0]))


def target_points(
    plan: FacePlan, row: int, face: np.ndarray, mouths: list[Shown], target: np.ndarray | None = None
) -> np.ndarray:
    """Return the face (478, 3) in the head frame with its lower part where the plan wants it.

    The skin around the lips keeps its own shape and moves by the model. At strength 0 the face is returned as it is.
    ``target`` (3,) takes the place of the plan's own aperture, width and jaw.
    """
    model, strength = plan.model, float(plan.strength[row])
    target = plan.target[row] if target is None else target
    wanted = model.points(target[None])[0]
    now = face[LOWER_FACE]
    moved = now + wanted - model.points(plan.source[row : row + 1])[0]
    moved[_CONTOUR_ROWS] = now[_CONTOUR_ROWS] + _CONTOUR_SHARE[:, None] * (moved[_CONTOUR_ROWS] - now[_CONTOUR_ROWS])
    lips = np.zeros((len(LIPS), 3))
    for mouth in mouths:
        missing = wanted - model.points(plan.source[mouth.row : mouth.row + 1])[0]
        expression = plan.expression[row] - plan.expression[mouth.row]
        lips += mouth.weight * (mouth.head[LIPS] + missing[_LIP_ROWS] + expression)
    moved[_LIP_ROWS] = lips
    result = face.copy()
    result[LOWER_FACE] = moved
    upper_share = _LABIODENTAL_UPPER_SHARE if plan.contacts[row] == LABIODENTAL else 0.5
    set_gap(result, max(0.0, float(target[0])), upper_share, keeps_outline=not plan.never_opens)
    keep_thickness(result, plan.reference)
    result[LIPS] = face[LIPS] + strength * (result[LIPS] - face[LIPS])
    return result


def opening_points(face: np.ndarray, mouth: Shown) -> np.ndarray:
    """Return the retrieved mouth's landmarks (478, 2) px, its inner edges where ``face`` (478, 3) has its own.

    Upper teeth are fixed to the skull: lips that close cover them and do not squeeze them. An opening that is smaller
    than the retrieved one shows the part of it that lies there in the head frame; a larger one is stretched.
    """
    result = mouth.landmarks.copy()
    inside = slice(1, -1)
    upper, lower = UPPER_INNER[inside], LOWER_INNER[inside]
    have = np.maximum(mouth.head[lower, 1] - mouth.head[upper, 1], _SEALED_IOD)
    shown_part = np.minimum(np.maximum(face[lower, 1] - face[upper, 1], 0), have)
    start = np.clip(face[upper, 1] - mouth.head[upper, 1], 0, have - shown_part)
    across = mouth.landmarks[lower] - mouth.landmarks[upper]
    result[upper] = mouth.landmarks[upper] + (start / have)[:, None] * across
    result[lower] = mouth.landmarks[upper] + ((start + shown_part) / have)[:, None] * across
    return result


def set_gap(face: np.ndarray, gap_iod: float, upper_share: float = 0.5, keeps_outline: bool = True) -> None:
    """Bring the inner gap of a face (478, 3) in the head frame to exactly ``gap_iod``, in place.

    The opening keeps its outline, scaled, as far as it is open, or where that is no real one becomes a lens. The red of
    the lips follows. ``upper_share`` of the change is made by the upper lip.
    """
    upper, lower = face[UPPER_INNER, 1], face[LOWER_INNER, 1]
    across = np.linspace(-1, 1, len(upper))
    gaps = np.maximum(lower - upper, 0)
    parabola = (1 - across**2) ** (1.0 if keeps_outline else _LENS)
    mean = float(gaps[_MEASURED].mean())
    openness = float(np.clip((mean - _SMOOTH_BELOW_IOD) / (_FREE_ABOVE_IOD - _SMOOTH_BELOW_IOD), 0, 1))
    outline = parabola / parabola[_MEASURED].mean()
    if keeps_outline and openness > 0:
        outline = openness * gaps / mean + (1 - openness) * outline
    change = gap_iod * outline - (lower - upper)
    inside = slice(1, -1)
    for share, above, below in zip(_SHARES, UPPER_LIP_ROWS, LOWER_LIP_ROWS, strict=True):
        face[above[inside], 1] -= (upper_share * share * change)[inside]
        face[below[inside], 1] += ((1 - upper_share) * share * change)[inside]


def keep_thickness(face: np.ndarray, reference: np.ndarray) -> None:
    """Move the outer contour of lips that have become too thin, or have folded over, outwards, in place."""
    inside = slice(1, -1)
    for rows, outwards in ((UPPER_LIP_ROWS, -1), (LOWER_LIP_ROWS, 1)):
        inner, middle, outer = (row[inside] for row in rows)
        least = _MIN_THICKNESS * np.maximum(outwards * (reference[outer, 1] - reference[inner, 1]), 0)
        missing = np.maximum(least - outwards * (face[outer, 1] - face[inner, 1]), 0)
        face[outer, 1] += outwards * missing
        between = (face[inner, 1] + face[outer, 1]) / 2
        face[middle, 1] = np.where(missing > 0, between, face[middle, 1])
