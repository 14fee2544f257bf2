"""Is something in front of the lower face? Every sight of it is compared with what this face usually looks like.

Under a hand or a microphone landmarks are guessed on, plausibly, but what then lies in the chart is not the face. Two
questions are asked. Is the whole of it hidden: lightness and red-green no longer follow the chart's median over the
face's frames (correlation asks for the pattern only, so that neither light nor the colour of the thing matters; a hand
has the face's own). And which parts are: :mod:`stages.lipsync.departure`. The opening between the lips is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from stages.lipsync.chart import Chart, make_chart
from stages.lipsync.departure import covered_cells, usual_look
from stages.lipsync.geometry import reference_face

_USUAL_FRAMES = 300
"""Frames, at even distances, that tell what the face usually looks like; it must be free in half of them."""
_BLOCK_FRAMES = 500
HIDDEN_BELOW = 0.65
"""Likeness of a hidden face; of untouched real clips, low-resolution ones included, no frame was below .67."""
_HIDDEN_LIPS = 0.05
"""Share of the lips behind something from which the frame stays as it is. Half a mouth of the dub beside half a mouth
of the source looks worse than a mouth that does not follow: a third, to begin with, was too much."""
_SHORTEST_FRAMES, _BRIDGED_FRAMES, _MARGIN_FRAMES = 2, 8, 3


class Sights(NamedTuple):
    """What was seen of one face in its k frames."""

    likeness: np.ndarray
    """float32 (k,): how like its usual self the face is, at most 1."""
    chart_face: np.ndarray
    """float64 (478, 3) in the head frame: the face that the chart is laid out for."""
    covered_rows: np.ndarray
    """int32 (m,) ascending: the frames, counted from 0 among those of the face, in which parts are covered."""
    covered: np.ndarray
    """uint8 (m, bytes): the covered cells of the chart in these, eight to a byte."""


def joined(pieces: Sequence[Sights]) -> Sights:
    """Return what was seen of one face in several pieces, one after the other; their charts are laid out alike."""
    firsts = np.cumsum([0, *(len(piece.likeness) for piece in pieces[:-1])])
    rows = [first + piece.covered_rows for first, piece in zip(firsts, pieces, strict=True)]
    return Sights(
        np.concatenate([piece.likeness for piece in pieces]),
        pieces[0].chart_face,
        np.concatenate(rows).astype(np.int32),
        np.concatenate([piece.covered for piece in pieces]),
    )


class SightWriter:
    """Collects charts per face in temporary files of ``folder``; :meth:`finish` reads them back and removes them.

    All charts of a clip are laid out for the first face that is seen, so that those of one person's pieces go together.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layout: tuple[np.ndarray, Chart] | None = None
        self._files: dict[int, BinaryIO] = {}

    def add(self, face: int, bgr: np.ndarray, landmarks: np.ndarray) -> None:
        """Append what a frame (uint8 (h, w, 3)) shows of a face with landmarks (478, 3) px."""
        if self._layout is None:
            reference = reference_face(landmarks[None])
            self._layout = reference, make_chart(reference)
        if face not in self._files:
            self._files[face] = self._path(face).open("w+b")
        chart = self._layout[1]
        lab = cv2.cvtColor(chart.take(bgr, landmarks), cv2.COLOR_BGR2LAB)
        self._files[face].write(lab[chart.is_face].tobytes())

    def finish(self, face: int) -> Sights:
        """Compare the charts of a face with each other."""
        assert self._layout is not None
        reference, chart = self._layout
        self._files.pop(face).close()
        charts = np.memmap(self._path(face), np.uint8, mode="r").reshape(-1, int(chart.is_face.sum()), 3)
        likeness = _likeness(charts)
        usual = usual_look(charts, likeness, chart.is_face, _USUAL_FRAMES)
        rows, covered = [], []
        for first in range(0, len(charts), _BLOCK_FRAMES):
            before = min(first, 1)  # what lasts into the next block is looked at in both
            cells = covered_cells(charts[first - before : first + _BLOCK_FRAMES + 1], usual)
            cells = cells[before : before + _BLOCK_FRAMES]
            found = np.flatnonzero(cells.any(axis=(1, 2)))
            rows.append(first + found)
            covered.append(np.packbits(cells[found].reshape(len(found), cells[0].size), axis=1))
        del charts
        self._path(face).unlink()
        return Sights(likeness, reference, np.concatenate(rows).astype(np.int32), np.concatenate(covered))

    def _path(self, face: int) -> Path:
        return self._folder / f".sights_{face}.u1"


def hidden_frames(likeness: np.ndarray, hidden_lips: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return bool (k,): the frames in which the lower face is hidden, or something is about to hide it.

    A single frame is noise; a few frames between hidden ones are hidden as well.

    Args:
        likeness: (k,) of :class:`Sights`.
        hidden_lips: (k,) share of the lips that something lies in front of.
        frames: (k,) their numbers in the clip.
    """
    hidden = np.zeros(len(likeness), dtype=bool)
    numbers = frames[(likeness < HIDDEN_BELOW) | (hidden_lips > _HIDDEN_LIPS)]
    if len(numbers) == 0:
        return hidden
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > _BRIDGED_FRAMES) + 1):
        if len(run) >= _SHORTEST_FRAMES:
            hidden |= (frames >= run[0] - _MARGIN_FRAMES) & (frames <= run[-1] + _MARGIN_FRAMES)
    return hidden


def _likeness(charts: np.ndarray) -> np.ndarray:
    """Return float32 (n,): correlation of charts (n, p, 3) Lab with their median, in lightness and red-green."""
    step = max(1, -(-len(charts) // _USUAL_FRAMES))
    usual = _centered(np.median(charts[::step, :, :2], axis=0)[None])
    blocks = (_centered(charts[a : a + _BLOCK_FRAMES, :, :2]) for a in range(0, len(charts), _BLOCK_FRAMES))
    return np.concatenate([(block * usual).sum(axis=1).mean(axis=1) for block in blocks]).astype(np.float32)


def _centered(charts: np.ndarray) -> np.ndarray:
    """Return charts (n, p, 2) as float32 with mean 0 and length 1 per channel."""
    values = charts.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    lengths: np.ndarray = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(lengths, 1e-6)
