"""Did the lips really close? What was read in the drawn frames of every closing phone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from stages.artifacts import LineClosures, Viseme
from stages.lipsync.plan import FacePlan, frame_of
from stages.lipsync.targets import contact_rows

_DRIVEN = 0.5
"""Strength from which a phone has to be seen."""


def closures(
    plans: Mapping[int, FacePlan], gaps_iod: Mapping[int, np.ndarray], times_ms: np.ndarray, closed_gap_iod: float
) -> tuple[LineClosures, ...]:
    """Return the counts of all lines.

    Args:
        plans: by face id.
        gaps_iod: by face id, (k,) inner gap that was read in every drawn frame; NaN or infinite where none was.
        times_ms: (frames,).
        closed_gap_iod: a mouth is closed up to this.
    """
    found: list[LineClosures] = []
    for face, plan in plans.items():
        check = ClosureCheck(plan, times_ms, closed_gap_iod)
        for frame, gap_iod in zip(plan.states.frames.tolist(), gaps_iod[face].tolist(), strict=True):
            check.look(frame, gap_iod)
        found += check.lines()
    return tuple(sorted(found, key=lambda line: line.line_id))


class ClosureCheck:
    """Watches the drawn frames of one face for closing phones."""

    def __init__(self, plan: FacePlan, times_ms: np.ndarray, closed_gap_iod: float) -> None:
        self._plan, self._closed_gap_iod = plan, closed_gap_iod
        row_times = times_ms[plan.states.frames]
        self._rows: dict[int, list[int]] = {}
        self._visemes: list[Viseme] = []
        self._reached: set[int] = set()
        for viseme in plan.visemes:
            rows = contact_rows(viseme, row_times)
            is_seen = plan.states.row(frame_of(viseme, times_ms)) is not None
            if is_seen and viseme.contact == "closure" and plan.strength[rows].min() >= _DRIVEN:
                for row in rows.tolist():
                    self._rows.setdefault(row, []).append(len(self._visemes))
                self._visemes.append(viseme)

    def look(self, index: int, gap_iod: float) -> None:
        """Take note of the inner gap that was read in a drawn frame."""
        row = self._plan.states.row(index)
        if row is not None and gap_iod <= self._closed_gap_iod:
            self._reached.update(self._rows.get(row, []))

    def lines(self) -> list[LineClosures]:
        """Return the counts per line."""
        expected = Counter(viseme.line_id for viseme in self._visemes)
        reached = Counter(self._visemes[phone].line_id for phone in self._reached)
        return [LineClosures(line_id=line, expected=n, reached=reached[line]) for line, n in expected.items()]
