"""The face track on disk: written frame by frame, smoothed block by block, read in slices.

Ten minutes of one face are 86 MB of float32 landmarks; they are never held in memory as a whole. The result is an
uncompressed ``.npz`` (a zip archive of ``.npy`` members), so that a slice of a member can be read at its offset.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy
from scipy.signal import savgol_filter

from stages.artifacts import FaceTrack
from stages.lipsync.cover import Cover
from stages.lipsync.detector import FaceReading
from stages.lipsync.landmarks import COUNT, GAP_PAIRS, LOWER_LIP_ROWS, UPPER_LIP_ROWS
from stages.lipsync.occlusion import Sights, hidden_frames, joined

_BLOCK_FRAMES = 500
_OWN_GAP = 0.6
"""Share of what smoothing took from the inner gap that is given back; measured: the share of it that is no noise."""
_FOLLOWS = (1.0, 0.9, 0.7)
"""How much of it the inner, middle and outer lip points follow."""


class TrackWriter:
    """Collects readings per piece of track in temporary files of ``folder``; :meth:`finish` makes the archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, BinaryIO] = {}
        self.frames: dict[int, list[int]] = {}
        self._poses: dict[int, list[np.ndarray]] = {}
        self._blendshapes: dict[int, list[np.ndarray]] = {}

    def add(self, piece: int, frame: int, reading: FaceReading) -> None:
        """Append one reading; frames of a piece come in ascending order."""
        if piece not in self._files:
            self._files[piece] = self._raw(piece).open("w+b")
            self.frames[piece], self._poses[piece], self._blendshapes[piece] = [], [], []
        self._files[piece].write(reading.landmarks.astype("<f4").tobytes())
        self.frames[piece].append(frame)
        self._poses[piece].append(reading.pose)
        self._blendshapes[piece].append(reading.blendshapes)

    def finish(
        self,
        target: Path,
        people: dict[int, list[int]],
        sights: dict[int, Sights],
        breaks: set[int],
        landmark_window: int,
        pose_window: int,
    ) -> None:
        """Write the faces, smoothed, and remove the temporary files.

        Args:
            target: the archive to write.
            people: by face id the pieces that show this person, one after the other.
            sights: by piece, what :mod:`stages.lipsync.occlusion` saw in its frames.
            breaks: first frames of shots: nothing is smoothed across them, across missing frames or pieces.
            landmark_window: frames of the zero-phase Savitzky-Golay filter (order 2) of the landmarks.
            pose_window: the same for the three angles.
        """
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for face, pieces in people.items():
                frames = np.array([frame for piece in pieces for frame in self.frames[piece]], dtype=np.int32)
                runs = [
                    (piece, a, b)
                    for piece in pieces
                    for a, b in unbroken_runs(np.array(self.frames[piece], dtype=np.int32), breaks)
                ]
                poses = {piece: np.stack(self._poses[piece]) for piece in pieces}
                smooth_poses = [_smooth(poses[piece][a:b], pose_window) for piece, a, b in runs]
                _write_member(archive, f"frames_{face}", frames)
                _write_member(archive, f"pose_{face}", np.concatenate(smooth_poses).astype(np.float32))
                for name, seen in joined([sights[piece] for piece in pieces])._asdict().items():
                    _write_member(archive, f"{name}_{face}", seen)
                shapes = np.concatenate([np.stack(self._blendshapes[piece]) for piece in pieces])
                _write_member(archive, f"blendshapes_{face}", shapes)
                with _member(archive, f"landmarks_{face}") as member:
                    _write_header(member, (len(frames), COUNT, 3))
                    for piece, a, b in runs:
                        for block in self._smoothed_blocks(piece, a, b, landmark_window):
                            member.write(block.astype("<f4").tobytes())
        for piece, file in self._files.items():
            file.close()
            self._raw(piece).unlink()

    def _smoothed_blocks(self, piece: int, start: int, end: int, window: int) -> Iterator[np.ndarray]:
        """Yield the rows ``start..end`` smoothed as one run, a block at a time (the filter is finite)."""
        for first in range(start, end, _BLOCK_FRAMES):
            last = min(first + _BLOCK_FRAMES, end)
            low, high = max(start, first - window), min(end, last + window)
            seen = self._rows(piece, low, high)
            yield with_gaps_of(seen, _smooth(seen, window))[first - low : last - low]

    def _rows(self, piece: int, first: int, last: int) -> np.ndarray:
        file = self._files[piece]
        file.seek(first * COUNT * 3 * 4)
        return np.frombuffer(file.read((last - first) * COUNT * 3 * 4), "<f4").reshape(-1, COUNT, 3)

    def _raw(self, piece: int) -> Path:
        return self._folder / f".piece_{piece}.f4"


