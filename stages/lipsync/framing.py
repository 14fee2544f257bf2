"""Upright crops of a face, as networks want them, and where they lie in the picture.

A crop follows the head, not the jaw: its frame is laid around the face's mean shape and moved, turned and scaled with
the rigid points, so that it neither shakes with the lips nor tells how far they are open.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stages.lipsync.composite import Box
from stages.lipsync.geometry import fit_poses
from stages.lipsync.landmarks import FACE_MESH_COUNT

_MOST_SAMPLES = 8
"""Per pixel of a crop, on each axis."""


@dataclass(frozen=True)
class Framing:
    """How a face is cut out."""

    size_px: int
    """Side of the crop."""
    top: float
    bottom: float
    side: float
    """What is shown above, below and on each side of the face mesh (hairline to chin), as a share of its height;
    negative: so much of it is left out."""
    keeps_aspect: bool
    """False: the frame is stretched to the square."""

    def to_picture(self, landmarks: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return float64 (n, 2, 3): the affine maps from a crop's pixels to the picture's.

        Args:
            landmarks: (n, 478, 3) px.
            reference: (478, 3) the same face in the head frame.
        """
        mesh = reference[:FACE_MESH_COUNT]
        low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
        height = high[1] - low[1]
        low = low - height * np.array([self.side, self.top])
        high = high + height * np.array([self.side, self.bottom])
        extent = np.full(2, (high - low).max()) if self.keeps_aspect else high - low
        middle = np.array([*(low + high) / 2, mesh[:, 2].mean()])
        poses = fit_poses(landmarks, reference)
        places = poses.to_picture(np.broadcast_to(middle, (len(landmarks), 1, 3)))[:, 0, :2]
        roll = np.arctan2(poses.rotation[:, 1, 0], poses.rotation[:, 0, 0])
        turned = np.stack([np.cos(roll), -np.sin(roll), np.sin(roll), np.cos(roll)], axis=1).reshape(-1, 2, 2)
        linear = turned * (poses.scale[:, None, None] * extent / self.size_px)
        offset = places - linear @ np.full(2, (self.size_px - 1) / 2)
        return np.concatenate([linear, offset[..., None]], axis=2)

    def cut(self, bgr: np.ndarray, to_picture: np.ndarray) -> np.ndarray:
        """Return the crop uint8 (size, size, 3) of a frame uint8 (h, w, 3); beyond its edges they are repeated."""
        samples = int(np.clip(np.rint(pixels_per_pixel(to_picture)), 1, _MOST_SAMPLES))
        finer = to_picture / [samples, samples, 1]
        finer[:, 2] += to_picture[:, :2] @ np.full(2, 0.5 / samples - 0.5)
        side = self.size_px * samples
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(bgr, finer, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(crop, (self.size_px, self.size_px), interpolation=cv2.INTER_AREA))


def pixels_per_pixel(to_picture: np.ndarray) -> float:
    """Return how many of the picture's pixels lie along one of the crop's."""
    return float(np.linalg.norm(to_picture[:, :2], axis=0).mean())


def laid(crop: np.ndarray, to_picture: np.ndarray, box: Box, beyond: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """Return a crop float32 (size, size, ...) as it lies in a box of the picture; ``beyond``: OpenCV's border type."""
    fewer = round(1 / pixels_per_pixel(to_picture))
    place = to_picture.copy()
    if fewer > 1:  # larger than the face is: no more than bilinear sampling can take
        size = crop.shape[0] // fewer
        scale = crop.shape[0] / size
        crop = np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA))
        place[:, :2] *= scale
        place[:, 2] += to_picture[:, :2] @ np.full(2, scale / 2 - 0.5)
    place[:, 2] -= (box.left, box.top)
    size_px = (box.right - box.left, box.bottom - box.top)
    return np.asarray(cv2.warpAffine(crop, place, size_px, flags=cv2.INTER_CUBIC, borderMode=beyond))
