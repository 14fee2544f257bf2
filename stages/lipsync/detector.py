"""MediaPipe's Face Landmarker on a square window of the picture.

The detector inside the model is made for selfies: it misses faces below about an eighth of the picture. So it is only
ever shown windows: the whole frame, overlapping tiles (:func:`search_windows`), or the surroundings of a known face.
Each window is read on its own (image mode): the video mode's own smoothing lags behind the lips.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from stages import models
from stages.errors import MissingEngineError

_WINDOW_PX = 256
"""Side that a window is scaled to: what the landmark network takes."""
_ENLARGE = 2.0
"""Side of the window in which a known face is read, over the side of the face."""


class Window(NamedTuple):
    """A square of the picture, in px; it may reach over the edge."""

    x: float
    y: float
    side: float

    def overlaps(self, other: Window) -> bool:
        """Return whether two face windows share at least .3 of their union: the same place."""
        width = min(self.x + self.side, other.x + other.side) - max(self.x, other.x)
        height = min(self.y + self.side, other.y + other.side) - max(self.y, other.y)
        shared = max(0.0, width) * max(0.0, height)
        return shared >= 0.3 * (self.side**2 + other.side**2 - shared)


class FaceReading(NamedTuple):
    """One face in one frame."""

    landmarks: np.ndarray
    """float32 (478, 3) px of the picture; z in the same scale, smaller is nearer."""
    pose: np.ndarray
    """float32 (3,) yaw, pitch, roll in degrees; 0 looks at the camera."""
    blendshapes: np.ndarray
    """float32 (52,) ARKit coefficients; empty from a reader without them."""

    @property
    def window(self) -> Window:
        """The square around the landmarks."""
        return window_of(self.landmarks)


class FaceReader:
    """Finds and measures faces in windows of a frame. Use as a context manager: it holds about 60 MB.

    Raises:
        MissingEngineError: the weights are missing, or MediaPipe does not load.
    """

    def __init__(self, max_faces: int = 2, with_blendshapes: bool = True) -> None:
        weights = models.path("face-landmarker-v2") / "face_landmarker_v2.task"
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(weights), delegate=BaseOptions.Delegate.CPU),
                running_mode=vision.RunningMode.IMAGE,
                num_faces=max_faces,
                output_face_blendshapes=with_blendshapes,
                output_facial_transformation_matrixes=True,
            )
            with _quiet_native_log():
                self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (OSError, ImportError) as error:
            raise MissingEngineError(
                f"MediaPipe does not load ({error}). Run: pip install --force-reinstall mediapipe"
            ) from error
        self._image = lambda rgb: mediapipe.Image(mediapipe.ImageFormat.SRGB, rgb)

    def __enter__(self) -> FaceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._landmarker.close()

    def read(self, bgr: np.ndarray, window: Window) -> list[FaceReading]:
        """Return the faces in a window of a frame (uint8 BGR (h, w, 3)), in no order."""
        crop = cut_window(bgr, window, _WINDOW_PX)
        found = self._landmarker.detect(self._image(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)))
        return [
            FaceReading(_in_picture(points, window), _angles_deg(matrix), _scores(shapes))
            for points, matrix, shapes in zip(
                found.face_landmarks,
                found.facial_transformation_matrixes,
                found.face_blendshapes or [[]] * len(found.face_landmarks),
                strict=True,
            )
        ]


def window_of(landmarks: np.ndarray) -> Window:
    """Return the square around landmarks (478, 3) px."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    side = float((high - low).max())
    x, y = (low + high) / 2 - side / 2
    return Window(float(x), float(y), side)


def whole(width_px: int, height_px: int) -> Window:
    """Return the square window that holds the whole frame."""
    side = max(width_px, height_px)
    return Window((width_px - side) / 2, (height_px - side) / 2, side)


def surroundings(face: Window) -> Window:
    """Return the window in which a face that was in ``face`` is looked for again."""
    return enlarged(face, _ENLARGE)


