"""The mouths of a clip, put by while its faces are tracked: one decoding serves the tracker and every language.

Of every sight the colours of the skin around the mouth and of the eyes and the light in the opening are noted; its
pixels are kept in runs of neighbouring frames. When there are too many, every second run goes, so that disk and memory
do not grow with the clip; of each piece of track two runs stay, because mouths of other shots need not be alike enough
to serve it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from stages.lipsync.geometry import picture_iod_px
from stages.lipsync.landmarks import EYE_RINGS, GAP_PAIRS, LIPS

RUN_FRAMES = 25
_MOST_FRAMES = 1200
"""Mouths of all faces, beyond the runs that stay, above which every second run goes."""
_ALWAYS_KEPT_RUNS = 2
_MARGIN_IOD = 0.3
"""Skin around the lips that is kept with them."""
SKIN = np.array([164, 167, 393, 92, 322, 57, 287, 43, 273, 106, 335, 83, 18, 313, 212, 432])
"""Points around the mouth whose colour stands for the light on it."""


class MouthWriter:
    """Collects mouths per piece of track in temporary files of ``folder``; :meth:`finish` puts them together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._colors: dict[int, list[np.ndarray]] = {}
        self._eyes: dict[int, list[np.ndarray]] = {}
        self._lights: dict[int, list[float]] = {}
        self._runs: dict[tuple[int, int], list[tuple[int, int, int, int, int]]] = {}
        self._every, self._removable = 1, 0

    def add(self, piece: int, bgr: np.ndarray, landmarks: np.ndarray) -> None:
        """Take what is needed of the piece's next frame (uint8 (h, w, 3)) with the landmarks (478, 3) px."""
        colors, lights = self._colors.setdefault(piece, []), self._lights.setdefault(piece, [])
        number, at = divmod(len(colors), RUN_FRAMES)
        colors.append(skin_colors(bgr, landmarks))
        self._eyes.setdefault(piece, []).append(eye_whites(bgr, landmarks, colors[-1].mean(axis=0)))
        lights.append(light_of_opening(bgr, landmarks))
        if not self._is_kept(number):
            return
        crop, left, top = _around_lips(bgr, landmarks)
        with self._path(piece, number).open("ab") as file:
            file.write(crop.tobytes())
        place = (number * RUN_FRAMES + at, *crop.shape[:2], left, top)
        self._runs.setdefault((piece, number), []).append(place)
        self._removable += number >= _ALWAYS_KEPT_RUNS
        if self._removable > _MOST_FRAMES:
            self._thin_out()

    def finish(self, target: Path, people: Mapping[int, list[int]]) -> None:
        """Write the arrays of every face to ``target`` and its pixels beside it; remove the temporary files.

        ``people`` holds, by face id, the pieces that show this person, one after the other. The arrays are, per face
        ``n`` with k rows: float32 ``skin_n`` (k, 16, 3), ``eyes_n`` (k, 3) and ``light_n`` (k,), and ``places_n`` int64
        (m, 6): row, where in the file, height, width, left, top.
        """
        arrays: dict[str, np.ndarray] = {}
        for face, pieces in people.items():
            arrays[f"skin_{face}"] = np.concatenate([np.stack(self._colors[piece]) for piece in pieces])
            arrays[f"eyes_{face}"] = np.concatenate([np.stack(self._eyes[piece]) for piece in pieces])
            arrays[f"light_{face}"] = np.concatenate([self._lights[piece] for piece in pieces]).astype(np.float32)
            arrays[f"places_{face}"] = self._put_together(pieces, target.with_name(pixels_name(face)))
        np.savez(target, allow_pickle=False, **arrays)
        for piece, number in self._runs:
            self._path(piece, number).unlink()

    def _put_together(self, pieces: list[int], target: Path) -> np.ndarray:
        """Write the pixels of one face, run after run, and return where they lie, int64 (m, 6)."""
        places = []
        first_row = 0
        with target.open("wb") as file:
            for piece in pieces:
                for owner, number in self._runs:
                    if owner != piece:
                        continue
                    position = file.tell()
                    file.write(self._path(piece, number).read_bytes())
                    for row, height, width, left, top in self._runs[piece, number]:
                        places.append((first_row + row, position, height, width, left, top))
                        position += height * width * 3
                first_row += len(self._colors[piece])
        return np.array(places, dtype=np.int64).reshape(-1, 6)

    def _is_kept(self, number: int) -> bool:
        return number < _ALWAYS_KEPT_RUNS or number % self._every == 0

    def _thin_out(self) -> None:
        self._every *= 2
        for piece, number in [run for run in self._runs if not self._is_kept(run[1])]:
            self._removable -= len(self._runs.pop((piece, number)))
            self._path(piece, number).unlink()

    def _path(self, piece: int, number: int) -> Path:
        return self._folder / f".mouths_{piece}_{number}.bgr"


def pixels_name(face: int) -> str:
    """Return the name of the file with a face's mouths."""
    return f"seen_mouths_{face}.bgr"


def skin_colors(bgr: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return float32 (16, 3): the mean BGR of 5x5 px around every :data:`SKIN` point."""
    height, width = bgr.shape[:2]
    x = np.clip(np.rint(landmarks[SKIN, 0]).astype(int), 2, width - 3)
    y = np.clip(np.rint(landmarks[SKIN, 1]).astype(int), 2, height - 3)
    offsets_y, offsets_x = np.mgrid[-2:3, -2:3].reshape(2, -1)
    return bgr[y[:, None] + offsets_y, x[:, None] + offsets_x].mean(axis=1).astype(np.float32)


def eye_whites(bgr: np.ndarray, landmarks: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Return float32 (3,): the mean BGR of what is brightest inside the eyes, glints left out; ``skin`` where none."""
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
    return seen[(brightness >= dim) & (brightness <= glint)].mean(axis=0).astype(np.float32)


def light_of_opening(bgr: np.ndarray, landmarks: np.ndarray) -> float:
    """Return how bright, 0-255, the upper half of the opening between the lips is."""
    height, width = bgr.shape[:2]
    upper, lower = (landmarks[GAP_PAIRS[:, side], :2] for side in (0, 1))
    points = np.concatenate([upper + share * (lower - upper) for share in (0.25, 0.4, 0.55)])
    x, y = (np.clip(np.rint(points[:, axis]).astype(int), 0, end - 1) for axis, end in ((0, width), (1, height)))
    return float(bgr[y, x].mean())


def _around_lips(bgr: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return the pixels uint8 (h, w, 3), and where their first lies in the picture."""
    height, width = bgr.shape[:2]
    margin = _MARGIN_IOD * float(picture_iod_px(landmarks))
    low = np.clip(landmarks[LIPS, :2].min(axis=0) - margin, 0, [width - 2, height - 2]).astype(int)
    high = np.clip(landmarks[LIPS, :2].max(axis=0) + margin, low + 2, [width, height]).astype(int)
    return bgr[low[1] : high[1], low[0] : high[0]], int(low[0]), int(low[1])
