"""A small mesh over the lower face that moves pixels from where they are to where they must be.

One triangulation, made once on the face turned to the camera; per frame every triangle is painted into an index image
and one affine map per triangle gives the place to sample (piecewise affine warp, one ``remap``). The border is pinned,
so the movement falls to nothing inside the mesh and no edge appears; the chin carries its contour along, and the skin
of the neck just below gives way.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay

from stages.lipsync.landmarks import INNER_RING, JAW_CONTOUR, LIPS, LOWER_FACE

_PINNED = np.array([1, 49, 279, 129, 358, 203, 423, 50, 280, 101, 330, 36, 266, 93, 323, 234, 454, 137, 366, 147, 376])
"""Nose, cheeks and ears: the upper border."""
_NECK_IOD = 0.42
"""How far below the chin, and beside the jaw, the picture stands still again."""
_TRIANGULATION_GAP_IOD = 0.08
"""The mouth is opened this far to be triangulated, so that the lips stay two sheets."""

_BESIDE_PX = 0.6
"""How far beside its triangle a pixel may be sampled: one on an edge may be painted as part of the other triangle."""


@dataclass(frozen=True)
class Mesh:
    """Vertices are LOWER_FACE, then the pinned points, then the ring below the jaw."""

    triangles: np.ndarray
    """int32 (t, 3), all turned the same way on the face that looks at the camera."""
    is_mouth: np.ndarray
    """bool (t,): triangles of the opening between the lips."""
    is_lips: np.ndarray
    """bool (t,): triangles that touch the lips, which may fold over as they close."""


def build_mesh(reference: np.ndarray) -> Mesh:
    """Triangulate a face (478, 3) in the head frame."""
    flat = reference[:, :2].copy()
    half = len(INNER_RING) // 2
    lower = INNER_RING[half + 1 :]
    profile = 1 - np.linspace(-1, 1, len(lower) + 2)[1:-1] ** 2
    opening = _TRIANGULATION_GAP_IOD - (reference[14, 1] - reference[13, 1])
    moved = LOWER_FACE[reference[LOWER_FACE, 1] > reference[14, 1]]
    flat[np.setdiff1d(moved, lower), 1] += max(opening, 0)
    flat[lower, 1] = np.maximum(flat[lower, 1], flat[INNER_RING[1:half][::-1], 1] + _TRIANGULATION_GAP_IOD * profile)
    points = vertices(flat, flat, 1.0)
    triangles = Delaunay(points).simplices.astype(np.int32)
    ring = {int(np.searchsorted(LOWER_FACE, point)) for point in INNER_RING}
    turned = _doubled_areas(points[triangles]) < 0
    triangles[turned] = triangles[turned][:, ::-1]
    is_mouth = np.array([all(int(v) in ring for v in triangle) for triangle in triangles])
    is_lips = np.asarray(np.isin(triangles, np.searchsorted(LOWER_FACE, LIPS)).any(axis=1))
    return Mesh(triangles, is_mouth, is_lips)


def vertices(moved: np.ndarray, landmarks: np.ndarray, iod_px: float) -> np.ndarray:
    """Return the mesh's vertices (v, 2): the lower face where it is ``moved`` to, the rest where the frame has it.

    Args:
        moved: (478, 2) px, only its lower face is read.
        landmarks: (478, 2) px of the frame that is drawn on.
        iod_px: length of the unit in it.
    """
    contour = landmarks[JAW_CONTOUR]
    outwards = contour - landmarks[1]
    outwards = outwards / np.linalg.norm(outwards, axis=1, keepdims=True)
    return np.concatenate([moved[LOWER_FACE], landmarks[_PINNED], contour + outwards * _NECK_IOD * iod_px])


def paint_triangles(mesh: Mesh, target: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return int32 (height, width): the triangle that covers each pixel, -1 outside; ``target`` is (v, 2) px."""
    painted = np.full((height, width), -1, dtype=np.int32)
    corners = np.rint(target[mesh.triangles] * 16).astype(np.int32)
    is_folded = ~mesh.is_lips & (_doubled_areas(target[mesh.triangles]) <= 0)
    low, high = corners.min(axis=1), corners.max(axis=1)
    is_inside = ((high >= -16) & (low <= np.array([width, height]) * 16)).all(axis=1)
    # Lips are painted after the opening, so that closing lips cover it, and skin after what a turned head hides.
    order = np.lexsort((np.arange(len(corners))[::-1], ~is_folded, ~mesh.is_mouth))
    for number in order[is_inside[order]].tolist():
        cv2.fillConvexPoly(painted, corners[number], number, lineType=cv2.LINE_8, shift=4)
    return painted


