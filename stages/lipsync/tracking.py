"""Faces through the clip: found in tiles, followed in a window around the last sight, kept apart by place.

What is followed is a piece of track: it ends at a cut, and where a face is lost, unless it is soon seen again at the
same place. :mod:`stages.lipsync.identity` tells which pieces are one person, whose id they share. A head does not jump
from one frame to the next: where one does, the picture has been cut, however alike the two frames are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stages import media as video_files
from stages.artifacts import Face, FaceTrack, Media, SourceVideo
from stages.lipsync import TrackConfig
from stages.lipsync.ahead import read_ahead
from stages.lipsync.crops import MouthWriter
from stages.lipsync.detector import FaceReader, FaceReading, Window, search_windows, surroundings, whole
from stages.lipsync.identity import ALIKE_IN_PLACE, Album, Piece, likeness, persons, portrait
from stages.lipsync.occlusion import SightWriter
from stages.lipsync.shots import CutDetector
from stages.lipsync.track_file import TrackWriter
from stages.progress import Progress

_LOST_AFTER = 5
"""Frames without a sight after which a face is no longer looked for at its place."""
_REJOIN_FRAMES = 50
_SEARCH_EVERY_LOST, _SEARCH_EVERY = 8, 50
"""Frames between searches of all tiles: while no face is followed, and while one is."""
_JUMP_SIDES, _JUMP_SCALE = 0.3, 1.25
"""How far a face moves, in its own sides, and how much larger or smaller it gets only at a cut; measured at 12 to 30
frames/s: without one at most .13 and 1.09."""
_TILE_SHARES = (0.5, 0.3)
"""Tile sides over the frame's short side; the smaller ones are tried when the larger show no face."""


@dataclass
class _Followed:
    id: int
    window: Window
    last_frame: int
    album: Album = field(default_factory=Album)


def track(video: SourceVideo, media: Media, config: TrackConfig, out: Path, progress: Progress) -> FaceTrack:
    """See :func:`stages.lipsync.track`."""
    writer, sights, mouths = TrackWriter(out), SightWriter(out), MouthWriter(out)
    cuts = CutDetector(config.cut_threshold, config.min_shot_frames)
    shot_starts = [0]
    with FaceReader() as reader:
        follower = _Follower(reader, config.min_face_px)
        for index, bgr in enumerate(read_ahead(video_files.frames(video, media))):
            starts_shot = cuts.is_cut(bgr) or index == 0
            has_jumped, seen = follower.step(index, bgr, starts_shot)
            if index and (starts_shot or has_jumped):
                shot_starts.append(index)
            for piece, reading in seen:
                writer.add(piece, index, reading)
                sights.add(piece, bgr, reading.landmarks)
                mouths.add(piece, bgr, reading.landmarks)
            progress((index + 1) / media.picture.frames)
    people: dict[int, list[int]] = {}
    for piece, person in persons(follower.pieces(writer.frames)).items():
        people.setdefault(person, []).append(piece)
    seen_of = {piece: sights.finish(piece) for piece in writer.frames}
    kept = {
        person: pieces
        for person, pieces in people.items()
        if sum(len(writer.frames[piece]) for piece in pieces) >= config.min_face_frames
    }
    fps = float(media.picture.fps)
    landmark_window, pose_window = (
        filter_frames(length_ms, fps) for length_ms in (config.landmark_smoothing_ms, config.pose_smoothing_ms)
    )
    writer.finish(out / "track.npz", kept, seen_of, set(shot_starts), landmark_window, pose_window)
    mouths.finish(out / str(FaceTrack.model_fields["mouths"].default), kept)
    ends = [*(start - 1 for start in shot_starts[1:]), media.picture.frames - 1]
    return FaceTrack(
        faces=tuple(
            Face(id=person, first_frame=writer.frames[pieces[0]][0], last_frame=writer.frames[pieces[-1]][-1])
            for person, pieces in kept.items()
        ),
        shots=tuple(zip(shot_starts, ends, strict=True)),
    )


