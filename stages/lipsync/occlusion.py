"""Is the lower face hidden? Every sight of it is compared with what this face usually looks like.

Each frame's lower face is brought into one small chart in which the landmarks always lie at the same places. Under a
hand or a microphone landmarks are guessed on, plausibly, but what then lies in the chart is not the face: lightness and
red-green no longer follow the chart's median over the face's frames. Correlation asks for the pattern only, so that
neither light nor the colour of the thing (a hand has the face's own) matters; the opening between the lips is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from stages.lipsync.geometry import picture_iod_px, reference_face
from stages.lipsync.landmarks import JAW_CONTOUR, LOWER_FACE
from stages.lipsync.warp import Mesh, build_mesh, paint_triangles, sampling_map, vertices

_WIDTH_PX = 48
_MEDIAN_FRAMES = 300
"""Frames, at even distances, that tell what the face usually looks like; it must be free in half of them."""
_BLOCK_FRAMES = 500
HIDDEN_BELOW = 0.65
"""Likeness of a hidden face; of untouched real clips, low-resolution ones included, no frame was below .67."""
_SHORTEST_FRAMES, _BRIDGED_FRAMES, _MARGIN_FRAMES = 2, 8, 3


class _Chart(NamedTuple):
    mesh: Mesh
    places: np.ndarray
    """(v, 2) px."""
    painted: np.ndarray
    """int32 (h, w)."""
    is_face: np.ndarray
    """bool (h, w)."""


class SightWriter:
    """Collects charts per face in temporary files of ``folder``; :meth:`likeness` reads them back and removes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._charts: dict[int, _Chart] = {}
        self._files: dict[int, BinaryIO] = {}

    def add(self, face: int, bgr: np.ndarray, landmarks: np.ndarray) -> None:
        """Append what a frame (uint8 (h, w, 3)) shows of a face with landmarks (478, 3) px."""
        if face not in self._charts:
            self._charts[face] = _chart(reference_face(landmarks[None]))
            self._files[face] = self._path(face).open("w+b")
        chart = self._charts[face]
        seen = landmarks[:, :2].astype(np.float64)
        source = vertices(seen, seen, float(picture_iod_px(landmarks)))
        place = sampling_map(chart.mesh, chart.painted, chart.places, source)
        shown = cv2.remap(bgr, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._files[face].write(cv2.cvtColor(shown, cv2.COLOR_BGR2LAB)[chart.is_face][:, :2].tobytes())

    def likeness(self, face: int) -> np.ndarray:
        """Return float32 (k,): how like its usual self the face is in each of its frames, at most 1."""
        points = int(self._charts[face].is_face.sum())
        self._files.pop(face).close()
        charts = np.memmap(self._path(face), np.uint8, mode="r").reshape(-1, points, 2)
        step = max(1, -(-len(charts) // _MEDIAN_FRAMES))
        usual = _centered(np.median(charts[::step], axis=0)[None])
        blocks = (_centered(charts[a : a + _BLOCK_FRAMES]) for a in range(0, len(charts), _BLOCK_FRAMES))
        likeness = np.concatenate([(block * usual).sum(axis=1).mean(axis=1) for block in blocks])
        del charts
        self._path(face).unlink()
        return likeness.astype(np.float32)

    def _path(self, face: int) -> Path:
        return self._folder / f".sights_{face}.u1"


def hidden_frames(likeness: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return bool (k,): the frames in which the lower face is hidden, or something is about to hide it.

    A single frame is noise; a few frames between hidden ones are hidden as well.

    Args:
        likeness: (k,) of :meth:`SightWriter.likeness`.
        frames: (k,) their numbers in the clip.
    """
    hidden = np.zeros(len(likeness), dtype=bool)
    low = likeness < HIDDEN_BELOW
    numbers = frames[low]
    if len(numbers) == 0:
        return hidden
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > _BRIDGED_FRAMES) + 1):
        if len(run) >= _SHORTEST_FRAMES:
            hidden |= (frames >= run[0] - _MARGIN_FRAMES) & (frames <= run[-1] + _MARGIN_FRAMES)
    return hidden


def _chart(reference: np.ndarray) -> _Chart:
    """Lay out the lower face of a face (478, 3) in the head frame."""
    mesh = build_mesh(reference)
    flat = reference[:, :2]
    low, high = flat[LOWER_FACE].min(axis=0), flat[LOWER_FACE].max(axis=0)
    scale = _WIDTH_PX / (high[0] - low[0])
    places = (vertices(flat, flat, 1.0) - low) * scale
    height = int(np.ceil((high[1] - low[1]) * scale))
    painted = paint_triangles(mesh, places, _WIDTH_PX, height)
    inside = np.zeros(painted.shape, dtype=np.uint8)
    cv2.fillPoly(inside, [np.rint((flat[JAW_CONTOUR] - low) * scale).astype(np.int32)], 1)
    is_face = (inside > 0) & (painted >= 0) & ~mesh.is_mouth[np.maximum(painted, 0)]
    return _Chart(mesh, places, painted, is_face)


def _centered(charts: np.ndarray) -> np.ndarray:
    """Return charts (n, points, 2) as float32 with mean 0 and length 1 per channel."""
    values = charts.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    lengths: np.ndarray = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(lengths, 1e-6)
