"""Who is who: pieces of track, from different shots or from before and after an absence, told to be one person or not.

A piece is remembered by a few portraits: the colours at the landmarks of the upper face, which speech does not move,
seen through a few dozen pixels, so that size hardly matters; and where those landmarks lie in the head frame. Two
portraits are alike as their colours correlate, channel by channel: neither the level of the light nor its colour
counts. A wrong merge is worse than a missed one (a person found twice is only learnt twice), so what is asked for lies
well above any two persons that were compared, and the shape of the face must agree as well. Less is asked only by the
tracker, of a face that is seen again at the place where it was lost a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from stages.lipsync.detector import FaceReading, Window, cut_window
from stages.lipsync.geometry import reference_face
from stages.lipsync.landmarks import FACE_MESH_COUNT, LOWER_FACE

ALIKE = 0.85
"""Likeness that makes one person of two pieces. Of 19 persons the two most alike reached .79 (.77 where the shape was
asked for as well). One person at other times, 2/3 as bright, a third or one and a half times as large, has .92 and more
in close-ups; faces of 45 px, and one that a hand crosses, are recognised in 60 to 75 % of pairs."""
ALIKE_IN_PLACE = 0.5
"""The same for a face that is seen again where it was lost: other persons have .35 (median), 1 % of them .65."""
_SHAPE_IOD = 0.045
"""Most that the upper face of one person differs by (root mean square); other persons: .06 (median)."""
_SIDE_PX = 48
"""Side that a face is scaled to before it is looked at."""
_MARGIN = 0.1
_PORTRAITS, _KNOWN_PORTRAITS = 12, 48
"""Portraits of a piece (up to twice as many while it is followed) and of a person."""
_UPPER_FACE = np.setdiff1d(np.arange(FACE_MESH_COUNT), LOWER_FACE)


class Portrait(NamedTuple):
    """One sight of an upper face of p points."""

    colors: np.ndarray
    """float32 (p * 3,): CIE Lab, per channel with mean 0 and such a length that the whole has length 1."""
    shape: np.ndarray
    """float32 (p, 3): in the head frame, IOD."""


@dataclass
class Piece:
    """One face, followed without a cut and never lost for long."""

    id: int
    portraits: list[Portrait]
    first_frame: int
    last_frame: int


@dataclass
class Album:
    """Portraits of one piece at even distances, however long it gets."""

    portraits: list[Portrait] = field(default_factory=list)
    _every: int = 1
    _seen: int = 0

    def look(self, bgr: np.ndarray, reading: FaceReading) -> None:
        """Take note of a sight in a frame (uint8 (h, w, 3)), if it is time for one."""
        if self._seen % self._every == 0:
            self.portraits.append(portrait(bgr, reading))
            if len(self.portraits) == 2 * _PORTRAITS:
                self.portraits = self.portraits[::2]
                self._every *= 2
        self._seen += 1


@dataclass
class _Person:
    id: int
    pieces: list[Piece]
    portraits: list[Portrait]


def portrait(bgr: np.ndarray, reading: FaceReading) -> Portrait:
    """Look at a face in a frame, uint8 (h, w, 3)."""
    face = reading.window
    margin = _MARGIN * face.side
    window = Window(face.x - margin, face.y - margin, face.side + 2 * margin)
    small = cv2.cvtColor(cut_window(bgr, window, _SIDE_PX), cv2.COLOR_BGR2LAB).astype(np.float32)
    corner, scale = np.array([window.x, window.y]), _SIDE_PX / window.side
    x, y = ((reading.landmarks[_UPPER_FACE, :2] - corner) * scale - 0.5).T.astype(np.float32)
    seen = cv2.remap(small, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    seen -= seen.mean(axis=0)
    seen /= np.maximum(np.linalg.norm(seen, axis=0), 1e-6) * np.sqrt(3)
    shape = reference_face(reading.landmarks[None])[_UPPER_FACE]
    return Portrait(seen.ravel(), (shape - shape.mean(axis=0)).astype(np.float32))


def likeness(some: list[Portrait], others: list[Portrait]) -> float:
    """Return how alike, at most 1, the two most alike portraits are; -1 where the shapes of all differ too much."""
    alike = np.stack([each.colors for each in some]) @ np.stack([each.colors for each in others]).T
    a, b = (np.stack([each.shape for each in side]).reshape(len(side), -1) for side in (some, others))
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    differs = np.sqrt(np.maximum(squares, 0) / len(_UPPER_FACE)) > _SHAPE_IOD
    return float(np.where(differs, -1.0, alike).max())


def persons(pieces: list[Piece]) -> dict[int, int]:
    """Return the person (the id of the first piece) of every piece, by id of the piece.

    Pieces are asked in order of time; two that are seen at the same time are never one person.
    """
    known: list[_Person] = []
    result: dict[int, int] = {}
    for piece in sorted(pieces, key=lambda one: (one.first_frame, one.id)):
        absent = [one for one in known if all(_apart(piece, other) for other in one.pieces)]
        alike = [likeness(piece.portraits, one.portraits) for one in absent]
        if alike and max(alike) >= ALIKE:
            person = absent[int(np.argmax(alike))]
            person.pieces.append(piece)
            person.portraits += piece.portraits
            step = -(-len(person.portraits) // _KNOWN_PORTRAITS)
            person.portraits = person.portraits[::step]
        else:
            person = _Person(piece.id, [piece], list(piece.portraits))
            known.append(person)
        result[piece.id] = person.id
    return result


def _apart(a: Piece, b: Piece) -> bool:
    return a.first_frame > b.last_frame or b.first_frame > a.last_frame