def faces_in(reader: FaceReader, bgr: np.ndarray, min_face_px: float) -> list[FaceReading]:
    """Return the faces of one picture, uint8 BGR (h, w, 3), that are at least so large."""
    _, seen = _Follower(reader, min_face_px).step(0, bgr, starts_shot=True)
    return [reading for _, reading in seen]


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
        self._albums: dict[int, Album] = {}
        self._searched = -_SEARCH_EVERY

    def step(self, index: int, bgr: np.ndarray, starts_shot: bool) -> tuple[bool, list[tuple[int, FaceReading]]]:
        """Return whether a face has jumped, so that this frame starts a shot, and (piece, reading) of every face."""
        found = [] if starts_shot else [(face, self._follow(bgr, face)) for face in self._followed]
        has_jumped = any(reading is not None and _jumps(face, reading, index) for face, reading in found)
        if starts_shot or has_jumped:
            self._followed, self._lost, found = [], [], []
        seen: dict[int, FaceReading] = {}
        for face, reading in found:
            # Two windows that end on one face: the elder keeps it.
            if reading is not None and not any(reading.window.overlaps(other.window) for other in seen.values()):
                seen[face.id], face.window, face.last_frame = reading, reading.window, index
        self._lost += [face for face in self._followed if index - face.last_frame >= _LOST_AFTER]
        self._lost = [face for face in self._lost if index - face.last_frame <= _REJOIN_FRAMES]
        self._followed = [face for face in self._followed if index - face.last_frame < _LOST_AFTER]
        for reading in self._new_faces(index, bgr, starts_shot or has_jumped):
            if not any(reading.window.overlaps(other.window) for other in seen.values()):
                face = self._known_or_new(bgr, reading, index)
                self._followed.append(face)
                seen[face.id] = reading
        for piece, reading in seen.items():
            self._albums[piece].look(bgr, reading)
        return has_jumped, sorted(seen.items())

    def pieces(self, frames: dict[int, list[int]]) -> list[Piece]:
        """Return every piece that was followed, given the frames of each."""
        return [
            Piece(piece, album.portraits, frames[piece][0], frames[piece][-1]) for piece, album in self._albums.items()
        ]

    def _follow(self, bgr: np.ndarray, face: _Followed) -> FaceReading | None:
        readings = self._reader.read(bgr, surroundings(face.window))
        near = [reading for reading in readings if reading.window.overlaps(face.window)]
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

    def _known_or_new(self, bgr: np.ndarray, reading: FaceReading, index: int) -> _Followed:
        seen = [portrait(bgr, reading)]
        for face in self._lost + self._followed:
            in_place = face.last_frame < index and reading.window.overlaps(face.window)
            if in_place and likeness(seen, face.album.portraits) >= ALIKE_IN_PLACE:
                self._lost = [other for other in self._lost if other is not face]
                self._followed = [other for other in self._followed if other is not face]
                face.window, face.last_frame = reading.window, index
                return face
        new = _Followed(len(self._albums) + 1, reading.window, index)
        self._albums[new.id] = new.album
        return new


def _distinct(readings: list[FaceReading]) -> list[FaceReading]:
    kept: list[FaceReading] = []
    for reading in readings:
        if not any(reading.window.overlaps(other.window) for other in kept):
            kept.append(reading)
    return kept


def _jumps(face: _Followed, reading: FaceReading, index: int) -> bool:
    if face.last_frame != index - 1:
        return False
    before, now = face.window, reading.window
    grown = max(now.side / before.side, before.side / now.side)
    return grown > _JUMP_SCALE or _distance(now, before) > _JUMP_SIDES * before.side


def _distance(a: Window, b: Window) -> float:
    return float(np.hypot(a.x + a.side / 2 - b.x - b.side / 2, a.y + a.side / 2 - b.y - b.side / 2))
