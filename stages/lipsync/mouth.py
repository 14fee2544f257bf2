"""One mouth drawn into one frame: where its points must be, the mesh, the retrieved pixels, the blend."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stages.lipsync.composite import (
    Box,
    Patch,
    blend_bands,
    box_around,
    keep_source,
    paste,
    rounded,
    soft_mask,
    spread_by_sampling,
)
from stages.lipsync.geometry import fit_poses
from stages.lipsync.interior import Interior, blur_px, palette
from stages.lipsync.landmarks import OUTER_RING
from stages.lipsync.library import MouthLibrary, color_gains, lip_color
from stages.lipsync.lips import Shown, opening_points, target_points
from stages.lipsync.plan import CLOSURE, LABIODENTAL, FacePlan
from stages.lipsync.warp import Mesh, build_mesh, displacement, paint_triangles, sampling_map, vertices

_GROW_IOD, _FEATHER_IOD = 0.07, 0.05
"""The retrieved mouth covers the lips grown by this, and fades over this."""
_SOFT_BELOW_IOD_PX = 80.0
"""In smaller faces cubic interpolation takes too much of what little detail a mouth has."""
_FINE_BELOW_IOD_PX = 100.0
"""In smaller faces the movement of the skin is evaluated in every pixel, in larger ones in every fourth."""


@dataclass
class MouthPainter:
    """Draws one face's planned mouth."""

    plan: FacePlan
    library: MouthLibrary

    def __post_init__(self) -> None:
        self._mesh: Mesh = build_mesh(self.plan.reference)
        self._behind: tuple[Interior, np.ndarray] | None = self._drawn() if self.plan.never_opens else None

    def _drawn(self) -> tuple[Interior, np.ndarray]:
        """Return who draws what lies behind the lips, and the skin colour (3,) that its colours go with."""
        library, plan = self.library, self.plan
        rows = library.rows
        skin, eyes = (np.median(seen[rows], axis=0) for seen in (library.skin, library.eyes))
        row = int(rows[len(rows) // 2])
        crop = library.crop(row)
        lips = lip_color(crop, plan.states.landmarks(row, row + 1)[0, :, :2])
        return Interior(palette(skin, eyes, lips), blur_px(crop.bgr), plan.reference, float(plan.reach.rest[2])), skin

    def wanted_points(self, row: int, target: np.ndarray, mouths: list[Shown]) -> np.ndarray:
        """Return the landmarks (478, 3) px of a row whose mouth shows aperture, width and jaw ``target`` (3,) IOD."""
        landmarks = self.plan.states.landmarks(row, row + 1)
        pose = fit_poses(landmarks, self.plan.reference)
        return pose.to_picture(target_points(self.plan, row, pose.to_head(landmarks)[0], mouths, target)[None])[0]

    def paint(
        self, frame: np.ndarray, row: int, asked: np.ndarray, mouths: list[Shown]
    ) -> tuple[np.ndarray, Patch, np.ndarray]:
        """Return the frame (uint8 (h, w, 3)) with the mouth of this row moved, what was changed, and to where.

        Args:
            frame: the source's picture.
            row: of the face's track.
            asked: (3,) aperture, width and jaw in IOD.
            mouths: the retrieved mouths that are shown.

        Returns:
            The frame, the patch, and the landmarks (478, 3) px that were drawn.
        """
        landmarks = self.plan.states.landmarks(row, row + 1)
        pose = fit_poses(landmarks, self.plan.reference)
        iod_px = float(pose.scale[0])
        points = target_points(self.plan, row, pose.to_head(landmarks)[0], mouths, asked)
        placed = pose.to_picture(points[None])[0]
        wanted = placed[:, :2]
        seen = landmarks[0, :, :2].astype(np.float64)
        source, target = vertices(seen, seen, iod_px), vertices(wanted, seen, iod_px)
        box = box_around(np.concatenate([source, target]), 2, frame.shape)
        origin = np.array([box.left, box.top])
        part = frame[box.top : box.bottom, box.left : box.right]
        step = 1 if iod_px < _FINE_BELOW_IOD_PX else 2
        height, width = part.shape[:2]
        right, down = displacement(self._mesh, target - origin, source - origin, width, height, step)
        moved = _is_moved(right, down)
        place = _places(right, down)
        skin = cv2.remap(part, *place, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        lips = wanted[OUTER_RING] - origin
        mouth, cover, inner = self._mouth(row, points, mouths, target - origin, lips, part.shape, iod_px)
        if self._behind is not None:
            interior, usual_skin = self._behind
            gains = color_gains(self.library.skin[row], usual_skin)
            corner, bites = origin + np.array([inner.left, inner.top]), self.plan.contacts[row] == LABIODENTAL
            if self.plan.contacts[row] == CLOSURE:
                mouth = interior.sealed(mouth, corner, wanted, iod_px)
            mouth = interior.over(mouth, corner, pose, wanted, float(asked[2]), bool(bites), gains)
        y, x = slice(inner.top, inner.bottom), slice(inner.left, inner.right)
        strength = min(1.0, 4 * float(self.plan.strength[row]))
        own = skin[y, x].astype(np.float32)
        blended = blend_bands(mouth, own, cover * strength)
        reach = np.clip(3 * cv2.GaussianBlur(cover, (0, 0), max(0.6, 0.01 * iod_px)), 0, 1)[..., None] * strength
        skin[y, x] = rounded(own + reach * (blended - own))
        moved[y, x] |= reach[..., 0] > 0
        opacity = np.zeros(moved.shape, dtype=np.float32)
        opacity[y, x] = cover * strength
        kept = self.plan.states.cover.kept(row, source - origin, moved.shape)
        if kept is not None:
            kept = spread_by_sampling(kept, *place)
            skin = keep_source(part, skin, kept)
            moved &= kept < 1
            opacity *= 1 - kept
        return paste(frame, box, skin, moved), Patch(box, moved, opacity), placed

    def _mouth(
        self,
        row: int,
        points: np.ndarray,
        mouths: list[Shown],
        target: np.ndarray,
        lips: np.ndarray,
        shape: tuple[int, ...],
        iod_px: float,
    ) -> tuple[np.ndarray, np.ndarray, Box]:
        """Return the retrieved mouth (h, w, 3) in its box inside a region of this shape, with its mask."""
        grow, feather = _GROW_IOD * iod_px, _FEATHER_IOD * iod_px
        inner = box_around(lips, grow + 2 * feather + 3, shape)
        origin = np.array([inner.left, inner.top])
        width, height = inner.right - inner.left, inner.bottom - inner.top
        painted = paint_triangles(self._mesh, target - origin, width, height)
        drawn = np.zeros((height, width, 3), dtype=np.float32)
        for mouth in mouths:
            drawn += mouth.weight * self._retrieved(row, points, mouth, painted, target - origin)
        return drawn, soft_mask(lips - origin, painted.shape, grow, feather), inner

    def _retrieved(
        self, row: int, points: np.ndarray, mouth: Shown, painted: np.ndarray, target: np.ndarray
    ) -> np.ndarray:
        crop = self.library.crop(mouth.row)
        corner = np.array([crop.left, crop.top])
        source = vertices(mouth.landmarks, mouth.landmarks, mouth.iod_px) - corner
        inside = vertices(opening_points(points, mouth), mouth.landmarks, mouth.iod_px) - corner
        place = sampling_map(self._mesh, painted, target, source, inside)
        kernel = cv2.INTER_LANCZOS4 if mouth.iod_px < _SOFT_BELOW_IOD_PX else cv2.INTER_CUBIC
        gains = color_gains(self.library.skin[row], self.library.skin[mouth.row])
        sampled = cv2.remap(crop.bgr, place[..., 0], place[..., 1], kernel, borderMode=cv2.BORDER_REPLICATE)
        return sampled * gains


def _places(right: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = right.shape
    return right + np.arange(width, dtype=np.float32)[None], down + np.arange(height, dtype=np.float32)[:, None]


def _is_moved(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(right), np.abs(down)) > 1 / 64
