"""Looked at again: every drawn mouth is tracked as it stands, and drawn anew where it does not show what it should.

Analysis by synthesis: the landmarks of a retrieved mouth are off by a few hundredths of an IOD, more where it is small
or bearded, so the drawn gap is too. What is read is subtracted from what is asked, at most :data:`_TRIES` times; the
best of the drawings is kept, and no frame depends on another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from stages.lipsync import LipsyncConfig
from stages.lipsync.borrowing import may_lend
from stages.lipsync.composite import Patch
from stages.lipsync.detector import FaceReader, read_near
from stages.lipsync.geometry import picture_gap_iod, picture_width_iod
from stages.lipsync.lips import Shown, shown, shown_mouths
from stages.lipsync.mouth import MouthPainter
from stages.lipsync.painting import Painter, Scene
from stages.lipsync.plan import CLOSURE, LABIODENTAL, SMALL_FACE_PX, FacePlan
from stages.progress import Progress

_TRIES = 3
"""For contacts and small faces; one is enough elsewhere."""
_LOOKS_FROM_STRENGTH = 0.5
_WINDOWS = (2.0, 1.4, 2.4)
"""Sizes of the windows that a contact or a small mouth is read in; at 15 px one reading is off by a fifth of a gap."""
_GAP_TOLERANCE_IOD, _WIDTH_TOLERANCE_IOD = 0.01, 0.015
_LARGEST_CHANGE_IOD = np.array([0.05, 0.04, 0.0])
"""A reading that is further off than this is not believed."""
_SHUT, _ON_TEETH = 0.8, 0.5
"""Share of the gap that still counts as closed at which a contact is done; teeth on a lip are read less surely."""
_PRESSED_JAW_IOD = 0.04
"""How much further the jaw closes where lips that should meet are read as open."""
_DRAWN_SHARE = 0.3
"""Share of a drawn opening that may be taken back: in a blurred picture a small one is read as none or as wide."""
_RESTING_IOD = 0.004


class _Drawing(NamedTuple):
    frame: np.ndarray
    patch: Patch
    error: float
    """How far it is from what it should show, in IOD."""
    correction: np.ndarray
    """(3,) what to add to the asked aperture, width and jaw."""


@dataclass
class SeenMouth:
    """A painter that looks at what it drew."""

    painter: MouthPainter
    readers: SimpleQueue[FaceReader]
    """Lent to one thread each."""
    closed_gap_iod: float

    @property
    def plan(self) -> FacePlan:
        """What is painted."""
        return self.painter.plan

    def draw(self, frame: np.ndarray, row: int) -> tuple[np.ndarray, Patch]:
        """Return the frame (uint8 (h, w, 3)) with the mouth of this row moved, and what was changed in it.

        Where something lies in front of the mouth a reading would be a guess: it is drawn once and not looked at.
        """
        target, mouths = self.plan.target[row], shown_mouths(self.plan, row)
        if not self._is_looked_at(row):
            return self.painter.paint(frame, row, target, mouths)[:2]
        best = drawing = self._drawing(frame, row, target, mouths)
        for attempt in range(_TRIES if self._is_hard(row) else 1):
            if best.error <= 0:
                break
            target = target + drawing.correction
            if attempt and self.plan.contacts[row]:
                mouths = [self._firmly_shut(row)]
            drawing = self._drawing(frame, row, target, mouths)
            best = min(best, drawing, key=lambda one: one.error)
        return best.frame, best.patch

    def _is_hard(self, row: int) -> bool:
        return bool(self.plan.contacts[row] or self.plan.face_px[row] < SMALL_FACE_PX)

    def _is_looked_at(self, row: int) -> bool:
        plan = self.plan
        speaks = bool(plan.contacts[row]) or abs(plan.target[row, 0] - plan.reach.rest[0]) > _RESTING_IOD
        is_whole = not plan.states.cover.touches_mouth[row]
        return bool(plan.strength[row] >= _LOOKS_FROM_STRENGTH and speaks and is_whole)

    def _drawing(self, frame: np.ndarray, row: int, target: np.ndarray, mouths: list[Shown]) -> _Drawing:
        drawn, patch, wanted = self.painter.paint(frame, row, target, mouths)
        if target is not self.plan.target[row]:
            wanted = self.painter.wanted_points(row, self.plan.target[row], mouths)
        read = self.read(drawn, row)
        if read is None:
            return _Drawing(drawn, patch, 0.0, np.zeros(3))
        gap = float(picture_gap_iod(read))
        error, correction = self._compared(row, gap, read, wanted)
        return _Drawing(drawn, patch._replace(gap_iod=gap), error, correction)

    def read(self, drawn: np.ndarray, row: int) -> np.ndarray | None:
        """Return the landmarks (478, 3) px of this row's face in a drawn frame; None where it is not found."""
        windows = _WINDOWS if self._is_hard(row) else _WINDOWS[:1]
        reader = self.readers.get()
        try:
            return read_again(reader, drawn, self.plan.states.landmarks(row, row + 1)[0], windows)
        finally:
            self.readers.put(reader)

    def _compared(self, row: int, gap: float, read: np.ndarray, wanted: np.ndarray) -> tuple[float, np.ndarray]:
        is_closure = self.plan.contacts[row] == CLOSURE
        limit = contact_limit_iod(self.plan.contacts[row], self.closed_gap_iod)
        if is_closure:
            return max(0.0, gap - limit), np.array([min(0.0, limit - gap), 0.0, -_PRESSED_JAW_IOD])
        off = np.array([float(picture_gap_iod(wanted)) - gap, 0.0, 0.0])
        if self.plan.contacts[row] == LABIODENTAL:
            off[0] = min(0.0, limit - gap)
        elif self.plan.never_opens:
            off[0] = max(off[0], -_DRAWN_SHARE * float(self.plan.target[row, 0]))
        off[1] = float(picture_width_iod(wanted) - picture_width_iod(read))
        tolerances = np.array([_GAP_TOLERANCE_IOD, _WIDTH_TOLERANCE_IOD, 0.0])
        missed = np.maximum(np.abs(off) - tolerances, 0)
        error = float(missed[0] + 0.5 * missed[1])
        return error, np.clip(off, -_LARGEST_CHANGE_IOD, _LARGEST_CHANGE_IOD)

    def _firmly_shut(self, row: int) -> Shown:
        """Return another mouth for a closure: the one of the library that stays closed and is turned most alike."""
        plan, library = self.plan, self.painter.library
        lent = may_lend(plan.shot, plan.states.pose, plan.face_px, library.skin, np.array([row]), library.rows)
        rows = library.rows[lent[0] & (library.rows != plan.picks[row, 0])]
        if len(rows) == 0:
            return shown(self.plan, int(self.plan.picks[row, 0]), 1.0)
        turned = np.abs(self.plan.states.pose[rows, :2] - self.plan.states.pose[row, :2]).sum(axis=1)
        cost = self.plan.source[rows, 0] / self.closed_gap_iod + turned / 10
        return shown(self.plan, int(rows[np.argmin(cost)]), 1.0)


@contextmanager
def own_mouths(
    seen: dict[int, SeenMouth], scene: Scene, config: LipsyncConfig, progress: Progress
) -> Iterator[Mapping[int, Painter]]:
    """Lend those who draw the clip's own mouths: the engine ``mesh`` (:data:`stages.lipsync.ENGINES`)."""
    yield seen


def contact_limit_iod(contact: int, closed_gap_iod: float) -> float:
    """Return the gap up to which a contact counts as done."""
    return (_SHUT if contact == CLOSURE else _ON_TEETH) * closed_gap_iod


def read_again(
    reader: FaceReader, bgr: np.ndarray, landmarks: np.ndarray, enlargements: Sequence[float]
) -> np.ndarray | None:
    """Track a face in a frame where its source landmarks (478, 3) px are known.

    Returns:
        Its landmarks (478, 3) px, the mean over windows of these sizes (times the side of the face); None where no
        window shows it.
    """
    readings = [read_near(reader, bgr, landmarks, enlargement) for enlargement in enlargements]
    found = [reading.landmarks for reading in readings if reading is not None]
    return np.mean(found, axis=0) if found else None
