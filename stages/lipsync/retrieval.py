"""Which of the clip's own mouth frames serves each frame: a Viterbi path through the closest candidates.

Following the source's own order costs nothing, so that runs of real motion survive; a jump costs 1 plus what the two
mouths differ by. The approach is that of Bregler, Covell & Slaney 1997, "Video Rewrite".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SCALE_IOD = np.array([0.025, 0.045, 0.06])
"""Aperture, width and jaw differences that count 1."""
_WEIGHTS = np.array([1.0, 0.7, 0.3])
_POSE_SCALE_DEG, _POSE_WEIGHT = 10.0, 0.5
_COLOR_SCALE, _COLOR_WEIGHT = 10.0, 0.3
_EXPRESSION_SCALE_IOD, _EXPRESSION_WEIGHT = 0.02, 1.0
_OPENED_COST = 12.0
"""Per IOD/10 that a mouth would have to be stretched open: closed lips are two sheets."""
_CONTACT_IOD, _SHUT_IOD = 0.015, 0.02
"""Contacts (closures, labiodentals) are below the first; a mouth is surely closed below the second."""
_NOT_CLOSED_COST = 25.0
"""A contact is served by a mouth that is closed, wherever the clip has one."""
_BARRED_COST = 1e9
_NO_TEETH_COST = 8.0
_TEETH_JUMP_COST = 3.0
"""Teeth that come and go with every jump are seen before anything else."""
_JUMP_COST, _HOLD_COST = 6.0, 0.05
_JUMP_FULL_IOD, _JUMP_SHARES = 0.06, (0.3, 1.5)
"""A jump is least seen while the lips are shut: its cost grows with the gap, by these shares at least and at most."""


@dataclass(frozen=True)
class MouthStates:
    """What frames look like, for comparison."""

    features: np.ndarray
    """(n, 3) aperture, width, jaw in IOD."""
    pose_deg: np.ndarray
    """(n, 3)."""
    skin: np.ndarray
    """(n, 3) BGR."""
    settled_gap: np.ndarray
    """(n,) largest aperture of a frame and its neighbours: landmarks call a mouth closed a frame too early."""
    teeth: np.ndarray
    """(n,) 0-1: how far the upper teeth are seen, or must be seen (0 where they need not)."""
    expression: np.ndarray
    """(n, d) IOD: slow displacement of points of the lips, a smile for example."""

    def take(self, rows: np.ndarray) -> MouthStates:
        """Return some of the frames."""
        return MouthStates(
            self.features[rows],
            self.pose_deg[rows],
            self.skin[rows],
            self.settled_gap[rows],
            self.teeth[rows],
            self.expression[rows],
        )


def best_path(
    wanted: MouthStates,
    library: MouthStates,
    library_rows: np.ndarray,
    candidates: int,
    barred: np.ndarray | None = None,
) -> np.ndarray:
    """Return for every wanted frame (n,) the index into the library (m,) that serves it.

    Args:
        wanted: features to be shown in consecutive frames, with the pose and light of those frames.
        library: the frames to choose from.
        library_rows: (m,) their place in the source; neighbours differ by one.
        candidates: how many are considered per frame.
        barred: bool (n, m), library frames that must not serve a frame; every frame needs one that may.
    """
    count = min(candidates, len(library_rows))
    choices = np.empty((len(wanted.features), count), dtype=np.int64)
    origins = np.zeros_like(choices)
    total = np.zeros(count)
    for frame in range(len(wanted.features)):
        costs = _frame_costs(wanted, frame, library)
        if barred is not None:
            costs = np.where(barred[frame], _BARRED_COST, costs)
        nearest = np.sort(np.argpartition(costs, count - 1)[:count])
        if frame:
            gap_iod = float(wanted.features[frame - 1 : frame + 1, 0].min())
            steps = total[:, None] + _step_costs(choices[frame - 1], nearest, library, library_rows, gap_iod)
            origins[frame] = steps.argmin(axis=0)
            total = steps.min(axis=0)
        choices[frame] = nearest
        total = total + costs[nearest]
    path = np.empty(len(choices), dtype=np.int64)
    place = int(total.argmin())
    for frame in range(len(choices) - 1, -1, -1):
        path[frame] = choices[frame, place]
        place = int(origins[frame, place])
    return path


def _frame_costs(wanted: MouthStates, frame: int, library: MouthStates) -> np.ndarray:
    features = wanted.features[frame]
    difference = (library.features - features) / _SCALE_IOD
    aperture = library.features[:, 0]
    costs = (difference**2) @ _WEIGHTS
    costs += _POSE_WEIGHT * (((library.pose_deg - wanted.pose_deg[frame]) / _POSE_SCALE_DEG) ** 2)[:, :2].sum(axis=1)
    costs += _COLOR_WEIGHT * (((library.skin - wanted.skin[frame]) / _COLOR_SCALE) ** 2).mean(axis=1)
    expression = (library.expression - wanted.expression[frame]) / _EXPRESSION_SCALE_IOD
    costs += _EXPRESSION_WEIGHT * (expression**2).mean(axis=1)
    costs += _OPENED_COST * np.maximum(features[0] - aperture, 0) * 10
    costs += _NO_TEETH_COST * np.maximum(wanted.teeth[frame] - library.teeth, 0)
    if features[0] <= _CONTACT_IOD:
        shut = _SHUT_IOD if features[0] < _CONTACT_IOD / 2 else 1.25 * _SHUT_IOD
        costs += _NOT_CLOSED_COST * np.maximum(library.settled_gap - shut, 0) / _SHUT_IOD
    return costs


def _step_costs(
    before: np.ndarray, after: np.ndarray, library: MouthStates, library_rows: np.ndarray, gap_iod: float
) -> np.ndarray:
    """Return (k, k) costs from every candidate of the last frame to every one of this, at an asked gap."""
    forward = library_rows[after][None] - library_rows[before][:, None]
    moved = (library.features[after][None] - library.features[before][:, None]) / _SCALE_IOD
    turned = (library.pose_deg[after][None] - library.pose_deg[before][:, None])[..., :2] / _POSE_SCALE_DEG
    bared = np.abs(library.teeth[after][None] - library.teeth[before][:, None])
    jump = (
        _JUMP_COST * np.clip(gap_iod / _JUMP_FULL_IOD, *_JUMP_SHARES)
        + 0.1 * (moved**2).sum(axis=-1)
        + (turned**2).sum(axis=-1)
        + _TEETH_JUMP_COST * bared
    )
    return np.where(forward == 1, 0.0, np.where(forward == 0, _HOLD_COST, np.where(forward == -1, 0.3, jump)))
