"""Which parts of a face's charts show something else than the face: its colours, and its pattern, as they usually are.

What is usual is learnt from the half of the frames that look most alike: the median of every cell, and the median
absolute deviation from it. Two things tell that a cell is covered: its colour in Lab is far from all that is usual in
it and beside it; or, for things in the colour of skin across the mouth, the pattern of red around it is gone. A shadow
does neither: it darkens a colour and keeps its hue. Nothing counts that lasts one frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_NEUTRAL = 128.0
"""Of a and b in 8-bit Lab."""
_DEVIATIONS = 3.0
_FLOOR = np.array([12.0, 5.0, 5.0], dtype=np.float32)
"""Lab: noise, coding and small shifts of the landmarks, added to the deviations that are usual."""
_SHADOW = 0.7
"""A cell as dark as this share of what is usual may lie in a shadow."""
_SEED, _GROWS_TO = 1.8, 0.8
"""How far a covered cell departs, in units of the above: the core of an area, and what is joined to it.
In untouched real clips no 3x3 cells reached 1.0; in a face of 20 px between the eyes, 1.4."""
_PATTERN_CELLS = 15
"""Side of the window in which the pattern of red is compared: a third of the lower face."""
_LEAST_CONTRAST = 4.0
"""Standard deviation of a in it from which it is a pattern, not noise."""
_USUAL_PATTERN, _LOST_PATTERN = 0.75, 0.25
"""Its likeness in nine of ten usual frames at least, so that it says something; and where it is gone. In untouched
real clips it fell to .52 where it had the first; under a finger across the mouth to -.1."""
_PATTERN_GROWS_TO = 0.7
"""Inside such a window less departure is enough."""
_AROUND = np.ones((3, 3), dtype=np.uint8)
_LARGEST_GAIN = 2.0
_LIT = 75
"""Percentile of brightness that tells the light, so that the part in a shadow is the dark one, not the other bright."""
_NO_VALUE = 1e6
_STILL = 1.0
"""Mean difference in Lab up to which two charts are the same sight."""


@dataclass(frozen=True)
class UsualLook:
    """What a face's chart (h, w) shows when nothing is in front of it."""

    is_face: np.ndarray
    """bool (h, w); p of the cells are the face."""
    median: np.ndarray
    """float32 (p, 3) Lab."""
    tolerance: np.ndarray
    """float32 (p, 3): departures are measured in this unit."""
    low: np.ndarray
    high: np.ndarray
    """float32 (p, 3): the least and the most of the medians around each cell."""
    has_pattern: np.ndarray
    """bool (h, w): cells around which red has a pattern that stays."""


