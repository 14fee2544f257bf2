"""A drawn mouth interior for faces of which no open mouth was ever seen: a cavity, two rows of teeth, a tongue.

It is laid into the opening of a mouth whose lips are the picture's own. Upper teeth are fixed to the skull and lower
teeth and tongue to the jaw, on an arch that recedes from the camera, so that they turn with the head; a pixel is looked
up in the head frame and shaded there, at the picture's own resolution. Colours come from the picture: teeth have the
brightness of its eye whites and skin, the rest the hue of its lips. Sizes are those of a mean dentition (Wheeler's
"Dental Anatomy", crowns 8.5, 6.5, 7.5 mm wide, with 90 mm between the outer eye corners).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stages.lipsync.geometry import HeadPoses, aperture_iod, width_iod
from stages.lipsync.landmarks import INNER_RING, LOWER_INNER, LOWER_MIDDLE, UPPER_INNER, UPPER_MIDDLE

_UPPER_TEETH = np.array([0.0, 0.095, 0.167, 0.235, 0.285, 0.32, 0.345])
"""Where upper teeth meet, in IOD from the middle, seen from the front."""
_LOWER_TEETH = np.array([0.0, 0.058, 0.122, 0.19, 0.245, 0.29, 0.32])
_MEAN_WIDTH_IOD = 0.56
"""Width of a mouth with teeth of this size."""
_ARCH = 1.5
"""How fast the rows of teeth recede from the camera: z = arch * x * x, in IOD."""
_BEHIND_LIPS_IOD, _LOWER_BEHIND_IOD = 0.03, 0.02
_UPPER_EDGE_IOD, _UPPER_RISE = 0.018, 0.3
"""How far the upper teeth reach below the resting lip line, and how their edges rise sidewards."""
_CROWN_IOD, _LOWER_CROWN_IOD = 0.11, 0.085
_LOWER_EDGE_IOD = 0.045
"""Where the edge of the lower teeth lies below the resting lip line while the jaw rests."""
_TONGUE_IOD, _TONGUE_HALF_WIDTH_IOD = 0.05, 0.24
"""How far the back of the tongue rises above the edge of the lower teeth."""
_CORNERS, _ROUNDING_IOD = 4, 0.008
_GROOVE_IOD, _GROOVE = 0.006, 0.13
"""Half width and depth of the shade between two teeth."""
_LIP_SHADOW_IOD = 0.035
_DIM_AT_IOD = 0.33
"""How far sidewards light falls in."""
_TEETH_FROM_IOD, _TEETH_AT_IOD = 0.02, 0.05
"""Local height of the opening in which teeth begin to be seen, and are seen in full: no specks between closing lips."""
_SEEN_FROM_IOD, _SEEN_AT_IOD = 0.004, 0.014
"""The same for the opening itself: lips that touch keep the line that the picture has between them."""
_BITE = 0.3
"""The same on f v, where a line of teeth is meant to be seen, times this."""
_LIGHT_FROM_IOD, _LIGHT_AT_IOD = 0.02, 0.14
"""Height of the opening at which light begins to fall in, and does so in full."""

_PALE, _BRIGHT = 0.88, 0.45
"""Saturation below and value above which, against the lips', a pixel between them is a tooth."""
_LEAST_BLUR_PX, _MOST_BLUR_PX, _PROBE_PX = 0.6, 3.0, 2.0
_LEAST_TEETH = 0.03
"""Share of the lips' inner half in which teeth are no noise."""
_SEAM_IOD, _SEAM = 0.009, 0.4
"""Half width and depth of the line between lips that were sealed."""


@dataclass(frozen=True)
class Palette:
    """Colours of a mouth in the picture's light, BGR 0-255 (3,)."""

    teeth: np.ndarray
    cavity: np.ndarray
    tongue: np.ndarray
    gum: np.ndarray
    lips: np.ndarray


