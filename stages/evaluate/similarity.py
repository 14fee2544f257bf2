"""How alike two pictures of a mouth are: SSIM, PSNR, and the distance of their landmarks."""

from __future__ import annotations

import cv2
import numpy as np

_WINDOW_PX, _SIGMA_PX = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_ROUNDING_ERROR = 1 / 12
"""Mean square error of rounding to whole grey levels: equal pictures count as 59 dB, not as infinitely good."""
_FACE_PX = 256


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean structural similarity of two grey uint8 pictures (h, w), both sides at least 11.

    Source: Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment", with its own constants.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x, variance_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    likeness /= (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    edge = _WINDOW_PX // 2  # windows that reach over the edge do not count
    return float(likeness[edge : a.shape[0] - edge, edge : a.shape[1] - edge].mean())


def _smooth(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values, (_WINDOW_PX, _WINDOW_PX), _SIGMA_PX)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 pictures of one shape."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return float(10 * np.log10(255**2 / max(error, _ROUNDING_ERROR)))


def landmark_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean distance (px) of landmarks (n, 2), which are not aligned first.

    Source: the LMD of Chen et al. 2018, "Lip movements generation at a glance", which takes the mouths' positions away;
    here a mouth at the wrong place counts.
    """
    return float(np.linalg.norm(a - b, axis=1).mean())


def at_face_256(distance_px: float, face_px: float) -> float:
    """Return a distance as it would be if the square around the face had sides of 256 px."""
    return distance_px * _FACE_PX / face_px