def usual_look(charts: np.ndarray, likeness: np.ndarray, is_face: np.ndarray, limit: int) -> UsualLook:
    """Learn it from charts uint8 (n, p, 3) Lab with likeness (n,), looking at no more than ``limit`` of them."""
    distinct = _distinct(charts, 4 * limit)
    alike = np.sort(distinct[np.argsort(-likeness[distinct], kind="stable")[: -(-len(distinct) // 2)]])
    sample = charts[alike[:: -(-len(alike) // limit)]].astype(np.float32)
    sample = _in_one_light(sample, np.median(sample, axis=0))
    median = np.median(sample, axis=0).astype(np.float32)
    deviation = 1.4826 * np.median(np.abs(sample - median), axis=0)
    low = cv2.erode(_spread(median, is_face, _NO_VALUE), _AROUND)[is_face]
    high = cv2.dilate(_spread(median, is_face, -_NO_VALUE), _AROUND)[is_face]
    low[:, 0] *= _SHADOW
    tolerance = (_DEVIATIONS * deviation + _FLOOR).astype(np.float32)
    contrast = _red_contrast(median, is_face)
    stays = np.percentile([_red_likeness(chart, median, is_face) for chart in sample], 10, axis=0) >= _USUAL_PATTERN
    return UsualLook(is_face, median, tolerance, low, high, is_face & stays & (contrast >= _LEAST_CONTRAST))


def _distinct(charts: np.ndarray, limit: int) -> np.ndarray:
    """Return rows at even distances, at most ``limit``, each unlike the one before it.

    A face that keeps still for half the clip must not make everything that it does later unusual.
    """
    kept: list[int] = []
    for row in range(0, len(charts), -(-len(charts) // limit)):
        if not kept or np.abs(charts[row].astype(np.int16) - charts[kept[-1]]).mean() > _STILL:
            kept.append(row)
    return np.array(kept)


def covered_cells(charts: np.ndarray, usual: UsualLook) -> np.ndarray:
    """Return bool (n, h, w): cells of charts uint8 (n, p, 3) Lab of successive frames that show something else."""
    seeds = np.zeros((len(charts), *usual.is_face.shape), dtype=np.uint8)
    grown = np.zeros_like(seeds)
    for chart, seed, area in zip(_in_one_light(charts, usual.median), seeds, grown, strict=True):
        seed[:], area[:] = _seed_and_area(chart, usual)
    lasts = np.zeros_like(seeds)
    for a, b in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        near = [cv2.dilate(other, _AROUND) for other in seeds[b]]
        lasts[a] |= seeds[a] & np.array(near, dtype=np.uint8).reshape(seeds[a].shape)
    covered = np.zeros(seeds.shape, dtype=bool)
    for row in np.flatnonzero(lasts.any(axis=(1, 2))):
        covered[row] = _joined(lasts[row] > 0, grown[row] > 0)
    return covered


def _joined(seed: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return bool (h, w): the seed and every part of the area that touches it."""
    _, labels = cv2.connectedComponents((seed | area).astype(np.uint8))
    return np.isin(labels, np.unique(labels[seed]))


def _seed_and_area(chart: np.ndarray, usual: UsualLook) -> tuple[np.ndarray, np.ndarray]:
    """Return bool (h, w) twice for one chart (p, 3): where something surely is, and how far it may reach."""
    off = chart - usual.median
    beyond = np.maximum(np.maximum(usual.low - chart, chart - usual.high), 0)
    colour, near = (
        _spread(np.linalg.norm(each / usual.tolerance, axis=1), usual.is_face, 0.0) for each in (beyond, off)
    )
    seed = _without_specks(colour > _SEED)
    area = _without_specks(_without_gaps(colour > _GROWS_TO))
    # What colour has told already is no loss of pattern: beside it the lips are as they were.
    told = cv2.dilate(_joined(seed, area).astype(np.uint8), _AROUND)[usual.is_face, None] > 0
    rest = np.where(told, usual.median, chart)
    lost = usual.has_pattern & (_red_likeness(rest, usual.median, usual.is_face) < _LOST_PATTERN)
    if lost.any():
        window = cv2.dilate(lost.astype(np.uint8), np.ones((_PATTERN_CELLS, _PATTERN_CELLS), dtype=np.uint8)) > 0
        thing = _without_specks(_without_gaps(near > _PATTERN_GROWS_TO)) & window
        seed, area = seed | thing, area | thing
    return seed & usual.is_face, area & usual.is_face


def _without_specks(cells: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_OPEN, _AROUND) > 0)


def _without_gaps(cells: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_CLOSE, _AROUND) > 0)


def _in_one_light(charts: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Return charts (n, p, 3) as float32, as bright and as tinted as the median (p, 3)."""
    values = charts.astype(np.float32)
    gain = np.percentile((values[..., 0] + 8) / (median[:, 0] + 8), _LIT, axis=1, keepdims=True)
    values[..., 0] = (values[..., 0] + 8) / np.clip(gain, 1 / _LARGEST_GAIN, _LARGEST_GAIN) - 8
    values[..., 1:] -= np.median(values[..., 1:] - median[:, 1:], axis=1, keepdims=True)
    return values


def _red_likeness(chart: np.ndarray, median: np.ndarray, is_face: np.ndarray) -> np.ndarray:
    """Return float32 (h, w): correlation of the a channels in the window around each cell."""
    seen, known = (_spread(values[:, 1] - _NEUTRAL, is_face, 0.0) for values in (chart, median))
    together = _around(seen * known, is_face) - _around(seen, is_face) * _around(known, is_face)
    apart = _red_contrast(chart, is_face) * _red_contrast(median, is_face)
    return together / np.maximum(apart, 1.0)


def _red_contrast(chart: np.ndarray, is_face: np.ndarray) -> np.ndarray:
    """Return float32 (h, w): standard deviation of the a channel in the window around each cell."""
    red = _spread(chart[:, 1] - _NEUTRAL, is_face, 0.0)
    variance = _around(red * red, is_face) - _around(red, is_face) ** 2
    return np.sqrt(np.maximum(variance, 0.0))


def _around(values: np.ndarray, is_face: np.ndarray) -> np.ndarray:
    """Return the mean of values (h, w), 0 outside the face, over the cells of the face in the window around each."""
    size = (_PATTERN_CELLS, _PATTERN_CELLS)
    return np.asarray(cv2.blur(values, size) / np.maximum(cv2.blur(is_face.astype(np.float32), size), 1e-3))


def _spread(values: np.ndarray, is_face: np.ndarray, elsewhere: float) -> np.ndarray:
    """Return float32 (h, w, ...): values (p, ...) at the cells of the face."""
    image = np.full((*is_face.shape, *values.shape[1:]), elsewhere, dtype=np.float32)
    image[is_face] = values
    return image
