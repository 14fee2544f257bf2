"""Lips of a drawn face brought together where the sounds need it: the mesh moves what is there."""

from __future__ import annotations

import cv2
import numpy as np

from stages.lipsync.composite import Box
from stages.lipsync.geometry import fit_poses
from stages.lipsync.lips import keep_thickness, set_gap
from stages.lipsync.plan import LABIODENTAL, FacePlan
from stages.lipsync.warp import Mesh, displacement, vertices

_STILL_PX = 1 / 64


def brought_together(
    plan: FacePlan, mesh: Mesh, row: int, bgr: np.ndarray, box: Box, read: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a part of a frame with the lips where this row's contact wants them, and which pixels moved.

    On f v the upper lip stays and leaves the teeth free.

    Args:
        plan: its ``target`` says how narrow the gap must be.
        mesh: of the plan's reference face.
        row: of the face's track.
        bgr: uint8 (h, w, 3) over the box.
        box: where it lies.
        read: (478, 3) px, the landmarks as tracked in it.

    Returns:
        uint8 (h, w, 3) and bool (h, w).
    """
    pose = fit_poses(read[None], plan.reference)
    head = pose.to_head(read[None])[0]
    set_gap(head, max(0.0, float(plan.target[row, 0])), 0.0 if plan.contacts[row] == LABIODENTAL else 0.5)
    keep_thickness(head, plan.reference)
    iod_px = float(pose.scale[0])
    seen, wanted = read[:, :2].astype(np.float64), pose.to_picture(head[None])[0, :, :2]
    origin = np.array([box.left, box.top])
    source, target = vertices(seen, seen, iod_px) - origin, vertices(wanted, seen, iod_px) - origin
    height, width = bgr.shape[:2]
    right, down = displacement(mesh, target, source, width, height, 1)
    moved = np.maximum(np.abs(right), np.abs(down)) > _STILL_PX
    right += np.arange(width, dtype=np.float32)[None]
    down += np.arange(height, dtype=np.float32)[:, None]
    closed = cv2.remap(bgr, right, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.where(moved[..., None], closed, bgr), moved