def palette(skin: np.ndarray, eyes: np.ndarray, lips: np.ndarray) -> Palette:
    """Return the colours that go with a face's skin, eye whites and lips, each BGR (3,)."""
    light = max(float(skin.mean()), 0.9 * float(eyes.mean()))
    white = 0.3 * eyes / max(float(eyes.mean()), 1.0) + 0.7
    tint = 0.8 + 0.2 * skin / max(float(skin.mean()), 1.0)
    teeth = np.clip(1.15 * light * white * tint * np.array([0.93, 0.98, 1.0]), 0, 245)
    flesh = 0.5 * lips + 0.5 * float(lips.mean()) * np.array([0.72, 0.75, 1.45])
    return Palette(teeth=teeth, cavity=0.3 * flesh, tongue=0.8 * flesh, gum=0.85 * flesh, lips=lips)


def blur_px(bgr: np.ndarray) -> float:
    """Return how blurred a piece of a picture (uint8 (h, w, 3)) is: the standard deviation of its blur, in px.

    It is blurred once more: where amplitudes fall with frequency, as those of natural pictures do, the mean squared
    gradient goes with one over the variance of the whole blur, so that the loss tells how much there was.
    """
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.float32)
    sharp, soft = (
        float(sum((step**2).mean() for step in np.gradient(image)))
        for image in (grey, cv2.GaussianBlur(grey, (0, 0), _PROBE_PX))
    )
    own = _PROBE_PX / max(sharp / max(soft, 1e-6) - 1, 1e-6) ** 0.5
    return float(np.clip(own, _LEAST_BLUR_PX, _MOST_BLUR_PX))


