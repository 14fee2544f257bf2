"""Things in front of one face, frame by frame: found once as cells of its chart, laid over the picture when drawn.

A thing keeps its own pixels. So that no rim of it moves and none of it comes and goes, it is taken a little larger
than it was found, and longer, with a soft edge in both.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, maximum_filter1d

from stages.lipsync.chart import make_chart
from stages.lipsync.landmarks import LOWER_FACE
from stages.lipsync.occlusion import Sights

_KEPT_CELLS, _SOFT_CELLS = 1.0, 1.0
"""Around the covered cells the picture is kept in full this far, and falls off over this."""
_LEANS, _MOST_LEANING_CELLS = 0.7, 3.0
"""Below the jaw nobody looks for things: there they go on as at the jaw line, wider by this per cell, up to that."""
_KEPT_BY_FRAMES_AWAY = (1.0, 1.0, 0.5)
"""How far the picture is kept beside frames in which something was found."""
_MOUTH_CELLS = 4
"""Skin around the lips that a retrieved mouth brings along."""


class Cover:
    """What lies in front of one face in its k frames."""

    def __init__(self, sights: Sights, frames: np.ndarray) -> None:
        """``frames`` (k,) are the face's frames in the clip."""
        self._chart = make_chart(sights.chart_face)
        self._frames = frames
        is_face = self._chart.is_face
        below_jaw = distance_transform_edt(~binary_fill_holes(is_face))
        self._margin: np.ndarray = _KEPT_CELLS + np.minimum(_LEANS * below_jaw, _MOST_LEANING_CELLS)
        self._nearest = tuple(distance_transform_edt(~is_face, return_distances=False, return_indices=True))
        self._found = dict(zip(sights.covered_rows.tolist(), sights.covered, strict=True))
        is_lips = self._chart.is_lips
        size = 2 * _MOUTH_CELLS + 1
        is_mouth = cv2.dilate(is_lips.astype(np.uint8), np.ones((size, size), dtype=np.uint8)) > 0
        self.hidden_lips = np.zeros(len(frames), dtype=np.float32)
        """(k,): share of the lips that lies behind something."""
        touched = np.zeros(len(frames), dtype=bool)
        for row in self._found:
            cells = self._cells(row)
            self.hidden_lips[row] = cells[is_lips].mean()
            touched[row] = cells[is_mouth].any()
        self.touches_mouth: np.ndarray = maximum_filter1d(touched, 3)
        """bool (k,): something lies in front of the mouth or right beside it."""

    def kept_cells(self, row: int) -> np.ndarray | None:
        """Return float32 (h, w) 0-1 over the chart: how far the frame's own pixels stay; None where nothing covers."""
        kept: np.ndarray | None = None
        reach = len(_KEPT_BY_FRAMES_AWAY) - 1
        for near in range(max(0, row - reach), min(len(self._frames), row + reach + 1)):
            away = abs(int(self._frames[near]) - int(self._frames[row]))
            if near in self._found and away <= reach:
                share = _KEPT_BY_FRAMES_AWAY[away] * self._softened(self._cells(near))
                kept = share if kept is None else np.maximum(kept, share)
        return kept

    def kept(self, row: int, corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
        """Return the same over a picture of this shape in which the mesh's vertices are at ``corners`` (v, 2) px."""
        cells = self.kept_cells(row)
        return None if cells is None else self._chart.give(cells, corners, shape)

    def is_seen(self, row: int, points: np.ndarray) -> np.ndarray:
        """Return bool (n,): landmarks (n,) of the lower face that nothing lies in front of."""
        cells = self.kept_cells(row)
        if cells is None:
            return np.ones(len(points), dtype=bool)
        x, y = np.rint(self._chart.places[np.searchsorted(LOWER_FACE, points)]).astype(int).T
        return cells[np.clip(y, 0, cells.shape[0] - 1), np.clip(x, 0, cells.shape[1] - 1)] == 0

    def _cells(self, row: int) -> np.ndarray:
        """Return bool (h, w): the covered cells; outside the face, as between the lips, what its nearest cell says."""
        is_face = self._chart.is_face
        cells = np.unpackbits(self._found[row], count=is_face.size).reshape(is_face.shape) > 0
        return cells[self._nearest]

    def _softened(self, cells: np.ndarray) -> np.ndarray:
        away: np.ndarray = distance_transform_edt(~cells)
        return np.clip((self._margin + _SOFT_CELLS - away) / _SOFT_CELLS, 0, 1).astype(np.float32)
