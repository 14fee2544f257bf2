"""Where the picture cuts: PySceneDetect's content detector, in a few lines of OpenCV.

Source: Castellano, PySceneDetect, ``ContentDetector``: the mean absolute difference of hue, saturation and value of
successive frames, with its default threshold of 27 (of 255).
"""

from __future__ import annotations

import cv2
import numpy as np

_WIDTH_PX = 96


class CutDetector:
    """Fed with every frame in order; says which frames begin a new shot."""

    def __init__(self, threshold: float, min_shot_frames: int) -> None:
        self._threshold, self._min_shot_frames = threshold, min_shot_frames
        self._previous: np.ndarray | None = None
        self._shot_frames = 0

    def is_cut(self, bgr: np.ndarray) -> bool:
        """Return whether this frame (uint8 (h, w, 3)) starts a new shot; the first frame of all does not."""
        height = max(1, round(bgr.shape[0] * _WIDTH_PX / bgr.shape[1]))
        # Every fourth pixel of what would be averaged is enough, and spares most of the time.
        step = max(1, bgr.shape[1] // (4 * _WIDTH_PX))
        small = cv2.resize(bgr[::step, ::step], (_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
        previous, self._previous = self._previous, hsv
        self._shot_frames += 1
        if previous is None or self._shot_frames <= self._min_shot_frames:
            return False
        if float(cv2.absdiff(hsv, previous).mean()) < self._threshold:
            return False
        self._shot_frames = 0
        return True
