"""Does the mouth do what the dub says? Figures of one face, the dub's beside the source's.

The source stands for chance: its mouth says something else. Definitions: the table of figures in the lip-sync notes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stages.evaluate.asked import Asked
from stages.evaluate.goals import Figure, figure
from stages.evaluate.retrack import Seen
from stages.lipsync.targets import contact_rows

_NEAR_MS = 80.0
"""A closed frame this close to a phone with a contact is no false closure."""
_OPEN_APERTURE = 0.2
"""The trajectory asks for an open mouth above this."""
_MAX_LAG_FRAMES = 6
_LEAST_SILENCE_MS = 300.0
_GAP_BIN_IOD = 0.02
_LEAST_IN_BIN = 3


def mouth_figures(dub: Seen, source: Seen, asked: Asked, closed_gap_iod: float) -> tuple[Figure, ...]:
    """Return the figures of one face in the order of :data:`stages.evaluate.goals.ROWS`, seams and coverage left out.

    ``closed_gap_iod``: inner gap at or below which lips count as closed.
    """
    speaks = asked.driven & asked.speaking & np.isfinite(dub.gap_iod) & np.isfinite(source.gap_iod)
    moves = asked.driven & np.isfinite(dub.warping_error) & np.isfinite(source.warping_error)
    spoken = int(speaks.sum())

    def both(key: str, measure: Callable[[Seen], float | None], count: int) -> Figure:
        return figure(key, measure(dub), measure(source), count)

    closures, labiodentals = (_contacts(asked, kind) for kind in ("closure", "labiodental"))
    closed = (dub.gap_iod <= closed_gap_iod) & speaks
    return (
        both("closure_rate", lambda seen: _reached(seen, closures, closed_gap_iod), len(closures)),
        both("labiodental_rate", lambda seen: _reached(seen, labiodentals, closed_gap_iod), len(labiodentals)),
        both("false_closures", lambda seen: _false_closures(seen, asked, speaks, closed_gap_iod), int(closed.sum())),
        both("aperture_correlation", lambda seen: correlation(seen.gap_iod, asked.aperture, speaks), spoken),
        both("aperture_std_ratio", lambda seen: _std_ratio(seen.gap_iod, asked.gap_iod, speaks), spoken),
        both("width_correlation", lambda seen: correlation(seen.width_iod, asked.width_iod, speaks), spoken),
        both("width_std_ratio", lambda seen: _std_ratio(seen.width_iod, asked.width_iod, speaks), spoken),
        both("offset_frames", lambda seen: _offset_frames(seen.gap_iod, asked.aperture, speaks), spoken),
        _silence_motion(dub, source, asked),
        both("flicker", lambda seen: _mean(seen.warping_error[moves]), int(moves.sum())),
        both("sharpness", lambda seen: _mean(seen.laplacian[asked.driven]), int(asked.driven.sum())),
        _sharpness_equal_aperture(dub, source, asked),
    )


def _contacts(asked: Asked, kind: str) -> list[np.ndarray]:
    """Return the frames in which each contact of a kind may be seen; phones on frames that are not driven are out."""
    frames = [contact_rows(viseme, asked.times_ms) for viseme in asked.visemes if viseme.contact == kind]
    return [rows for rows in frames if asked.driven[rows].all()]


def _reached(seen: Seen, contacts: list[np.ndarray], closed_gap_iod: float) -> float | None:
    """Return the share of contacts in which at least one frame's inner gap is closed.

    The window of a contact is the phone itself, at least 60 ms, and the nearest frame where none lies in it.
    """
    reached = [bool((seen.gap_iod[rows] <= closed_gap_iod).any()) for rows in contacts]
    return sum(reached) / len(reached) if reached else None


def _false_closures(seen: Seen, asked: Asked, speaks: np.ndarray, closed_gap_iod: float) -> float | None:
    """Return the share of the closed frames in speech in which an open mouth was asked for, no contact near."""
    near = np.zeros(len(speaks), dtype=bool)
    for viseme in asked.visemes:
        near |= (asked.times_ms > viseme.start_ms - _NEAR_MS) & (asked.times_ms < viseme.end_ms + _NEAR_MS)
    closed = (seen.gap_iod <= closed_gap_iod) & speaks
    is_false = closed & ~near & (asked.aperture > _OPEN_APERTURE)
    return float(is_false.sum() / closed.sum()) if closed.any() else None


def correlation(seen: np.ndarray, asked: np.ndarray, where: np.ndarray, lag: int = 0) -> float | None:
    """Return Pearson's correlation of what is asked in frames ``where`` with what is seen ``lag`` frames later.

    Lag 0 is what the table shows: lips that follow late lose correlation. Measured frames are not smoothed; the
    trajectory is taken at the frame's presentation time.
    """
    rows = np.flatnonzero(where)
    rows = rows[(rows + lag >= 0) & (rows + lag < len(seen))]
    rows = rows[np.isfinite(seen[rows + lag])]
    measured, wanted = seen[rows + lag], asked[rows]
    if len(rows) < 3 or measured.std() == 0 or wanted.std() == 0:
        return None
    return float(np.corrcoef(measured, wanted)[0, 1])


def _std_ratio(seen: np.ndarray, asked: np.ndarray, where: np.ndarray) -> float | None:
    """Return the standard deviation of what is seen over that of what was asked in this speaker's range."""
    spread = float(asked[where].std()) if where.any() else 0.0
    return float(seen[where].std()) / spread if spread > 0 else None


