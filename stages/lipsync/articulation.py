"""How this speaker's lower face moves: landmarks as a linear function of aperture, width and jaw.

A ridge regression over the clip's own frames that shrinks to a generic mouth where the clip shows little:
``(n * measured + 8 * prior) / (n + 8)`` in the directions that the clip varies in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.lipsync.geometry import aperture_iod, jaw_iod, width_iod
from stages.lipsync.landmarks import CHIN, LIP_ROWS, LIPS, LOWER_FACE, MOUTH_CORNERS, UPPER_LIP

FEATURES = ("aperture", "width", "jaw")
_TYPICAL_RANGE_IOD = np.array([0.15, 0.1, 0.08])
_PRIOR_WEIGHT = 8.0
_ROW_DEGREE = 4
"""Degree of the polynomial along a row of lip points: an arch and a bow, no zigzag."""


@dataclass(frozen=True)
class Articulation:
    """``points = mean + (features - center) @ slopes`` in the head frame."""

    mean: np.ndarray
    """float64 (m, 3) IOD, m points of :data:`LOWER_FACE`."""
    center: np.ndarray
    """float64 (3,) IOD."""
    slopes: np.ndarray
    """float64 (3, m, 3)."""

    def points(self, features: np.ndarray) -> np.ndarray:
        """Return the lower face (n, m, 3) for features (n, 3) IOD."""
        return self.mean + np.einsum("nf,fmc->nmc", features - self.center, self.slopes)


def features_of(faces: np.ndarray) -> np.ndarray:
    """Return aperture, width and jaw (n, 3) of faces (n, 478, 3) in the head frame."""
    return np.stack([aperture_iod(faces), width_iod(faces), jaw_iod(faces)], axis=-1)


def learn(faces: np.ndarray) -> Articulation:
    """Fit the model to frames of one speaker, (n, 478, 3) in the head frame."""
    features, points = features_of(faces), faces[:, LOWER_FACE].astype(np.float64)
    center, mean = features.mean(axis=0), points.mean(axis=0)
    prior = generic_slopes(mean)
    scaled = (features - center) / _TYPICAL_RANGE_IOD
    unexplained = points - mean - np.einsum("nf,fmc->nmc", features - center, prior)
    gram = scaled.T @ scaled + _PRIOR_WEIGHT * np.eye(len(FEATURES))
    fitted = np.linalg.solve(gram, scaled.T @ unexplained.reshape(len(points), -1))
    slopes = prior + (fitted / _TYPICAL_RANGE_IOD[:, None]).reshape(prior.shape)
    return Articulation(mean, center, _smooth_along_lips(slopes))


def generic(faces: np.ndarray) -> Articulation:
    """Return the model of a mouth of which nothing can be learnt, because it never moves in its frames (n, 478, 3)."""
    mean = faces[:, LOWER_FACE].astype(np.float64).mean(axis=0)
    return Articulation(mean, features_of(faces).mean(axis=0), _smooth_along_lips(generic_slopes(mean)))


def _smooth_along_lips(slopes: np.ndarray) -> np.ndarray:
    """Return slopes (3, m, 3) in which neighbours along each row of lip points move alike."""
    smooth = slopes.copy()
    for points in LIP_ROWS:
        rows = np.searchsorted(LOWER_FACE, points)
        along = np.linspace(-1, 1, len(rows))
        basis = np.polynomial.legendre.legvander(along, _ROW_DEGREE)
        smooth[:, rows] = np.einsum("ab,fbc->fac", basis @ np.linalg.pinv(basis), slopes[:, rows])
    return smooth


def generic_slopes(mean: np.ndarray) -> np.ndarray:
    """Return how a generic mouth moves, (3, m, 3), around a mean lower face (m, 3) in the head frame.

    Opening moves the lower lip by three quarters and the upper lip by one; width moves both corners evenly; the jaw
    takes the chin down, fading to nothing at the lips and towards the ears.
    """
    index = {int(point): row for row, point in enumerate(LOWER_FACE)}
    corners = mean[[index[c] for c in MOUTH_CORNERS]]
    middle, half_width = corners.mean(axis=0), np.linalg.norm(corners[1] - corners[0]) / 2
    x, y = ((mean - middle)[:, axis] / half_width for axis in (0, 1))
    chin_y = y[index[CHIN]]
    across = np.sqrt(np.clip(1 - (x / 1.15) ** 2, 0, 1))
    near_lips = np.where(np.isin(LOWER_FACE, LIPS), 1.0, np.exp(-((np.abs(y) / 0.9) ** 2)))
    slopes = np.zeros((3, len(mean), 3))
    lip_line = (mean[index[13], 1] + mean[index[14], 1] - 2 * middle[1]) / (2 * half_width)
    is_upper = np.isin(LOWER_FACE, UPPER_LIP) | (~np.isin(LOWER_FACE, LIPS) & (y < lip_line))
    slopes[0, :, 1] = np.where(is_upper, -0.25, 0.75) * across * near_lips
    slopes[1, :, 0] = 0.5 * np.clip(x, -1, 1) * near_lips
    slopes[2, :, 1] = np.clip(y / chin_y, 0, 1) ** 1.5 * np.exp(-((x / 1.8) ** 2)) * ~np.isin(LOWER_FACE, LIPS)
    return slopes
