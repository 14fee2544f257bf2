"""Life in a still face: the head sways a little, the eyes blink.

Sway is smooth noise (a few slow sines) of five motions: the head leans about the neck, drifts, turns and nods, the last
two by moving what is nearer to the camera further. It fades softly into the picture around the head, so that nothing
tears. A blink draws the upper lid, with its lashes, down over the eye. Both are the same for the same picture.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from stages.lipsync.geometry import picture_iod_px
from stages.lipsync.landmarks import CHIN
from stages.still import StillConfig

_RATES_HZ = (0.09, 0.17, 0.31)
_LEAN, _DRIFT_X, _DRIFT_Y, _TURN, _NOD = range(5)
_DRIFT_IOD = 0.012
"""How far the head drifts, for a sway of one degree."""
_TURNS = 1.3
"""How much further the head turns and nods than it leans."""
_DEPTH_IOD = 0.55
"""How much nearer to the camera the nose is than the outline of the face."""
_HEAD_SIZE = (0.72, 0.85)
"""Half axes of the head, hair included, over width and height of the face."""
_FADE = 2.3
"""In head sizes from its middle, where the picture around it stands still."""
_NECK_BELOW_CHIN = 0.35
"""Where the head turns on the neck, in heights of the face."""

_BLINK_MS = (70.0, 30.0, 130.0)
"""Lids close, stay shut, open. Source: Caffier et al. 2003, "Experimental evaluation of eye-blink parameters"."""
_SHORTEST_PAUSE_S = 1.2
_PAUSE_SPREAD = 0.45
"""Standard deviation of the logarithm of the pause between blinks."""
_SHUT = 1.2
"""Share of the opening that a shut lid covers: its lashes lie on the lower lid, below that one's landmarks."""
_WIDER = 1.12
"""Eyes reach a little beyond the landmarks of their corners, drawn ones above all."""
_LASHES = 0.3
"""Share of the upper lid, at its edge, that is carried along without being stretched."""


class _Eye(NamedTuple):
    """Landmark rows of one eye from corner to corner, ends included."""

    upper: np.ndarray
    lower: np.ndarray
    crease: np.ndarray
    """The fold of the upper lid."""
    above: np.ndarray
    """Between the fold and the brow."""


_EYES = (
    _Eye(
        np.array([33, 246, 161, 160, 159, 158, 157, 173, 133]),
        np.array([33, 7, 163, 144, 145, 153, 154, 155, 133]),
        np.array([33, 247, 30, 29, 27, 28, 56, 190, 133]),
        np.array([33, 113, 225, 224, 223, 222, 221, 189, 133]),
    ),
    _Eye(
        np.array([362, 398, 384, 385, 386, 387, 388, 466, 263]),
        np.array([362, 382, 381, 380, 374, 373, 390, 249, 263]),
        np.array([362, 414, 286, 258, 257, 259, 260, 467, 263]),
        np.array([362, 413, 441, 442, 443, 444, 445, 342, 263]),
    ),
)