def _offset_frames(seen: np.ndarray, asked: np.ndarray, where: np.ndarray) -> float | None:
    """Return the lag, in frames, at which the lips follow the trajectory best; positive when they are late."""
    by_lag = {lag: correlation(seen, asked, where, lag) for lag in range(-_MAX_LAG_FRAMES, _MAX_LAG_FRAMES + 1)}
    known = {lag: value for lag, value in by_lag.items() if value is not None}
    return float(max(known, key=known.__getitem__)) if known else None


def _silence_motion(dub: Seen, source: Seen, asked: Asked) -> Figure:
    """Return the standard deviation of the inner gap where the dub is silent, and of the source's where that is.

    The source's silence lies elsewhere in the clip: between the turns given to this face.
    """
    rests = asked.driven & ~asked.speaking & np.isfinite(dub.gap_iod)
    still = asked.silent_in_source & np.isfinite(source.gap_iod)
    frame_ms = float(np.median(np.diff(asked.times_ms))) if len(asked.times_ms) > 1 else np.inf
    enough = _LEAST_SILENCE_MS / frame_ms

    def spread(gaps: np.ndarray) -> float | None:
        return float(gaps.std()) if len(gaps) >= enough else None

    return figure("silence_motion", spread(dub.gap_iod[rests]), spread(source.gap_iod[still]), int(rests.sum()))


def _sharpness_equal_aperture(dub: Seen, source: Seen, asked: Asked) -> Figure:
    """Return the mean Laplacian energies over frames of like inner gap, weighted as the dub uses the gaps.

    Teeth are the sharpest thing in the box: a dub that is closed more often than its source is honestly less sharp.
    """
    drawn = asked.driven & np.isfinite(dub.gap_iod)
    bins = [np.nan_to_num(seen.gap_iod / _GAP_BIN_IOD, nan=-1.0).astype(int) for seen in (dub, source)]
    sums, count = np.zeros(2), 0
    for gap in np.unique(bins[0][drawn]):
        mine, theirs = drawn & (bins[0] == gap), asked.wanted & (bins[1] == gap)
        if mine.sum() >= _LEAST_IN_BIN and theirs.sum() >= _LEAST_IN_BIN:
            weight = int(mine.sum())
            sums += weight * np.array([dub.laplacian[mine].mean(), source.laplacian[theirs].mean()])
            count += weight
    dub_energy, source_energy = sums / max(1, count)
    if not count:
        return figure("sharpness_equal_aperture", None, None, 0)
    return figure("sharpness_equal_aperture", dub_energy, source_energy, count)


def _mean(values: np.ndarray) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