class FaceStates:
    """One face of a track, opened for reading; landmarks come in slices."""

    def __init__(self, track: FaceTrack, face: int) -> None:
        self._path = track.file(track.arrays)
        with np.load(self._path) as arrays:
            self.frames: np.ndarray = arrays[f"frames_{face}"]
            """int32 (k,), ascending."""
            self.pose: np.ndarray = arrays[f"pose_{face}"]
            """float32 (k, 3) degrees."""
            sights = Sights(*(arrays[f"{name}_{face}"] for name in Sights._fields))
        self.cover = Cover(sights, self.frames)
        """What lies in front of parts of the face."""
        self.is_hidden: np.ndarray = hidden_frames(sights.likeness, self.cover.hidden_lips, self.frames)
        """bool (k,): the lower face lies behind something."""
        self.is_free: np.ndarray = ~(self.is_hidden | self.cover.touches_mouth)
        """bool (k,): the mouth is seen whole; all rows, where that is so in none."""
        if not self.is_free.any():
            self.is_free[:] = True
        self._offset = _data_offset(self._path, f"landmarks_{face}.npy")

    def landmarks(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Return rows ``first..last`` (exclusive) as float32 (n, 478, 3)."""
        last = len(self.frames) if last is None else last
        with self._path.open("rb") as file:
            file.seek(self._offset + first * COUNT * 3 * 4)
            data = file.read((last - first) * COUNT * 3 * 4)
        return np.frombuffer(data, "<f4").reshape(-1, COUNT, 3)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, landmarks) over the whole track, a block at a time."""
        for first in range(0, len(self.frames), _BLOCK_FRAMES):
            yield first, self.landmarks(first, min(first + _BLOCK_FRAMES, len(self.frames)))

    def row(self, frame: int) -> int | None:
        """Return the row of a frame of the clip, or None where the face is not seen in it."""
        row = int(np.searchsorted(self.frames, frame))
        return row if row < len(self.frames) and self.frames[row] == frame else None

    @classmethod
    def all(cls, track: FaceTrack) -> dict[int, Self]:
        """Open every face of a track."""
        return {face.id: cls(track, face.id) for face in track.faces}


def unbroken_runs(frames: np.ndarray, breaks: set[int]) -> Iterator[tuple[int, int]]:
    """Yield (first row, row after the last) of stretches without a missing frame or a cut inside."""
    start = 0
    for row in range(1, len(frames) + 1):
        if row == len(frames) or frames[row] != frames[row - 1] + 1 or int(frames[row]) in breaks:
            yield start, row
            start = row


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    if len(values) < window:
        return values
    return savgol_filter(values, window, polyorder=2, axis=0, mode="interp")


def with_gaps_of(seen: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Return smoothed landmarks (n, 478, 3) px whose inner gap is, mostly, that of the frame itself.

    Lips open within one frame: smoothed over five, a gap is no longer that of the pixels which are re-used, whereas the
    noise of the other points is what has to go.
    """
    upper, lower = GAP_PAIRS[:, 0], GAP_PAIRS[:, 1]
    lost = ((seen[:, lower] - seen[:, upper]) - (smooth[:, lower] - smooth[:, upper])).mean(axis=1, dtype=np.float64)
    restored = smooth.astype(np.float64)
    across = np.linspace(-1, 1, len(UPPER_LIP_ROWS[0]))
    outline = (1 - across**2) / (1 - across[4:7] ** 2).mean()
    for share, above, below in zip(_FOLLOWS, UPPER_LIP_ROWS, LOWER_LIP_ROWS, strict=True):
        change = _OWN_GAP * share / 2 * outline[1:-1, None] * lost[:, None]
        restored[:, above[1:-1]] -= change
        restored[:, below[1:-1]] += change
    return restored


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # A fixed date: the same track is the same bytes.
    return archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), "w", force_zip64=True)


def _write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with _member(archive, name) as member:
        npy.write_array(member, array, allow_pickle=False)


def _write_header(member: IO[bytes], shape: tuple[int, ...]) -> None:
    npy.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _data_offset(path: Path, member: str) -> int:
    """Return where the numbers of an uncompressed member begin in the archive."""
    with zipfile.ZipFile(path) as archive:
        header = archive.getinfo(member).header_offset
    with path.open("rb") as file:
        file.seek(header + 26)
        name_length, extra_length = np.frombuffer(file.read(4), "<u2")
        file.seek(header + 30 + int(name_length) + int(extra_length))
        npy.read_magic(file)
        npy.read_array_header_1_0(file)
        return file.tell()