def enlarged(face: Window, times: float) -> Window:
    """Return the window around the same middle with sides so many times as long."""
    margin = face.side * (times - 1) / 2
    return Window(face.x - margin, face.y - margin, face.side * times)


def read_near(reader: FaceReader, bgr: np.ndarray, landmarks: np.ndarray, enlargement: float) -> FaceReading | None:
    """Read a face in a frame where it is known to have been, at landmarks (478, 3) px; None where it is not found.

    ``enlargement``: side of the window that is looked through, over the side of the face.
    """
    known = window_of(landmarks)
    center = landmarks[:, :2].mean(axis=0)

    def distance(reading: FaceReading) -> float:
        return float(np.linalg.norm(reading.landmarks[:, :2].mean(axis=0) - center))

    nearest = min(reader.read(bgr, enlarged(known, enlargement)), key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) < known.side / 2 else None


def search_windows(width_px: int, height_px: int, side_px: float) -> Iterator[Window]:
    """Yield tiles of one size that cover the frame, each overlapping the next by half."""
    columns, rows = (max(1, math.ceil(2 * length / side_px) - 1) for length in (width_px, height_px))
    for row in range(rows):
        for column in range(columns):
            yield Window(
                (width_px - side_px) * (column / (columns - 1) if columns > 1 else 0.5),
                (height_px - side_px) * (row / (rows - 1) if rows > 1 else 0.5),
                side_px,
            )


def cut_window(bgr: np.ndarray, window: Window, side_px: int) -> np.ndarray:
    """Return a window of a frame (uint8 (h, w, 3)) scaled to ``side_px`` square, black beyond the frame."""
    scale = side_px / window.side
    if scale >= 0.5:
        to_window = np.array([[scale, 0, -window.x * scale], [0, scale, -window.y * scale]])
        return cv2.warpAffine(bgr, to_window, (side_px, side_px), flags=cv2.INTER_LINEAR)
    # Halving, which is quick, as far as it goes; what is left is no more than bilinear sampling can do.
    halvings = int(math.log2(1 / scale))
    block = 2**halvings
    left, top = math.floor(window.x), math.floor(window.y)
    small = _cut(bgr, left, top, (math.ceil(window.side) // block + 1) * block)
    for _ in range(halvings):
        small = cv2.resize(small, (small.shape[1] // 2, small.shape[0] // 2), interpolation=cv2.INTER_AREA)
    rest = scale * block
    x, y = ((rest - 1) / 2 + scale * (corner - start) for corner, start in ((left, window.x), (top, window.y)))
    return cv2.warpAffine(small, np.array([[rest, 0, x], [0, rest, y]]), (side_px, side_px), flags=cv2.INTER_LINEAR)


def _cut(bgr: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """Return a square of the picture, black beyond the frame."""
    inside = bgr[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if inside.shape[:2] == (side, side):
        return inside
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    y, x = max(0, -top), max(0, -left)
    canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return canvas


def _in_picture(points: list, window: Window) -> np.ndarray:
    relative = np.array([(point.x, point.y, point.z) for point in points], dtype=np.float32)
    return relative * np.float32(window.side) + np.array([window.x, window.y, 0], dtype=np.float32)


def _scores(shapes: list) -> np.ndarray:
    return np.array([shape.score for shape in shapes], dtype=np.float32)


def _angles_deg(matrix: np.ndarray) -> np.ndarray:
    """Return yaw, pitch and roll of the head's 4x4 pose matrix."""
    rotation = np.asarray(matrix)[:3, :3]
    rotation = rotation / np.linalg.norm(rotation, axis=0, keepdims=True)
    yaw = math.atan2(rotation[0, 2], rotation[2, 2])
    pitch = math.asin(float(np.clip(-rotation[1, 2], -1, 1)))
    roll = math.atan2(rotation[1, 0], rotation[1, 1])
    return np.degrees(np.array([yaw, pitch, roll])).astype(np.float32)


@contextlib.contextmanager
def _quiet_native_log() -> Iterator[None]:
    """Keep what the native library prints while it loads out of the user's terminal; errors still raise."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
