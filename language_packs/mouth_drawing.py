"""Mouths drawn on matplotlib axes, from the contours of :mod:`language_packs.lips`."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Polygon
from matplotlib.path import Path as Outline

from language_packs.derive import Articulation
from language_packs.lips import mouth

_LEAST_HOLD = 0.1
"""Dominance on width and protrusion below which a sound takes its neighbours' lips."""
_SKIN, _LIP, _LIP_EDGE, _CAVITY = "#f3d9c9", "#c9706b", "#7d3a3a", "#3b1517"
_TEETH, _TOOTH_EDGE, _TONGUE, _TONGUE_EDGE = "#fbfaf3", "#b9b3a6", "#d98a8a", "#a65959"
_FACE_LINE, _GUIDE = "#b08d7c", "#6a6f76"
_PALE = 0.45
_VIEW = (-1.42, 1.42, -1.72, 1.02)
"""Left, right, bottom, top of a front view, in halves of a resting mouth's width; a profile is half as wide."""
_HALF_TURN = np.linspace(0, np.pi, 13)


def holds_lips(look: Articulation) -> bool:
    """Return whether a sound has lips of its own; otherwise they are its neighbours'."""
    return max(look.dominances["width"], look.dominances["protrusion"]) >= _LEAST_HOLD


def draw_mouth(axes: Axes, look: Articulation) -> None:
    """Draw a mouth from the front; where the lips are not the sound's own they are pale."""
    seen, alpha = mouth(look.targets), 1.0 if holds_lips(look) else _PALE
    _window(axes, *_VIEW)
    for x in (-0.1, 0.1):
        axes.plot([x * 0.8, x], [0.8, 0.48 + 0.3 * seen.outer[:, 1].max()], color=_FACE_LINE, lw=0.5, alpha=0.6)
    for x in (-0.2, 0.2):
        axes.plot(x + 0.1 * np.cos(_HALF_TURN), 0.93 - 0.05 * np.sin(_HALF_TURN), color=_FACE_LINE, lw=0.9)
    axes.plot(*seen.chin.T, color=_FACE_LINE, lw=0.9)
    axes.add_patch(Polygon(seen.outer, facecolor=_LIP, edgecolor=_LIP_EDGE, lw=0.7, alpha=alpha))
    if len(seen.seam):
        axes.plot(*seen.seam.T, color=_CAVITY, lw=1.3, alpha=alpha, solid_capstyle="round")
    if not len(seen.inner):
        return
    # Between pale lips a tongue that is to be seen is not pale.
    alpha = 1.0 if look.targets["tongue_visible"] else alpha
    opening = PathPatch(Outline(seen.inner, closed=True), facecolor=_CAVITY, edgecolor=_LIP_EDGE, lw=0.6, alpha=alpha)
    axes.add_patch(opening)
    behind = [(seen.tongue, _TONGUE, _TONGUE_EDGE), (seen.upper_teeth, _TEETH, _TOOTH_EDGE)]
    behind.append((seen.lower_teeth, _TEETH, _TOOTH_EDGE))
    for part, fill, edge in behind[1:] + behind[:1] if seen.tongue_in_front else behind:
        if len(part):
            patch = Polygon(part, facecolor=fill, edgecolor=edge, lw=0.5, alpha=alpha)
            axes.add_patch(patch)
            patch.set_clip_path(opening)
    for row in (seen.upper_teeth, seen.lower_teeth):
        _tooth_gaps(axes, row, opening, alpha, seen.tongue if seen.tongue_in_front else None)


def draw_profile(axes: Axes, look: Articulation) -> None:
    """Draw the same mouth from its right side: how far the lips stand out."""
    seen, alpha = mouth(look.targets), 1.0 if holds_lips(look) else _PALE
    _window(axes, -0.55, 0.87, *_VIEW[2:])
    inside = np.array([[-0.2, seen.profile[-1, 1]], [-0.2, seen.profile_below[0, 1]]])
    face = np.concatenate(
        [[[-0.55, 0.98]], seen.profile, inside, seen.profile_below, [[-0.55, seen.profile_below[-1, 1]]]]
    )
    axes.add_patch(Polygon(face, facecolor=_SKIN, edgecolor="none", alpha=alpha))
    for line in (seen.profile, np.concatenate([inside[1:], seen.profile_below])):
        axes.plot(*line.T, color=_LIP_EDGE, lw=1.0, alpha=alpha)
    axes.plot([0.15, 0.15], [0.5, -0.6], color=_GUIDE, lw=0.4, ls=(0, (2, 3)), alpha=0.6)


def _tooth_gaps(axes: Axes, row: np.ndarray, opening: PathPatch, alpha: float, tongue: np.ndarray | None) -> None:
    if not len(row):
        return
    low, high = row[:, 1].min(), row[:, 1].max()
    hidden = 0.0 if tongue is None else float(np.abs(tongue[:, 0]).max())
    for x in (-0.65, -0.45, -0.24, 0.0, 0.24, 0.45, 0.65):
        if abs(x) >= hidden:
            (line,) = axes.plot([x, x], [low, high], color=_TOOTH_EDGE, lw=0.45, alpha=alpha)
            line.set_clip_path(opening)


def _window(axes: Axes, left: float, right: float, bottom: float, top: float) -> None:
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.axis("off")
