"""The clip's own mouths: crops of one face's lower part on disk, and the skin colour of every frame.

One pass over the clip fills the libraries of all faces that speak. Crops lie in a temporary file, so memory does not
grow with the clip; for long clips, runs of neighbouring frames are taken at even distances.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from stages.lipsync.geometry import picture_gap_iod, picture_iod_px
from stages.lipsync.landmarks import EYE_RINGS, GAP_PAIRS, LIPS, LOWER_MIDDLE, UPPER_MIDDLE

_MARGIN_IOD = 0.3
"""Skin around the lips that a crop holds."""
_RUN_FRAMES = 25
_TEETH_GAP_IOD = 0.025
SKIN = np.array([164, 167, 393, 92, 322, 57, 287, 43, 273, 106, 335, 83, 18, 313, 212, 432])
"""Points around the mouth whose colour stands for the light on it."""


class Crop(NamedTuple):
    """Pixels of one source frame around the mouth."""

    bgr: np.ndarray
    """uint8 (h, w, 3)."""
    left: int
    top: int
    """Where its first pixel lies in the picture."""


@dataclass
class _Entry:
    position: int
    shape: tuple[int, int, int]
    left: int
    top: int


class MouthLibrary:
    """Mouth crops of one face, by row of its track. :meth:`close` removes the file, unless it is to be kept."""

    def __init__(self, path: Path, rows: np.ndarray, track_rows: int, is_kept: bool = False) -> None:
        self.rows = rows
        """int (n,): which rows of the face's track are kept, ascending."""
        self.skin = np.zeros((track_rows, 3), dtype=np.float32)
        """(k, 3): mean BGR of the skin around the mouth in every row."""
        self.eyes = np.zeros((track_rows, 3), dtype=np.float32)
        """(k, 3): mean BGR of the brighter part of the eyes: their whites."""
        self.teeth = np.zeros(track_rows, dtype=np.float32)
        """(k,) 0-1: how bright it is under the upper lip, against the skin: 1 where teeth are seen there."""
        self._kept = set(rows.tolist())
        self._path, self._is_kept = path, is_kept
        self._file = path.open("a+b")
        self._entries: dict[int, _Entry] = {}

    @classmethod
    def reopened(cls, path: Path, index: Mapping[str, np.ndarray]) -> MouthLibrary:
        """Open a library that was kept, with its :meth:`index`."""
        library = cls(path, index["rows"], len(index["teeth"]), is_kept=True)
        library.skin, library.eyes, library.teeth = index["skin"], index["eyes"], index["teeth"]
        for row, place in zip(index["rows"].tolist(), index["places"].tolist(), strict=True):
            position, height, width, left, top = place
            library._entries[row] = _Entry(position, (height, width, 3), left, top)
        return library

    def index(self) -> dict[str, np.ndarray]:
        """Return all but the crops: ``rows``, ``skin``, ``eyes``, ``teeth``, and where each crop lies, ``places``."""
        entries = [self._entries[row] for row in self.rows.tolist()]
        places = [(entry.position, *entry.shape[:2], entry.left, entry.top) for entry in entries]
        seen = {"skin": self.skin, "eyes": self.eyes, "teeth": self.teeth}
        return {"rows": self.rows, **seen, "places": np.array(places, dtype=np.int64)}

    def add(self, row: int, bgr: np.ndarray, landmarks: np.ndarray, seen: np.ndarray) -> None:
        """Take what is needed of a frame (uint8 (h, w, 3)) with the face's landmarks (478, 3) px.

        ``seen``, bool (16,), says which of the :data:`SKIN` points nothing lies in front of.
        """
        self.skin[row] = skin_color(bgr, landmarks, seen)
        self.eyes[row] = eye_whites(bgr, landmarks, self.skin[row])
        self.teeth[row] = teeth_seen(bgr, landmarks, float(self.skin[row].mean()))
        if row not in self._kept:
            return
        height, width = bgr.shape[:2]
        margin = _MARGIN_IOD * float(picture_iod_px(landmarks))
        low = np.clip(landmarks[LIPS, :2].min(axis=0) - margin, 0, [width - 2, height - 2]).astype(int)
        high = np.clip(landmarks[LIPS, :2].max(axis=0) + margin, low + 2, [width, height]).astype(int)
        crop = np.ascontiguousarray(bgr[low[1] : high[1], low[0] : high[0]])
        self._entries[row] = _Entry(self._file.seek(0, 2), crop.shape, int(low[0]), int(low[1]))
        self._file.write(crop.tobytes())

    def crop(self, row: int) -> Crop:
        """Return the crop of one kept row; several threads may ask."""
        entry = self._entries[row]
        data = os.pread(self._file.fileno(), int(np.prod(entry.shape)), entry.position)
        return Crop(np.frombuffer(data, np.uint8).reshape(entry.shape), entry.left, entry.top)

    def flush(self) -> None:
        """Make everything that was added readable."""
        self._file.flush()

    def close(self) -> None:
        """Forget the crops, or close their file where it is kept."""
        self._file.close()
        if not self._is_kept:
            self._path.unlink()


