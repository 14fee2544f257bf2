"""Is there a visible line where the drawn pixels end?

Measured before encoding, along two lines: where the retrieved mouth has faded to half, and where the moved skin meets
the untouched picture. Across each, the brightness on one side is compared with that on the other; the same places in
the source say how much of it is the face itself.
"""

from __future__ import annotations

import cv2
import numpy as np

from stages.lipsync.composite import Patch

_REACH_IOD, _LEAST_REACH_PX = 0.02, 1.5
"""How far on either side of the line the brightness is read."""


class SeamMeter:
    """Mean step across the two lines, in the drawn frames and in the source's."""

    def __init__(self) -> None:
        self.frames = 0
        self._sums = {"mouth": np.zeros(2), "outline": np.zeros(2)}

    def look(self, drawn: np.ndarray, source: np.ndarray, patch: Patch, iod_px: float) -> None:
        """Add one frame: both versions are uint8 BGR (h, w, 3)."""
        box = patch.box
        grey = [
            cv2.cvtColor(bgr[box.top : box.bottom, box.left : box.right], cv2.COLOR_BGR2GRAY).astype(np.float32)
            for bgr in (drawn, source)
        ]
        reach = max(_LEAST_REACH_PX, _REACH_IOD * iod_px)
        self.frames += 1
        for name, mask in (("mouth", patch.cover), ("outline", patch.moved.astype(np.float32))):
            points, normals = _edge(mask, reach)
            if len(points):
                self._sums[name] += [_step(each, points, reach * normals) for each in grey]

    def steps(self, name: str) -> tuple[float, float]:
        """Return the mean step (grey levels) in the drawn frames and in the source along ``mouth`` or ``outline``."""
        drawn, source = self._sums[name] / max(1, self.frames)
        return float(drawn), float(source)


def _edge(mask: np.ndarray, blur_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (n, 2) of the line on which the mask falls to half its height, and unit normals."""
    inside = (mask >= mask.max() / 2).astype(np.uint8) if mask.max() > 0 else np.zeros(mask.shape, np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.zeros((0, 2)), np.zeros((0, 2))
    points = max(contours, key=len)[:, 0]
    # The mask ends inside its box, except at the picture's own edge, where there is no seam.
    height, width = mask.shape
    within = (points > 0).all(axis=1) & (points[:, 0] < width - 1) & (points[:, 1] < height - 1)
    points = points[within]
    soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), blur_px)
    slope = np.stack([cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)], axis=-1)
    normals = slope[points[:, 1], points[:, 0]]
    return points.astype(np.float32), normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)


def _step(grey: np.ndarray, points: np.ndarray, offsets: np.ndarray) -> float:
    sides = [(points + sign * offsets).astype(np.float32)[:, None] for sign in (1, -1)]
    inner, outer = (
        cv2.remap(grey, side[..., 0], side[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for side in sides
    )
    return float(np.abs(inner - outer).mean())
