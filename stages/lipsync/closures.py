"""Did the lips really close? The drawn frames of every closing phone are tracked again."""

from __future__ import annotations

from collections import Counter

import numpy as np

from stages.artifacts import LineClosures, Viseme
from stages.lipsync.detector import FaceReader, FaceReading, surroundings, window_of
from stages.lipsync.geometry import picture_gap_iod
from stages.lipsync.plan import FacePlan
from stages.lipsync.targets import contact_rows

_DRIVEN = 0.5
"""Strength from which a phone has to be seen."""


class ClosureCheck:
    """Watches the drawn frames of one face for closing phones."""

    def __init__(self, plan: FacePlan, times_ms: np.ndarray, reader: FaceReader, closed_gap_iod: float) -> None:
        self._plan, self._reader, self._closed_gap_iod = plan, reader, closed_gap_iod
        row_times = times_ms[plan.states.frames]
        self._rows: dict[int, list[int]] = {}
        self._visemes: list[Viseme] = []
        self._reached: set[int] = set()
        for viseme in plan.visemes:
            rows = contact_rows(viseme, row_times)
            if viseme.contact == "closure" and plan.strength[rows].min() >= _DRIVEN:
                for row in rows.tolist():
                    self._rows.setdefault(row, []).append(len(self._visemes))
                self._visemes.append(viseme)

    def look(self, index: int, bgr: np.ndarray) -> None:
        """Measure this frame (uint8 (h, w, 3)) where a closing phone that was not yet seen closed lies in it."""
        row = self._plan.states.row(index)
        open_phones = [phone for phone in self._rows.get(-1 if row is None else row, []) if phone not in self._reached]
        if row is None or not open_phones:
            return
        reading = read_again(self._reader, bgr, self._plan.states.landmarks(row, row + 1)[0])
        if reading is not None and picture_gap_iod(reading.landmarks) <= self._closed_gap_iod:
            self._reached.update(open_phones)

    def lines(self) -> list[LineClosures]:
        """Return the counts per line."""
        expected = Counter(viseme.line_id for viseme in self._visemes)
        reached = Counter(self._visemes[phone].line_id for phone in self._reached)
        return [LineClosures(line_id=line, expected=n, reached=reached[line]) for line, n in expected.items()]


def read_again(reader: FaceReader, bgr: np.ndarray, landmarks: np.ndarray) -> FaceReading | None:
    """Track a face in a frame where its source landmarks (478, 3) px are known; None where it is not found."""
    known = window_of(landmarks)
    center = landmarks[:, :2].mean(axis=0)
    near = [
        (float(np.linalg.norm(reading.landmarks[:, :2].mean(axis=0) - center)), reading)
        for reading in reader.read(bgr, surroundings(known))
    ]
    distance, nearest = min(near, key=lambda pair: pair[0], default=(np.inf, None))
    return nearest if distance < known.side / 2 else None