def sampling_map(
    mesh: Mesh, painted: np.ndarray, target: np.ndarray, source: np.ndarray, opening: np.ndarray | None = None
) -> np.ndarray:
    """Return float32 (h, w, 2): where each painted pixel is sampled in the source; elsewhere its own place.

    Args:
        mesh: the triangulation.
        painted: from :func:`paint_triangles`.
        target: (v, 2) vertices in the pixels of ``painted``.
        source: (v, 2) vertices in the pixels of the image to sample.
        opening: (v, 2) the same for the opening between the lips, where that is sampled elsewhere.
    """
    sampled = source[mesh.triangles]
    if opening is not None:
        sampled[mesh.is_mouth] = opening[mesh.triangles[mesh.is_mouth]]
    affine = _affine_maps(target[mesh.triangles], sampled)
    coefficients = np.concatenate([affine, np.array([[[1, 0, 0], [0, 1, 0]]])]).astype(np.float32)
    height, width = painted.shape
    beyond = np.full((1, 2), np.inf)
    low = np.concatenate([sampled.min(axis=1) - _BESIDE_PX, -beyond]).astype(np.float32)
    high = np.concatenate([sampled.max(axis=1) + _BESIDE_PX, beyond]).astype(np.float32)
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(height, dtype=np.float32)[:, None]
    place = np.empty((height, width, 2), dtype=np.float32)
    for axis in (0, 1):
        along_x, along_y, start = (column.take(painted, mode="wrap") for column in coefficients[:, axis].T)
        along_x *= x
        along_y *= y
        along_x += along_y
        np.add(along_x, start, out=place[..., axis])
        least, most = (bound[:, axis].take(painted, mode="wrap") for bound in (low, high))
        np.clip(place[..., axis], least, most, out=place[..., axis])
    return place


def _doubled_areas(triangles: np.ndarray) -> np.ndarray:
    """Return (t,): the signed areas of triangles (t, 3, 2), twice."""
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def displacement(
    mesh: Mesh, target: np.ndarray, source: np.ndarray, width: int, height: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 (height, width) twice: how far right and down of itself each pixel is sampled in the source.

    The map is evaluated at the middles of ``step`` x ``step`` px and interpolated between, which is exact inside a
    triangle; outside the mesh nothing is displaced. ``target`` and ``source`` are (v, 2) px.
    """
    columns, rows = -(-width // step), -(-height // step)
    to_cells = [(corners - (step - 1) / 2) / step for corners in (target, source)]
    painted = paint_triangles(mesh, to_cells[0], columns, rows)
    place = sampling_map(mesh, painted, *to_cells)
    place[..., 0] -= np.arange(columns, dtype=np.float32)[None]
    place[..., 1] -= np.arange(rows, dtype=np.float32)[:, None]
    place[painted < 0] = 0
    place *= step
    if step > 1:
        whole = (columns * step, rows * step)
        place = np.asarray(cv2.resize(place, whole, interpolation=cv2.INTER_LINEAR))[:height, :width]
    right, down = cv2.split(place)
    return right, down


def _affine_maps(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return (t, 2, 3): per triangle (t, 3, 2) the affine map target -> source; degenerate ones map to one corner."""
    ones = np.ones((*target.shape[:2], 1))
    system = np.concatenate([target, ones], axis=2)
    flat = np.abs(np.linalg.det(system)) < 1e-3
    system[flat] = np.eye(3)
    maps = np.linalg.solve(system, source).transpose(0, 2, 1)
    maps[flat] = 0
    maps[flat, :, 2] = source[flat, 0]
    return maps
