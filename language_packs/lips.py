"""An articulation as a mouth: the contours of the lips from the front and in profile, and what shows between them.

Lengths are in halves of the resting mouth's width; x points to the picture's right (in profile: forward), y up, and the
resting lips meet at y = 0. The shapes are schematic, made to be told apart by eye; nothing is rendered from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from language_packs import Parameter

_POINTS = 91
_CLOSED = 0.5
"""Closure from which the lips are drawn together."""
_UPPER_SHARE = 0.3
"""Share of the opening by which the upper lip rises; by the remainder the lower lip and the jaw go down."""
_UPPER_TOOTH, _LOWER_TOOTH = 0.19, 0.14
"""How long the teeth are seen at most."""

_HIDES_TEETH = 0.7
"""Protrusion from which the teeth are in the dark behind the lips."""


@dataclass(frozen=True)
class Mouth:
    """Contours, float64 (n, 2) each."""

    outer: np.ndarray
    """Where the lips end and the skin begins: closed."""
    inner: np.ndarray
    """The opening: closed. Empty where the lips are together."""
    seam: np.ndarray
    """The line between closed lips. Empty where they are open."""
    upper_teeth: np.ndarray
    """Closed, to be cut off at the opening; empty where they are not seen."""
    lower_teeth: np.ndarray
    tongue: np.ndarray
    """The same of the tongue."""
    tongue_in_front: bool
    """Whether the tongue is before the teeth."""
    chin: np.ndarray
    """The lower edge of the chin."""
    profile: np.ndarray
    """The face from the side: upper lip down to the point where it leaves the other one or the teeth."""
    profile_below: np.ndarray
    """Going on from the lower lip to the chin."""


def mouth(targets: Mapping[Parameter, float]) -> Mouth:
    """Return how a mouth with these targets (0-1 each, all of ``PARAMETERS``) looks."""
    protrusion, jaw = targets["protrusion"], targets["jaw"]
    is_closed = targets["closure"] >= _CLOSED
    to_teeth = 0.0 if is_closed else targets["lip_to_teeth"]
    half_width = max(0.42, (1 + 0.9 * (targets["width"] - 0.5)) * (1 - 0.15 * protrusion))
    gap = 0.0 if is_closed else 1.15 * targets["aperture"]
    top, bottom = _UPPER_SHARE * gap, -(1 - _UPPER_SHARE) * gap
    # The lower lip is drawn up and in behind the upper teeth's edge, and the upper lip gives the teeth free.
    top, bottom = max(top, 0.18 * to_teeth), bottom + to_teeth * (0.02 - bottom)
    fullness = (1 + 0.5 * protrusion) * (1 - 0.6 * targets["compression"]) * (1 - 0.6 * max(0, targets["width"] - 0.5))
    fullness *= 0.82 if is_closed else 1 - 0.15 * targets["aperture"]
    upper, lower = 0.2 * fullness, 0.3 * fullness * (1 - 0.4 * to_teeth)

    across = np.linspace(-1, 1, _POINTS)
    roundness = 0.85 - 0.35 * min(1.0, protrusion + 1.2 * targets["aperture"])
    arch = (1 - across**2) ** roundness
    edge_above = top * arch + upper * _upper_lip(across, 1 - 0.7 * protrusion)
    edge_below = bottom * arch - lower * (1 - across**2) ** 0.7
    open_width = half_width * (0.95 - 0.62 * protrusion)
    is_open = top - bottom > 0.02
    seam = np.stack([0.97 * half_width * across, -0.022 * (1 - across**2) * np.cos(2.2 * np.pi * across)], axis=1)
    tongue, in_front = _tongue(targets, top, bottom, open_width)
    chin_y = -0.98 - 0.75 * jaw
    forward = 0.42 * protrusion - 0.1 * targets["compression"]
    above, below = _profile(top, bottom, upper, lower, forward, chin_y, to_teeth)
    return Mouth(
        outer=_closed(half_width * across, edge_above, edge_below),
        inner=_closed(open_width * across, top * arch, bottom * arch) if is_open else np.empty((0, 2)),
        seam=np.empty((0, 2)) if is_open else seam,
        upper_teeth=_upper_teeth(targets, top, bottom, to_teeth) if is_open else np.empty((0, 2)),
        lower_teeth=_lower_teeth(targets, top, bottom) if is_open else np.empty((0, 2)),
        tongue=tongue if is_open else np.empty((0, 2)),
        tongue_in_front=in_front,
        chin=np.stack([0.62 * across, chin_y + 0.16 * across**2], axis=1),
        profile=above,
        profile_below=below,
    )


def _closed(x: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Join an upper and a lower edge over the same x."""
    return np.concatenate([np.stack([x, above], axis=1), np.stack([x, below], axis=1)[::-1]])