def chosen_rows(usable: np.ndarray, shot: np.ndarray, limit: int) -> np.ndarray:
    """Return about ``limit`` of the usable rows: all, or runs of neighbours at even distances.

    Every shot keeps two runs, because mouths of other shots need not be alike enough to serve it.

    Args:
        usable: int (n,) rows, ascending.
        shot: int (n,) the shot of each.
        limit: most rows that are kept, but for short shots.
    """
    if len(usable) <= limit:
        return usable
    kept = []
    for rows in np.split(usable, np.flatnonzero(np.diff(shot)) + 1):
        share = max(2, limit * len(rows) // len(usable) // _RUN_FRAMES)
        runs = np.array_split(rows, max(1, len(rows) // _RUN_FRAMES))
        taken = np.unique(np.linspace(0, len(runs) - 1, share).round().astype(int))
        kept += [runs[run][:_RUN_FRAMES] for run in taken]
    return np.concatenate(kept)


def skin_color(bgr: np.ndarray, landmarks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the mean BGR of 5x5 px around those :data:`SKIN` points that are ``seen``, bool (16,); else around all."""
    height, width = bgr.shape[:2]
    points = SKIN[seen] if seen.any() else SKIN
    x = np.clip(np.rint(landmarks[points, 0]).astype(int), 2, width - 3)
    y = np.clip(np.rint(landmarks[points, 1]).astype(int), 2, height - 3)
    offsets_y, offsets_x = np.mgrid[-2:3, -2:3].reshape(2, -1)
    pixels = bgr[y[:, None] + offsets_y, x[:, None] + offsets_x]
    return pixels.reshape(-1, 3).mean(axis=0)


def eye_whites(bgr: np.ndarray, landmarks: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Return the mean BGR of what is brightest inside the eyes, glints left out; ``skin`` (3,) where none is seen."""
    height, width = bgr.shape[:2]
    pixels = []
    for ring in EYE_RINGS:
        points = landmarks[ring, :2]
        low = np.clip(np.floor(points.min(axis=0)), 0, [width - 2, height - 2]).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + 1, low + 1, [width, height]).astype(int)
        part = bgr[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(part.shape[:2], dtype=np.uint8)
        cv2.fillPoly(mask, [np.rint(points - low).astype(np.int32)], 1)
        pixels.append(part[mask > 0])
    seen = np.concatenate(pixels)
    if len(seen) == 0:
        return skin
    brightness = seen.mean(axis=1)
    dim, glint = np.percentile(brightness, [60, 90])
    return seen[(brightness >= dim) & (brightness <= glint)].mean(axis=0)


def lip_color(crop: Crop, landmarks: np.ndarray) -> np.ndarray:
    """Return the median BGR of the red of the lips in a crop of a frame with landmarks (478, 2) px."""
    inside = np.concatenate([UPPER_MIDDLE[2:-2], LOWER_MIDDLE[2:-2]])
    height, width = crop.bgr.shape[:2]
    x = np.clip(np.rint(landmarks[inside, 0] - crop.left).astype(int), 0, width - 1)
    y = np.clip(np.rint(landmarks[inside, 1] - crop.top).astype(int), 0, height - 1)
    return np.median(crop.bgr[y, x].astype(np.float64), axis=0)


def teeth_seen(bgr: np.ndarray, landmarks: np.ndarray, skin: float) -> float:
    """Return 0-1 how bright the upper half of the opening is: 0 at half the skin's mean value ``skin``, 1 at all of it.

    A mouth that is nearly shut shows no teeth.
    """
    if picture_gap_iod(landmarks) < _TEETH_GAP_IOD:
        return 0.0
    height, width = bgr.shape[:2]
    upper, lower = (landmarks[GAP_PAIRS[:, side], :2] for side in (0, 1))
    points = np.concatenate([upper + share * (lower - upper) for share in (0.25, 0.4, 0.55)])
    x, y = (np.clip(np.rint(points[:, axis]).astype(int), 0, end - 1) for axis, end in ((0, width), (1, height)))
    return float(np.clip(2 * bgr[y, x].mean() / (skin + 1.0) - 1, 0, 1))


def color_gains(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the gains (3,) that bring one skin colour to another, within .8-1.25."""
    return np.clip((wanted + 1.0) / (given + 1.0), 0.8, 1.25).astype(np.float32)
