"""One face's lips through the clip, in numbers: what the speaker's mouth does, whoever asks."""

from __future__ import annotations

import numpy as np

from stages.lipsync.articulation import features_of
from stages.lipsync.geometry import fit_poses, reference_face
from stages.lipsync.track_file import FaceStates

_REFERENCE_FRAMES = 60


def straight_face(states: FaceStates) -> np.ndarray:
    """Return the mean of the frames that look most straight at the camera."""
    straight = np.sort(np.argsort(np.abs(states.pose[:, :2]).sum(axis=1), kind="stable")[:_REFERENCE_FRAMES])
    return reference_face(np.concatenate([states.landmarks(row, row + 1) for row in straight]))


def measured(states: FaceStates, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features (k, 3) in IOD and the length of an IOD in px (k,)."""
    features, scales = [], []
    for _, block in states.blocks():
        poses = fit_poses(block, reference)
        features.append(features_of(poses.to_head(block)))
        scales.append(poses.scale)
    return np.concatenate(features), np.concatenate(scales)