def _upper_lip(across: np.ndarray, bow: float) -> np.ndarray:
    """Return the upper lip's thickness from corner to corner: Cupid's bow, less of it in lips pushed forward."""
    peaks = np.exp(-(((np.abs(across) - 0.27) / 0.16) ** 2))
    dip = np.exp(-((across / 0.11) ** 2))
    return (1 - across**2) ** 0.8 * (1 + bow * (0.22 * peaks - 0.28 * dip))


def _row(y_edge: float, y_gum: float) -> np.ndarray:
    """Return a row of teeth between two heights, wider than any opening."""
    x = np.linspace(-1.3, 1.3, 31)
    edge = y_edge + 0.1 * (y_gum - y_edge) * x**2
    return np.concatenate([np.stack([x, edge], axis=1), [[1.3, y_gum], [-1.3, y_gum]]])


def _upper_teeth(targets: Mapping[Parameter, float], top: float, bottom: float, to_teeth: float) -> np.ndarray:
    if to_teeth > 0:
        # They end on the lower lip, or a little above where it only comes near.
        return _row(bottom + (1 - to_teeth) * 0.16, top + 0.2)
    if targets["protrusion"] > _HIDES_TEETH:
        return np.empty((0, 2))
    together = (top + bottom) / 2 + 0.01
    apart = top - min(_UPPER_TOOTH, 0.45 * (top - bottom))
    return _row(together if targets["teeth_together"] >= _CLOSED else apart, top + 0.2)


def _lower_teeth(targets: Mapping[Parameter, float], top: float, bottom: float) -> np.ndarray:
    if targets["teeth_together"] >= _CLOSED:
        return _row((top + bottom) / 2 - 0.01, bottom - 0.2)
    if targets["protrusion"] > _HIDES_TEETH:
        return np.empty((0, 2))
    shown = min(_LOWER_TOOTH, 0.25 * (top - bottom - 0.35))
    return _row(bottom + shown, bottom - 0.2) if shown > 0.02 else np.empty((0, 2))


def _tongue(
    targets: Mapping[Parameter, float], top: float, bottom: float, open_width: float
) -> tuple[np.ndarray, bool]:
    """Return the tongue: on the floor of an open mouth, its tip at the upper teeth, or out between the teeth."""
    shown, gap = targets["tongue_visible"], top - bottom
    if targets["teeth_together"] >= _CLOSED or targets["lip_to_teeth"] > 0:
        return np.empty((0, 2)), False
    is_out = shown > 0.7
    teeth = min(_UPPER_TOOTH, 0.45 * gap)
    tip = top - 0.7 * teeth if is_out else top - teeth if shown > 0.1 else bottom + 0.32 * gap
    angle = np.linspace(0, 2 * np.pi, 49)
    middle, height = (tip + bottom - 0.1) / 2, (tip - bottom + 0.1) / 2
    x = (0.5 if shown > 0.1 else 0.72) * open_width * np.cos(angle)
    return np.stack([x, middle + height * np.sin(angle)], axis=1), is_out


def _profile(
    top: float, bottom: float, upper: float, lower: float, forward: float, chin_y: float, to_teeth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the side view above and below the opening; ``forward`` is how far the lips stand out."""
    tucked = forward - 0.16 * to_teeth
    above = [
        (0.34, 0.98), (0.02, 0.84), (0.0, 0.6), (0.06 + 0.5 * forward, top + upper + 0.04),
        (0.15 + forward, top + 0.45 * upper), (0.04 + 0.9 * forward, top),
    ]  # fmt: skip
    below = [
        (0.02 + 0.9 * tucked, bottom), (0.12 + tucked, bottom - 0.5 * lower),
        (0.03 + 0.5 * tucked, bottom - lower - 0.04), (-0.06, bottom - lower - 0.2), (0.0, chin_y + 0.2),
        (-0.12, chin_y),
    ]  # fmt: skip
    return _smooth(above), _smooth(below)


def _smooth(corners: list[tuple[float, float]]) -> np.ndarray:
    points = np.array(corners)
    along = np.concatenate([[0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1)))])
    return CubicSpline(along, points)(np.linspace(0, along[-1], 40))