class Interior:
    """Draws the interior of one face's mouth.

    Args:
        colors: of the interior.
        blur_px: how blurred the picture is (:func:`blur_px`); what is drawn is as much.
        reference: the face (478, 3) in the head frame.
        rest_jaw_iod: how far the chin is below the nose while the mouth rests.
    """

    def __init__(self, colors: Palette, blur_px: float, reference: np.ndarray, rest_jaw_iod: float) -> None:
        self._blur_px = blur_px
        self._colors, self._rest_jaw_iod = colors, rest_jaw_iod
        upper, lower = (reference[row].mean(axis=0) for row in (UPPER_INNER[4:7], LOWER_INNER[4:7]))
        self._size = float(np.clip(width_iod(reference) / _MEAN_WIDTH_IOD, 0.6, 1.3))
        """How large this mouth's teeth are."""
        self._middle_x = float((upper[0] + lower[0]) / 2)
        self._line_y = float(upper[1] + 0.25 * aperture_iod(reference))
        """Where the lips would meet."""
        self._depth = float((upper[2] + lower[2]) / 2) + _BEHIND_LIPS_IOD

    def over(
        self,
        mouth: np.ndarray,
        corner: np.ndarray,
        pose: HeadPoses,
        placed: np.ndarray,
        jaw_iod: float,
        bites: bool,
        gains: np.ndarray,
    ) -> np.ndarray:
        """Return a mouth with its opening filled.

        Args:
            mouth: float32 BGR (h, w, 3), lips in place.
            corner: (2,) px, where its first pixel lies in the picture.
            pose: of the head in this frame (one).
            placed: (478, 2) px, where the lips are in the picture.
            jaw_iod: how far the chin is below the nose.
            bites: the lower lip is at the upper teeth.
            gains: (3,) the light of this frame over that of the colours.
        """
        ring = placed[INNER_RING] - corner
        margin = 2 + 2 * self._blur_px
        low = np.clip(np.floor(ring.min(axis=0) - margin), 0, None).astype(int)
        high = np.minimum(np.ceil(ring.max(axis=0) + margin) + 1, [mouth.shape[1], mouth.shape[0]]).astype(int)
        if (high - low).min() < 2:
            return mouth
        part = mouth[low[1] : high[1], low[0] : high[0]]
        opening = _filled(ring - low, part.shape[:2], self._blur_px)
        iod_px = float(pose.scale[0])
        y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32)
        seen = np.stack([x + corner[0], y + corner[1]], axis=-1)
        edges = [placed[row] for row in (UPPER_INNER, LOWER_INNER)]
        top, bottom = (_along(seen, edge) / iod_px for edge in edges)
        opening *= _step(float((top - bottom).max()), _SEEN_FROM_IOD, _SEEN_AT_IOD)
        shade = self._shaded(seen, pose, top, bottom, jaw_iod - self._rest_jaw_iod, bites, self._blur_px / iod_px)
        result = mouth.copy()
        result[low[1] : high[1], low[0] : high[0]] += opening[..., None] * (shade * gains - part)
        return result

    def sealed(self, mouth: np.ndarray, corner: np.ndarray, placed: np.ndarray, iod_px: float) -> np.ndarray:
        """Return a shut mouth without the teeth that the picture itself shows between its lips.

        Landmarks of lips that are a little apart lie on each other, so that what is between cannot be warped away.
        """
        above = (placed[UPPER_INNER] + placed[UPPER_MIDDLE]) / 2
        below = (placed[LOWER_INNER] + placed[LOWER_MIDDLE]) / 2
        ring = np.concatenate([above, below[-2:0:-1]]) - corner
        inner = np.zeros(mouth.shape[:2], dtype=np.uint8)
        cv2.fillPoly(inner, [np.rint(ring).astype(np.int32)], 1)
        value, lips = mouth.max(axis=-1), self._colors.lips
        saturation = 1 - mouth.min(axis=-1) / np.maximum(value, 1)
        pale = saturation < _PALE * (1 - lips.min() / max(lips.max(), 1.0))
        teeth = (inner > 0) & pale & (value > _BRIGHT * lips.max())
        if teeth.sum() < _LEAST_TEETH * inner.sum():
            return mouth
        size = 2 * max(1, round(0.01 * iod_px)) + 1
        hole = cv2.min(cv2.dilate(teeth.astype(np.uint8), np.ones((size, size), np.uint8)), inner)
        rounded = np.clip(np.rint(mouth), 0, 255).astype(np.uint8)
        filled = cv2.inpaint(rounded, hole, 3, cv2.INPAINT_TELEA).astype(np.float32)
        y, x = np.mgrid[: mouth.shape[0], : mouth.shape[1]].astype(np.float32)
        seen = np.stack([x + corner[0], y + corner[1]], axis=-1)
        off = _along(seen, _bowed((placed[UPPER_INNER] + placed[LOWER_INNER]) / 2)) / iod_px
        seam = _SEAM * np.exp(-((off / max(_SEAM_IOD, self._blur_px / iod_px)) ** 2)) * (inner > 0)
        soft = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), self._blur_px)[..., None]
        return mouth + soft * (filled * (1 - seam[..., None]) - mouth)

    def _shaded(
        self,
        seen: np.ndarray,
        pose: HeadPoses,
        below_upper: np.ndarray,
        below_lower: np.ndarray,
        jaw_drop: float,
        bites: bool,
        soft: float,
    ) -> np.ndarray:
        """Return the colour (h, w, 3) of every pixel (h, w, 2).

        ``below_upper`` and ``below_lower`` (h, w) are how far it is below the edges of the lips, and ``soft`` half the
        width of an edge, all in IOD.
        """
        gap = np.maximum(below_upper - below_lower, 0)
        light = 0.7 + 0.3 * _step(float(gap.max()), _LIGHT_FROM_IOD, _LIGHT_AT_IOD)
        x, y = self._in_head(seen, pose, self._depth)
        drop = max(jaw_drop, 0.0)
        lower_x, lower_y = self._in_head(seen, pose, self._depth + _LOWER_BEHIND_IOD)
        lower_y = lower_y - drop
        inwards = np.clip(1 - (x / _DIM_AT_IOD) ** 2, 0.2, 1)[..., None]
        colors = self._colors
        color = colors.cavity * (0.7 + 0.6 * np.clip(below_upper / np.maximum(gap, 1e-3), 0, 1))[..., None]
        back = _LOWER_EDGE_IOD - _TONGUE_IOD * np.sqrt(np.clip(1 - (x / _TONGUE_HALF_WIDTH_IOD) ** 2, 0, 1))
        is_tongue = _step(lower_y - back, 0.0, 0.03) * _step(_TONGUE_HALF_WIDTH_IOD - np.abs(x), 0, 0.06)
        tongue = colors.tongue * (0.55 + 0.45 * _step(lower_y - back, 0.0, 0.07))[..., None] * inwards
        color = color + is_tongue[..., None] * _step(drop, 0.01, 0.05) * (tongue - color)
        teeth_light = _step(gap, *(_BITE * t if bites else t for t in (_TEETH_FROM_IOD, _TEETH_AT_IOD)))
        row = _teeth(lower_x, _LOWER_TEETH, soft)
        edge = _LOWER_EDGE_IOD - 0.15 * lower_x**2 + row.rounded
        is_lower = _step(lower_y - edge, -soft, soft) * _step(edge + _LOWER_CROWN_IOD - lower_y, -soft, soft)
        lower = colors.teeth * 0.55 * row.relief[..., None] * inwards
        color = color + (is_lower * teeth_light)[..., None] * (lower - color)
        row = _teeth(x, _UPPER_TEETH, soft)
        edge = _UPPER_EDGE_IOD - _UPPER_RISE * x**2 - row.rounded
        is_upper = _step(edge - y, -soft, soft)
        shadow = 0.72 + 0.28 * _step(below_upper, 0.0, _LIP_SHADOW_IOD)
        is_crown = _step(y - (edge - _CROWN_IOD), -2 * soft, 2 * soft)[..., None]
        upper = (colors.gum + is_crown * (colors.teeth * row.relief[..., None] - colors.gum)) * shadow[..., None]
        color = color + (is_upper * teeth_light)[..., None] * (upper * inwards - color)
        return color * light

    def _in_head(self, seen: np.ndarray, pose: HeadPoses, depth: float) -> tuple[np.ndarray, np.ndarray]:
        """Return where pixels (h, w, 2) lie on the arch, from the middle of the lip line, in mean mouths' IOD."""
        rotation = pose.rotation[0]
        inverse = np.linalg.inv(rotation[:2, :2])
        flat = (seen - pose.offset[0, :2]) / pose.scale[0]
        z = np.full(flat.shape[:2], depth)
        for _ in range(3):  # the arch is gentle: this converges at once
            point = (flat - z[..., None] * rotation[:2, 2]) @ inverse.T
            z = depth + _ARCH * np.clip(point[..., 0] - self._middle_x, -0.4, 0.4) ** 2
        return (point[..., 0] - self._middle_x) / self._size, (point[..., 1] - self._line_y) / self._size


