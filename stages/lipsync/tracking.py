"""Faces through the clip: found in tiles, followed in a window around the last sight, kept apart by place.

A face that is lost and seen again at the same place within :data:`_REJOIN_FRAMES` keeps its id; otherwise, and after
every cut, it is a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import media as video_files
from stages.artifacts import Face, FaceTrack, Media, SourceVideo
from stages.lipsync import TrackConfig
from stages.lipsync.ahead import read_ahead
from stages.lipsync.detector import FaceReader, FaceReading, Window, search_windows, surroundings, whole
from stages.lipsync.occlusion import SightWriter
from stages.lipsync.shots import CutDetector
from stages.lipsync.track_file import TrackWriter
from stages.progress import Progress

_LOST_AFTER = 5
"""Frames without a sight after which a face is no longer looked for at its place."""
_REJOIN_FRAMES = 50
_SEARCH_EVERY_LOST, _SEARCH_EVERY = 8, 50
"""Frames between searches of all tiles: while no face is followed, and while one is."""
_TILE_SHARES = (0.5, 0.3)
"""Tile sides over the frame's short side; the smaller ones are tried when the larger show no face."""


@dataclass
class _Followed:
    id: int
    window: Window
    last_frame: int


def track(video: SourceVideo, media: Media, config: TrackConfig, out: Path, progress: Progress) -> FaceTrack:
    """See :func:`stages.lipsync.track`."""
    writer, sights = TrackWriter(out), SightWriter(out)
    cuts = CutDetector(config.cut_threshold, config.min_shot_frames)
    shot_starts = [0]
    with FaceReader() as reader:
        follower = _Follower(reader, config.min_face_px)
        for index, bgr in enumerate(read_ahead(video_files.frames(video, media))):
            is_cut = cuts.is_cut(bgr)
            if is_cut:
                shot_starts.append(index)
            for face, reading in follower.step(index, bgr, starts_shot=is_cut or index == 0):
                writer.add(face, index, reading)
                sights.add(face, bgr, reading.landmarks)
            progress((index + 1) / media.picture.frames)
    seen = {face: sights.finish(face) for face in writer.frames}
    kept = {face: seen[face] for face, frames in writer.frames.items() if len(frames) >= config.min_face_frames}
    fps = float(media.picture.fps)
    landmark_window, pose_window = (
        filter_frames(length_ms, fps) for length_ms in (config.landmark_smoothing_ms, config.pose_smoothing_ms)
    )
    writer.finish(out / "track.npz", kept, set(shot_starts), landmark_window, pose_window)
    ends = [*(start - 1 for start in shot_starts[1:]), media.picture.frames - 1]
    return FaceTrack(
        faces=tuple(
            Face(id=face, first_frame=writer.frames[face][0], last_frame=writer.frames[face][-1]) for face in kept
        ),
        shots=tuple(zip(shot_starts, ends, strict=True)),
    )


def filter_frames(length_ms: float, fps: float) -> int:
    """Return the odd number of frames nearest below a length; 3, the least, leaves a parabola fit as it is."""
    frames = round(length_ms * fps / 1000)
    return max(3, frames - 1 + frames % 2)


class _Follower:
    """The faces in view, from frame to frame."""

    def __init__(self, reader: FaceReader, min_face_px: float) -> None:
        self._reader, self._min_face_px = reader, min_face_px
        self._followed: list[_Followed] = []
        self._lost: list[_Followed] = []
        self._next_id, self._searched = 0, -_SEARCH_EVERY

    def step(self, index: int, bgr: np.ndarray, starts_shot: bool) -> list[tuple[int, FaceReading]]:
        """Return (face id, reading) of every face seen in this frame, by id."""
        if starts_shot:
            self._followed, self._lost = [], []
        seen: dict[int, FaceReading] = {}
        for face in self._followed:
            reading = self._follow(bgr, face)
            # Two windows that end on one face: the elder keeps it.
            if reading is not None and not any(_overlap(reading.window, other.window) for other in seen.values()):
                seen[face.id], face.window, face.last_frame = reading, reading.window, index
        self._lost += [face for face in self._followed if index - face.last_frame >= _LOST_AFTER]
        self._followed = [face for face in self._followed if index - face.last_frame < _LOST_AFTER]
        for reading in self._new_faces(index, bgr, starts_shot):
            if not any(_overlap(reading.window, other.window) for other in seen.values()):
                face = self._known_or_new(reading.window, index)
                self._followed.append(face)
                seen[face.id] = reading
        return sorted(seen.items())

    def _follow(self, bgr: np.ndarray, face: _Followed) -> FaceReading | None:
        readings = self._reader.read(bgr, surroundings(face.window))
        near = [reading for reading in readings if _overlap(reading.window, face.window)]
        return min(near, key=lambda reading: _distance(reading.window, face.window), default=None)

    def _new_faces(self, index: int, bgr: np.ndarray, starts_shot: bool) -> list[FaceReading]:
        every = _SEARCH_EVERY if self._followed else _SEARCH_EVERY_LOST
        searches_tiles = starts_shot or index - self._searched >= every
        if self._followed and not searches_tiles:
            return []
        height, width = bgr.shape[:2]
        found = self._read_all(bgr, [whole(width, height)])
        if searches_tiles:
            self._searched = index
            for share in _TILE_SHARES:
                tiles = list(search_windows(width, height, share * min(width, height)))
                found = _distinct(found + self._read_all(bgr, tiles))
                if found:
                    break
        return found

    def _read_all(self, bgr: np.ndarray, windows: list[Window]) -> list[FaceReading]:
        readings = (reading for window in windows for reading in self._reader.read(bgr, window))
        return _distinct([reading for reading in readings if reading.window.side >= self._min_face_px])

    def _known_or_new(self, window: Window, index: int) -> _Followed:
        for face in self._lost + self._followed:
            if index - face.last_frame <= _REJOIN_FRAMES and _overlap(window, face.window):
                self._lost = [other for other in self._lost if other is not face]
                self._followed = [other for other in self._followed if other is not face]
                return _Followed(face.id, window, index)
        self._next_id += 1
        return _Followed(self._next_id, window, index)


def _distinct(readings: list[FaceReading]) -> list[FaceReading]:
    kept: list[FaceReading] = []
    for reading in readings:
        if not any(_overlap(reading.window, other.window) for other in kept):
            kept.append(reading)
    return kept


def _overlap(a: Window, b: Window) -> bool:
    """Return whether two face windows share at least .3 of their union: the same face."""
    width = min(a.x + a.side, b.x + b.side) - max(a.x, b.x)
    height = min(a.y + a.side, b.y + b.side) - max(a.y, b.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared >= 0.3 * (a.side**2 + b.side**2 - shared)


def _distance(a: Window, b: Window) -> float:
    return float(np.hypot(a.x + a.side / 2 - b.x - b.side / 2, a.y + a.side / 2 - b.y - b.side / 2))