class Life:
    """A picture, uint8 BGR (h, w, 3), whose face with landmarks (478, 3) px lives."""

    def __init__(self, bgr: np.ndarray, landmarks: np.ndarray, config: StillConfig, seed: str) -> None:
        self._bgr, self._landmarks = bgr, landmarks.astype(np.float64)
        self._random_state = np.random.SeedSequence(int(seed[:16], 16)).generate_state(4)
        self._blinks_per_min = config.blinks_per_min
        self._blinks = np.zeros(0)
        self._sway_deg = config.sway_deg
        phases = np.random.default_rng(self._random_state[0]).uniform(0, 2 * np.pi, (5, len(_RATES_HZ)))
        speeds = np.random.default_rng(self._random_state[1]).uniform(0.8, 1.25, (5, len(_RATES_HZ)))
        self._phases, self._speeds = phases, speeds * np.array(_RATES_HZ) * 2 * np.pi
        self._box, self._motions = _motions(self._landmarks, bgr.shape[:2])
        y, x = self._box
        self._places = np.stack(np.meshgrid(np.arange(x.start, x.stop), np.arange(y.start, y.stop)), axis=-1).astype(
            np.float32
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self._bgr.shape[:2]

    def frame(self, time_s: float) -> np.ndarray:
        """Return the picture at a time, uint8 BGR (h, w, 3)."""
        closed = self.closed(time_s)
        face = self._bgr if closed <= 0 else blinked(self._bgr, self._landmarks, closed)
        if self._sway_deg <= 0:
            return face.copy()
        y, x = self._box
        place = self._places - np.tensordot(self.sway(time_s).astype(np.float32), self._motions, axes=1)
        result = face.copy()
        result[y, x] = _sample(face, place, cv2.INTER_LANCZOS4)
        return result

    def sway(self, time_s: float) -> np.ndarray:
        """Return how far each of the five motions has gone, (5,): lean, drifts, turn, nod."""
        waves = np.sin(self._speeds * time_s + self._phases).sum(axis=1) / len(_RATES_HZ) ** 0.5
        angle = np.radians(self._sway_deg)
        scale = np.array([0.7 * angle, self._sway_deg, self._sway_deg, _TURNS * angle, _TURNS * angle])
        return waves * scale

    def closed(self, time_s: float) -> float:
        """Return how far the lids are shut, 0-1."""
        if self._blinks_per_min <= 0:
            return 0.0
        while len(self._blinks) == 0 or self._blinks[-1] < time_s:
            self._blinks = self._blink_times(2 * len(self._blinks) + 16)
        since_ms = (time_s - self._blinks) * 1000
        begun = since_ms[since_ms >= 0]
        return _lids(float(begun.min())) if len(begun) else 0.0

    def _blink_times(self, count: int) -> np.ndarray:
        """Return when the first ``count`` blinks begin, in s: log-normal pauses, none very short."""
        draws = np.random.default_rng(self._random_state[2]).normal(-(_PAUSE_SPREAD**2) / 2, _PAUSE_SPREAD, count)
        mean_s = 60 / self._blinks_per_min
        pauses = np.maximum(mean_s * np.exp(draws), min(_SHORTEST_PAUSE_S, mean_s))
        return np.cumsum(pauses) - mean_s / 2


def _lids(since_ms: float) -> float:
    """Return how far the lids are shut at a time after a blink's beginning: quickly down, slowly up."""
    close, stay, reopen = _BLINK_MS
    if since_ms < close:
        return float(np.sin(np.pi / 2 * since_ms / close))
    return float(np.cos(np.pi / 2 * np.clip((since_ms - close - stay) / reopen, 0, 1)) ** 2)


def _motions(landmarks: np.ndarray, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the part of the picture that sways, and by how many px each unit motion moves it, float32 (5, h, w, 2)."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    iod_px = float(picture_iod_px(landmarks))
    size = high - low
    middle = (low + high) / 2 - np.array([0, 0.08 * size[1]])
    axes = size * np.array(_HEAD_SIZE)
    first = np.clip(np.floor(middle - _FADE * axes), 0, None).astype(int)
    last = np.minimum(np.ceil(middle + _FADE * axes) + 1, [shape[1], shape[0]]).astype(int)
    y, x = np.mgrid[first[1] : last[1], first[0] : last[0]].astype(np.float32)
    away = np.hypot((x - middle[0]) / axes[0], (y - middle[1]) / axes[1])
    fade = np.clip((_FADE - away) / (_FADE - 1), 0, 1)
    weight = fade * fade * (3 - 2 * fade)
    neck = landmarks[CHIN, :2] + np.array([0, _NECK_BELOW_CHIN * size[1]])
    nose = landmarks[1, :2]
    near = np.clip(1 - ((x - nose[0]) / (0.62 * size[0])) ** 2 - ((y - nose[1]) / (0.75 * size[1])) ** 2, 0, 1)
    depth = _DEPTH_IOD * iod_px * near * near * (3 - 2 * near)
    motions = np.zeros((5, *x.shape, 2), dtype=np.float32)
    motions[_LEAN, ..., 0], motions[_LEAN, ..., 1] = -(y - neck[1]) * weight, (x - neck[0]) * weight
    motions[_DRIFT_X, ..., 0] = motions[_DRIFT_Y, ..., 1] = _DRIFT_IOD * iod_px * weight
    motions[_TURN, ..., 0] = motions[_NOD, ..., 1] = depth
    return (slice(first[1], last[1]), slice(first[0], last[0])), motions


def blinked(bgr: np.ndarray, landmarks: np.ndarray, closed: float) -> np.ndarray:
    """Return the picture with the lids of a face (478, 3) px shut as far as ``closed``, 0-1."""
    result = bgr.copy()
    for eye in _EYES:
        _shut_eye(result, bgr, landmarks[:, :2], eye, closed)
    return result


def _shut_eye(result: np.ndarray, bgr: np.ndarray, points: np.ndarray, eye: _Eye, closed: float) -> None:
    """Draw one lid down, in the eye's own axes: u from corner to corner, v from the brow to the cheek."""
    points = points.copy()
    start, end = points[eye.upper[[0, -1]]]
    rows = np.unique(np.concatenate(eye))
    points[rows] += (
        (_WIDER - 1)
        * ((points[rows] - (start + end) / 2) @ (end - start) / ((end - start) ** 2).sum())[:, None]
        * (end - start)
    )
    start, end = points[eye.upper[[0, -1]]]
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    axes = np.stack([along, np.array([-along[1], along[0]])])
    own = {name: (points[row] - start) @ axes.T for name, row in eye._asdict().items()}
    corners = points[np.concatenate([eye.above, eye.lower])]
    low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, [bgr.shape[1] - 1, bgr.shape[0] - 1]).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 3, [bgr.shape[1], bgr.shape[0]]).astype(int)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float64)
    u, v = np.moveaxis((np.stack([x, y], axis=-1) - start) @ axes.T, -1, 0)
    curve = {name: np.interp(u, row[:, 0], row[:, 1]) for name, row in own.items()}
    lid, top = curve["upper"], (curve["crease"] + curve["above"]) / 2
    edge = lid + closed * _SHUT * np.maximum(curve["lower"] - lid, 0)
    height, room = np.maximum(lid - top, 1e-3), np.maximum(edge - top, 1e-3)
    rigid = _LASHES * height
    up = edge - v
    stretched = rigid + (up - rigid) * (height - rigid) / np.maximum(room - rigid, 1e-3)
    source = lid - np.where(up < rigid, up, stretched)
    inside = (v >= top) & (v <= edge) & (u >= 0) & (u <= own["upper"][-1, 0])
    moved = np.where(inside, source - v, 0.0)
    place = (np.stack([x, y], axis=-1) + moved[..., None] * axes[1]).astype(np.float32)
    drawn = _sample(bgr, place, cv2.INTER_CUBIC)
    cover = cv2.GaussianBlur((inside & (np.abs(moved) > 1e-2)).astype(np.float32), (3, 3), 0)[..., None]
    part = result[low[1] : high[1], low[0] : high[0]]
    part[:] = np.rint(part + cover * (drawn.astype(np.float32) - part))


def _sample(bgr: np.ndarray, place: np.ndarray, kernel: int) -> np.ndarray:
    return cv2.remap(bgr, place[..., 0], place[..., 1], kernel, borderMode=cv2.BORDER_REFLECT_101)
