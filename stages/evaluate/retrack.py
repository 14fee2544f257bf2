"""A version of the picture looked at again, frame by frame: the lips found anew, the mouth's texture and its unrest.

Each frame is read on its own by the landmark detector, in a window around the place of the face in the source: the same
window for the source and for the dub, and a narrower one than the tracker and the renderer look through, so that what
was tuned on their readings has to hold in another. No smoothing follows (the track that the renderer works with is
smoothed over 200 ms): what the file shows for one frame counts for one frame, so a closure of two frames is neither
widened nor washed out, and the detector's noise counts against the dub.
"""

from __future__ import annotations

import cv2
import numpy as np

from stages.lipsync.articulation import features_of
from stages.lipsync.detector import FaceReader, FaceReading, read_near
from stages.lipsync.geometry import fit_poses, picture_gap_iod, picture_iod_px
from stages.lipsync.landmarks import LIPS
from stages.lipsync.track_file import FaceStates

MARGIN_IOD = 0.15
"""The mouth box: the lips and this much around them."""
_ENLARGE = 1.6
"""Side of the window in which a face is read, over the side of the face."""


class Seen:
    """What one version shows of one face. Arrays are float64 (frames,) and not-a-number where nothing was measured."""

    def __init__(self, states: FaceStates, reference: np.ndarray, frames: int, reader: FaceReader) -> None:
        self._states, self._reference, self._reader = states, reference, reader
        self.gap_iod = np.full(frames, np.nan)
        """Mean distance of three pairs of inner lip points over that of the outer eye corners, in the picture."""
        self.aperture_iod = np.full(frames, np.nan)
        """The same, vertical, after a rigid fit of the head to the reference: a turned head does not widen it."""
        self.width_iod = np.full(frames, np.nan)
        """Distance of the corners of the mouth after that fit."""
        self.laplacian = np.full(frames, np.nan)
        """Mean squared Laplacian of the grey mouth box."""
        self.warping_error = np.full(frames, np.nan)
        """Mean absolute difference of the grey mouth box to the frame before, moved by optical flow."""
        self._before: tuple[int, np.ndarray] | None = None

    def look(self, index: int, bgr: np.ndarray) -> None:
        """Measure one frame, uint8 (h, w, 3); frames come in order, left-out ones are not measured."""
        row = self._states.row(index)
        if row is None:
            return
        landmarks = self._states.landmarks(row, row + 1)[0]
        reading = read_again(self._reader, bgr, landmarks)
        if reading is not None:
            points = reading.landmarks[None].astype(np.float64)
            head = fit_poses(points, self._reference).to_head(points)
            self.gap_iod[index] = picture_gap_iod(reading.landmarks)
            self.aperture_iod[index], self.width_iod[index], _ = features_of(head)[0]
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        box = mouth_box(landmarks, grey.shape)
        self.laplacian[index] = (cv2.Laplacian(grey[box], cv2.CV_32F) ** 2).mean()
        if self._before is not None and self._before[0] == index - 1:
            self.warping_error[index] = warping_error(self._before[1][box], grey[box])
        self._before = index, grey


def read_again(reader: FaceReader, bgr: np.ndarray, landmarks: np.ndarray) -> FaceReading | None:
    """Read a face in a frame where its source landmarks (478, 3) px are known; None where it is not found."""
    return read_near(reader, bgr, landmarks, _ENLARGE)


def mouth_box(landmarks: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of the mouth box for source landmarks (478, 3) px in a picture of this shape."""
    margin = MARGIN_IOD * float(picture_iod_px(landmarks))
    lips = landmarks[LIPS, :2]
    low = np.clip(lips.min(axis=0) - margin, 0, [shape[1] - 2, shape[0] - 2]).astype(int)
    high = np.clip(lips.max(axis=0) + margin, low + 2, [shape[1], shape[0]]).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def warping_error(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean absolute difference between ``after`` and ``before`` moved onto it, both uint8 (h, w).

    Source: Lai et al. 2018, "Learning blind video temporal consistency"; the flow is Farneback's (2003).
    """
    still = np.zeros((*after.shape, 2), dtype=np.float32)
    flow = cv2.calcOpticalFlowFarneback(after, before, still, 0.5, 3, 13, 3, 5, 1.1, 0)
    y, x = np.mgrid[: after.shape[0], : after.shape[1]].astype(np.float32)
    moved = cv2.remap(before, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(moved, after).mean())
