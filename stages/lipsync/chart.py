"""The chart of a lower face: a small picture in which the landmarks always lie at the same places."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stages.lipsync.geometry import picture_iod_px
from stages.lipsync.landmarks import JAW_CONTOUR, LOWER_FACE, OUTER_RING
from stages.lipsync.warp import Mesh, build_mesh, paint_triangles, sampling_map, vertices

_WIDTH_CELLS = 48


@dataclass(frozen=True)
class Chart:
    """Cells (h, w) from below one ear to the other and from the nose to the chin."""

    mesh: Mesh
    places: np.ndarray
    """(v, 2) where the mesh's vertices lie, in cells."""
    painted: np.ndarray
    """int32 (h, w): the triangle of each cell."""
    is_face: np.ndarray
    """bool (h, w): inside the jaw line, without the opening between the lips."""
    is_lips: np.ndarray
    """bool (h, w): the red of the lips."""

    def take(self, bgr: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Return uint8 (h, w, 3): what a frame shows of the face with landmarks (478, 3) px."""
        seen = landmarks[:, :2].astype(np.float64)
        source = vertices(seen, seen, float(picture_iod_px(landmarks)))
        place = sampling_map(self.mesh, self.painted, self.places, source)
        return cv2.remap(bgr, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def give(self, cells: np.ndarray, corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return cells float32 (h, w) as they lie in a picture of this shape with the vertices ``corners`` (v, 2) px.

        Beside the chart its nearest cell counts: what lies over the jaw line also lies over the neck below it.
        """
        painted = paint_triangles(self.mesh, corners, shape[1], shape[0])
        place = sampling_map(self.mesh, painted, corners, self.places)
        given = cv2.remap(cells, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.where(painted >= 0, given, np.float32(0))


def make_chart(reference: np.ndarray) -> Chart:
    """Lay out the lower face of a face (478, 3) in the head frame."""
    mesh = build_mesh(reference)
    flat = reference[:, :2]
    low, high = flat[LOWER_FACE].min(axis=0), flat[LOWER_FACE].max(axis=0)
    scale = _WIDTH_CELLS / (high[0] - low[0])
    places = (vertices(flat, flat, 1.0) - low) * scale
    height = int(np.ceil((high[1] - low[1]) * scale))
    painted = paint_triangles(mesh, places, _WIDTH_CELLS, height)
    inside, lips = np.zeros((2, *painted.shape), dtype=np.uint8)
    cv2.fillPoly(inside, [np.rint((flat[JAW_CONTOUR] - low) * scale).astype(np.int32)], 1)
    cv2.fillPoly(lips, [np.rint((flat[OUTER_RING] - low) * scale).astype(np.int32)], 1)
    is_face = (inside > 0) & (painted >= 0) & ~mesh.is_mouth[np.maximum(painted, 0)]
    return Chart(mesh, places, painted, is_face, (lips > 0) & is_face)
