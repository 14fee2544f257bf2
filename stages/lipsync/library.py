"""The clip's own mouths: crops of one face's lower part on disk, and the skin colour of every frame.

They were put by when the clip was tracked (:mod:`stages.lipsync.crops`); here those are chosen that can be shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.artifacts import FaceTrack
from stages.lipsync.crops import RUN_FRAMES, SKIN
from stages.lipsync.geometry import picture_gap_iod
from stages.lipsync.landmarks import LOWER_MIDDLE, UPPER_MIDDLE
from stages.lipsync.track_file import FaceStates

_TEETH_GAP_IOD = 0.025
"""A mouth that is open less than this shows no teeth."""


class Crop(NamedTuple):
    """Pixels of one source frame around the mouth."""

    bgr: np.ndarray
    """uint8 (h, w, 3)."""
    left: int
    top: int
    """Where its first pixel lies in the picture."""


class MouthLibrary:
    """Mouth crops of one face, by row of its track, in a file that stays when the library is closed."""

    def __init__(self, path: Path, index: Mapping[str, np.ndarray]) -> None:
        """Open a file of pixels with its index, as :func:`put_by` and :meth:`index` return it."""
        self.rows: np.ndarray = index["rows"]
        """int (n,): which rows of the face's track are kept, ascending."""
        self.skin: np.ndarray = index["skin"]
        """float32 (k, 3): mean BGR of the skin around the mouth in every row."""
        self.eyes: np.ndarray = index["eyes"]
        """float32 (k, 3): mean BGR of the brighter part of the eyes: their whites."""
        self.teeth: np.ndarray = index["teeth"]
        """float32 (k,) 0-1: how bright it is under the upper lip, against the skin: 1 where teeth are seen there."""
        self._places: np.ndarray = index["places"]
        self._of_row = {row: place for place, row in enumerate(self.rows.tolist())}
        self._file = path.open("rb")

    def index(self) -> dict[str, np.ndarray]:
        """Return all but the crops: ``rows``, ``skin``, ``eyes``, ``teeth``, and where each crop lies, ``places``."""
        seen = {"skin": self.skin, "eyes": self.eyes, "teeth": self.teeth}
        return {"rows": self.rows, **seen, "places": self._places}

    def crop(self, row: int) -> Crop:
        """Return the crop of one kept row; several threads may ask."""
        position, height, width, left, top = self._places[self._of_row[row]].tolist()
        data = os.pread(self._file.fileno(), height * width * 3, position)
        return Crop(np.frombuffer(data, np.uint8).reshape(height, width, 3), left, top)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def put_by(track: FaceTrack, face: int, states: FaceStates) -> dict[str, np.ndarray]:
    """Return the index of all mouths of a face that its track holds (see :meth:`MouthLibrary.index`)."""
    with np.load(track.file(track.mouths)) as arrays:
        colors, eyes, light, places = (arrays[f"{name}_{face}"] for name in ("skin", "eyes", "light", "places"))
    skin = np.empty((len(colors), 3), dtype=np.float32)
    gap_iod = np.empty(len(colors))
    for first, block in states.blocks():
        gap_iod[first : first + len(block)] = picture_gap_iod(block)
    for row, around in enumerate(colors):
        skin[row] = skin_color(around, states.cover.is_seen(row, SKIN))
    # 0 at half the skin's own brightness, 1 at all of it.
    teeth = np.clip(2 * light / (skin.mean(axis=1) + 1.0) - 1, 0, 1) * (gap_iod >= _TEETH_GAP_IOD)
    seen = {"skin": skin, "eyes": eyes, "teeth": teeth.astype(np.float32)}
    return {"rows": places[:, 0], **seen, "places": places[:, 1:]}


def skin_color(around: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the mean BGR of the colours (16, 3) of those points that are ``seen``, bool (16,); else of all."""
    return np.asarray(around[seen if seen.any() else slice(None)].mean(axis=0))


def narrowed(index: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return an index with only those of its rows that are among ``rows``."""
    is_chosen = np.isin(index["rows"], rows)
    return {**index, "rows": index["rows"][is_chosen], "places": index["places"][is_chosen]}


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
        share = max(2, limit * len(rows) // len(usable) // RUN_FRAMES)
        runs = np.array_split(rows, max(1, len(rows) // RUN_FRAMES))
        taken = np.unique(np.linspace(0, len(runs) - 1, share).round().astype(int))
        kept += [runs[run][:RUN_FRAMES] for run in taken]
    return np.concatenate(kept)


def lip_color(crop: Crop, landmarks: np.ndarray) -> np.ndarray:
    """Return the median BGR of the red of the lips in a crop of a frame with landmarks (478, 2) px."""
    inside = np.concatenate([UPPER_MIDDLE[2:-2], LOWER_MIDDLE[2:-2]])
    height, width = crop.bgr.shape[:2]
    x = np.clip(np.rint(landmarks[inside, 0] - crop.left).astype(int), 0, width - 1)
    y = np.clip(np.rint(landmarks[inside, 1] - crop.top).astype(int), 0, height - 1)
    return np.median(crop.bgr[y, x].astype(np.float64), axis=0)


def color_gains(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the gains (3,) that bring one skin colour to another, within .8-1.25."""
    return np.clip((wanted + 1.0) / (given + 1.0), 0.8, 1.25).astype(np.float32)
