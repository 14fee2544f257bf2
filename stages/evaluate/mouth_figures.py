"""Does the mouth do what the dub says? Figures of one face, the dub's beside the source's.

The source stands for chance: its mouth says something else. Contacts are judged by the inner gap in the picture, which
is what a viewer sees; correlations and amplitudes by aperture and width in the head's own frame, which is what the
trajectory asks for. The aperture is compared with the trajectory's own parameter, so that whatever the renderer makes
of it on the way counts; the width with what the trajectory's width and protrusion mean in this speaker's range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
_GAP_BIN_IOD, _STEP_BIN_IOD = 0.02, 0.02
_LEAST_IN_BIN = 3


def mouth_figures(dub: Seen, source: Seen, asked: Asked, closed_gap_iod: float) -> tuple[Figure, ...]:
    """Return the figures of one face in the order of :data:`stages.evaluate.goals.ROWS`, seams and coverage left out.

    ``closed_gap_iod``: inner gap at or below which lips count as closed.
    """
    speaks = asked.driven & asked.speaking & np.isfinite(dub.gap_iod) & np.isfinite(source.gap_iod)
    spoken = int(speaks.sum())

    def both(key: str, measure: Callable[[Seen], float | None], count: int) -> Figure:
        return figure(key, measure(dub), measure(source), count)

    closures, labiodentals = (_contacts(asked, kind) for kind in ("closure", "labiodental"))
    closed = (dub.gap_iod <= closed_gap_iod) & speaks
    return (
        both("closure_rate", lambda seen: _reached(seen, closures, closed_gap_iod), len(closures)),
        both("labiodental_rate", lambda seen: _reached(seen, labiodentals, closed_gap_iod), len(labiodentals)),
        both("false_closures", lambda seen: _false_closures(seen, asked, speaks, closed_gap_iod), int(closed.sum())),
        both("aperture_correlation", lambda seen: correlation(seen.aperture_iod, asked.aperture, speaks), spoken),
        both("aperture_std_ratio", lambda seen: _std_ratio(seen.aperture_iod, asked.aperture_iod, speaks), spoken),
        both("width_correlation", lambda seen: correlation(seen.width_iod, asked.width_iod, speaks), spoken),
        both("width_std_ratio", lambda seen: _std_ratio(seen.width_iod, asked.width_iod, speaks), spoken),
        both("offset_frames", lambda seen: _offset_frames(seen.aperture_iod, asked.aperture, speaks), spoken),
        _silence_motion(dub, source, asked),
        *_texture(dub, source, asked),
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


def _texture(dub: Seen, source: Seen, asked: Asked) -> tuple[Figure, ...]:
    """Return flicker and sharpness, each over all driven frames and over frames in which both mouths do alike.

    Teeth are the sharpest thing in the box, so a dub that is closed more often than its source is honestly less sharp;
    lips that move are never quite predicted by optical flow, so a dub that says more is honestly less steady.
    """
    driven = asked.driven & np.isfinite(dub.laplacian) & np.isfinite(source.laplacian)
    moves = driven & np.isfinite(dub.warping_error) & np.isfinite(source.warping_error)
    gaps = [seen.gap_iod / _GAP_BIN_IOD for seen in (dub, source)]
    steps = [np.abs(np.diff(seen.gap_iod, prepend=np.nan)) / _STEP_BIN_IOD for seen in (dub, source)]
    flicker, sharpness = (dub.warping_error, source.warping_error), (dub.laplacian, source.laplacian)
    return (
        _means("flicker", flicker, moves),
        _means_by_bin("flicker_equal_motion", flicker, steps, moves),
        _means("sharpness", sharpness, driven),
        _means_by_bin("sharpness_equal_aperture", sharpness, gaps, driven),
    )


def _means(key: str, values: Sequence[np.ndarray], where: np.ndarray) -> Figure:
    if not where.any():
        return figure(key, None, None, 0)
    dub, source = (float(each[where].mean()) for each in values)
    return figure(key, dub, source, int(where.sum()))


def _means_by_bin(key: str, values: Sequence[np.ndarray], places: Sequence[np.ndarray], where: np.ndarray) -> Figure:
    """Return the means of the dub's and the source's values, the source weighted to be in each bin as often as the dub.

    ``places`` are the bins, fractions cut off; bins in which one has fewer than three frames are left out.
    """
    bins = [np.where(where & np.isfinite(each), np.nan_to_num(each), -1).astype(int) for each in places]
    sums, count = np.zeros(2), 0
    for number in np.unique(bins[0][bins[0] >= 0]):
        rows = [each == number for each in bins]
        if min(row.sum() for row in rows) >= _LEAST_IN_BIN:
            weight = int(rows[0].sum())
            sums += weight * np.array([each[row].mean() for each, row in zip(values, rows, strict=True)])
            count += weight
    if not count:
        return figure(key, None, None, 0)
    dub, source = sums / count
    return figure(key, float(dub), float(source), count)