@dataclass(frozen=True)
class _Row:
    """A row of teeth at some places (h, w)."""

    rounded: np.ndarray
    """How much shorter the tooth is here than in its middle, in IOD."""
    relief: np.ndarray
    """0-1 shade between the teeth."""


def _teeth(x: np.ndarray, meet: np.ndarray, soft: float) -> _Row:
    away = np.abs(x)
    number = np.clip(np.searchsorted(meet, away, side="right"), 1, len(meet) - 1)
    left, right = meet[number - 1], meet[number]
    across = np.clip((2 * away - left - right) / (right - left), -1, 1)
    to_groove = np.minimum(np.abs(away - left), np.abs(right - away))
    # Where a groove is narrower than a pixel it is as faint as it would be seen.
    width = max(_GROOVE_IOD, soft)
    groove = _GROOVE * _GROOVE_IOD / width * np.exp(-((to_groove / width) ** 2))
    return _Row(_ROUNDING_IOD * across**_CORNERS, 1 - groove - 0.08 * across**2)


def _step(value: np.ndarray | float, start: float, end: float) -> np.ndarray:
    """Return the smooth step from 0 at ``start`` to 1 at ``end``."""
    share = np.clip((np.asarray(value) - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


def _filled(ring: np.ndarray, shape: tuple[int, ...], blur_px: float) -> np.ndarray:
    """Return float32 (h, w) 0-1: how far pixels lie inside a closed contour (n, 2) px, blurred."""
    mask = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(ring * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(mask, (0, 0), blur_px).astype(np.float32) / 255


def _bowed(line: np.ndarray) -> np.ndarray:
    """Return a line (n, 2) as a parabola over its chord: the landmarks of lips that touch waver."""
    place = np.linspace(-1, 1, len(line))
    return np.polynomial.polynomial.polyval(place, np.polynomial.polynomial.polyfit(place, line, 2)).T


def _along(seen: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return how far pixels (h, w, 2) lie below a lip's edge (11, 2) that runs from corner to corner, in px."""
    across = (edge[-1] - edge[0]) / max(float(np.linalg.norm(edge[-1] - edge[0])), 1e-6)
    down = np.array([-across[1], across[0]])
    along, height = (edge - edge[0]) @ across, (edge - edge[0]) @ down
    order = np.argsort(along)
    own = seen - edge[0]
    return own @ down - np.interp(own @ across, along[order], height[order])
