"""The mouth in the head's own frame: a rigid fit takes the pose away, lengths are in inter-ocular distances (IOD).

Head frame: origin at the centroid of the rigid points, x to the face's left ear as seen in the picture (rightwards),
y down, z away from the camera; one unit is the distance of the outer eye corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.lipsync.landmarks import (
    CHIN,
    GAP_PAIRS,
    MOUTH_CORNERS,
    NOSE_BASE,
    OUTER_EYE_CORNERS,
    RIGID,
)


@dataclass(frozen=True)
class HeadPoses:
    """Similarity transforms head frame -> picture, one per frame."""

    scale: np.ndarray
    """float64 (n,): px per IOD."""
    rotation: np.ndarray
    """float64 (n, 3, 3)."""
    offset: np.ndarray
    """float64 (n, 3) px: where the head frame's origin lies."""

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Map (n, m, 3) IOD to px."""
        return self.scale[:, None, None] * points @ self.rotation.transpose(0, 2, 1) + self.offset[:, None]

    def to_head(self, points: np.ndarray) -> np.ndarray:
        """Map (n, m, 3) px to IOD."""
        return (points - self.offset[:, None]) @ self.rotation / self.scale[:, None, None]


def reference_face(landmarks: np.ndarray) -> np.ndarray:
    """Return the mean face of some frames (n, 478, 3) px, turned to the camera, in the head frame: (478, 3) IOD.

    Axes from the face itself: x along the outer eye corners, y from the eyes to the corners of the mouth.
    """
    faces = []
    for points in landmarks.astype(np.float64):
        left, right = points[OUTER_EYE_CORNERS[0]], points[OUTER_EYE_CORNERS[1]]
        iod = np.linalg.norm(right - left)
        x = (right - left) / iod
        down = points[list(MOUTH_CORNERS)].mean(axis=0) - (left + right) / 2
        y = down - (down @ x) * x
        y /= np.linalg.norm(y)
        turned = points @ np.stack([x, y, np.cross(x, y)]).T / iod
        faces.append(turned - turned[RIGID].mean(axis=0))
    return np.mean(faces, axis=0)


def fit_poses(landmarks: np.ndarray, reference: np.ndarray) -> HeadPoses:
    """Fit the rigid points of every frame (n, 478, 3) px to the reference face (478, 3) IOD, in least squares.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
    """
    model = reference[RIGID]
    center = model.mean(axis=0)
    seen = landmarks[:, RIGID].astype(np.float64)
    seen_center = seen.mean(axis=1, keepdims=True)
    u, strengths, vt = np.linalg.svd((seen - seen_center).transpose(0, 2, 1) @ (model - center))
    signs = np.ones_like(strengths)
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * signs[:, None]) @ vt
    scale = (strengths * signs).sum(axis=1) / ((model - center) ** 2).sum()
    offset = seen_center[:, 0] - scale[:, None] * (rotation @ center)
    return HeadPoses(scale, rotation, offset)


def aperture_iod(points: np.ndarray) -> np.ndarray:
    """Return the inner lip gap of faces (..., 478, 3) in the head frame: mean of three pairs, vertical, not below 0."""
    gaps = points[..., GAP_PAIRS[:, 1], 1] - points[..., GAP_PAIRS[:, 0], 1]
    return np.maximum(gaps.mean(axis=-1), 0.0)


def width_iod(points: np.ndarray) -> np.ndarray:
    """Return the distance of the corners of the mouth of faces (..., 478, 3) in the head frame."""
    left, right = MOUTH_CORNERS
    return np.linalg.norm(points[..., right, :2] - points[..., left, :2], axis=-1)


def jaw_iod(points: np.ndarray) -> np.ndarray:
    """Return how far the chin is below the nose base, of faces (..., 478, 3) in the head frame."""
    return points[..., CHIN, 1] - points[..., NOSE_BASE, 1]


def picture_gap_iod(landmarks: np.ndarray) -> np.ndarray:
    """Return the inner gap as measured in the picture, (..., 478, 3) px: mean distance of the pairs over IOD."""
    pairs = landmarks[..., GAP_PAIRS, :2]
    gaps = np.linalg.norm(pairs[..., 1, :] - pairs[..., 0, :], axis=-1).mean(axis=-1)
    return gaps / picture_iod_px(landmarks)


def picture_width_iod(landmarks: np.ndarray) -> np.ndarray:
    """Return the distance of the corners of the mouth as measured in the picture, (..., 478, 3) px, over IOD."""
    left, right = MOUTH_CORNERS
    return np.linalg.norm(landmarks[..., right, :2] - landmarks[..., left, :2], axis=-1) / picture_iod_px(landmarks)


def picture_iod_px(landmarks: np.ndarray) -> np.ndarray:
    """Return the distance of the outer eye corners in the picture, (..., 478, 3) px."""
    left, right = OUTER_EYE_CORNERS
    return np.linalg.norm(landmarks[..., right, :2] - landmarks[..., left, :2], axis=-1)
