"""Stills to look at: the source above, its dub below, where the lips must meet and where they open widest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from language_packs import PARAMETERS
from stages import media as video_files
from stages.artifacts import FaceTrack, Media, SourceVideo, SpeakerFaces, Trajectory, Viseme
from stages.evaluate.picture import rendered_frames
from stages.lipsync.geometry import picture_iod_px
from stages.lipsync.landmarks import LIPS
from stages.lipsync.plan import Demand, demands
from stages.lipsync.targets import contact_rows
from stages.lipsync.track_file import FaceStates

_COLUMNS = 6
_MOST = {"closure": 9, "labiodental": 3, "": 6}
"""How many closures, labiodentals and wide vowels are shown."""
_APART_MS = 250.0
"""Stills of one kind are at least this far apart."""
_WIDTH_IOD, _HEIGHT_IOD, _BELOW_IOD = 1.5, 1.3, 0.1
"""Size of a still, and how far its middle is below the middle of the lips: from the nose to below the chin."""
_LEAST_WIDTH_PX = 220
"""Smaller stills are enlarged by a whole number."""
_LABEL_PX = 18


@dataclass(frozen=True)
class _Still:
    face: int
    frame: int
    label: str


def contact_sheet(
    video: SourceVideo,
    media: Media,
    rendered: SourceVideo,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    path: Path,
) -> None:
    """Write a PNG with the lower face, at full size, at chosen phones; without a driven face nothing is written."""
    times_ms = np.load(media.file(media.frame_times))
    stills: list[_Still] = []
    for face, demand in demands(faces, trajectory, media).items():
        stills += _chosen(face, demand, trajectory, FaceStates(track, face), times_ms)
    if not stills:
        return
    states = {face: FaceStates(track, face) for face in {still.face for still in stills}}
    versions = (video_files.frames(video, media), rendered_frames(rendered, media))
    rows = [_pictures(frames, stills, states) for frames in versions]
    cells = [
        np.vstack([_label(still, times_ms, before.shape[1]), before, after])
        for still, before, after in zip(stills, *rows, strict=True)
    ]
    cv2.imwrite(str(path), _grid(cells))


def _chosen(
    face: int, demand: Demand, trajectory: Trajectory, states: FaceStates, times_ms: np.ndarray
) -> list[_Still]:
    """Return the stills of one face by kind, and within a kind by time."""
    aperture = demand.parameters[:, PARAMETERS.index("aperture")]
    shown = np.zeros(len(times_ms), dtype=bool)
    shown[states.frames] = True
    shown &= demand.wanted
    stills = []
    for kind, most in _MOST.items():
        frames: dict[int, Viseme] = {}
        for viseme in trajectory.visemes:
            rows = contact_rows(viseme, times_ms)
            frame = int(rows[np.argmin(aperture[rows])] if kind else rows[np.argmax(aperture[rows])])
            if viseme.contact == kind and shown[frame] and viseme.start_ms <= times_ms[-1]:
                frames.setdefault(frame, viseme)
        # Contacts are all alike, so any will do; of the rest the widest are wanted.
        ranked = sorted(frames) if kind else sorted(frames, key=lambda frame: (-aperture[frame], frame))
        picked: list[int] = []
        for frame in ranked:
            if all(abs(times_ms[frame] - times_ms[other]) >= _APART_MS for other in picked):
                picked.append(frame)
        step = max(1, len(picked) // most) if kind else 1
        stills += [_Still(face, frame, _name(frames[frame])) for frame in sorted(picked[::step][:most])]
    return stills


def _name(viseme: Viseme) -> str:
    """Return the phone, or the name of its viseme where the phone is not ASCII (OpenCV's letters are)."""
    return viseme.ipa if viseme.ipa.isascii() else viseme.viseme


def _pictures(frames: Iterator[np.ndarray], stills: list[_Still], states: dict[int, FaceStates]) -> list[np.ndarray]:
    wanted: dict[int, list[int]] = {}
    for place, still in enumerate(stills):
        wanted.setdefault(still.frame, []).append(place)
    found: dict[int, np.ndarray] = {}
    for index, bgr in enumerate(frames):
        for place in wanted.get(index, ()):
            found[place] = _crop(bgr, states[stills[place].face], index)
    return [found[place] for place in range(len(stills))]


def _crop(bgr: np.ndarray, states: FaceStates, frame: int) -> np.ndarray:
    row = states.row(frame)
    assert row is not None
    lips = states.landmarks(row, row + 1)[0, LIPS, :2]
    middle = states.landmarks(len(states.frames) // 2, len(states.frames) // 2 + 1)[0]
    iod_px = float(picture_iod_px(middle))  # one size for the whole clip
    width, height = round(_WIDTH_IOD * iod_px), round(_HEIGHT_IOD * iod_px)
    center = lips.mean(axis=0) + np.array([0, _BELOW_IOD * iod_px])
    cut = cv2.getRectSubPix(bgr, (width, height), np.rint(center).tolist())
    scale = max(1, round(_LEAST_WIDTH_PX / width))
    return cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def _label(still: _Still, times_ms: np.ndarray, width: int) -> np.ndarray:
    strip = np.full((_LABEL_PX, width, 3), 255, np.uint8)
    text = f"{still.label}  {times_ms[still.frame] / 1000:.2f} s  frame {still.frame}"
    cv2.putText(strip, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _grid(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Return the cells in rows of :data:`_COLUMNS`, those of one row as high as its highest."""
    bands = [cells[first : first + _COLUMNS] for first in range(0, len(cells), _COLUMNS)]
    columns = min(_COLUMNS, len(cells))
    width = max(cell.shape[1] for cell in cells)
    rows = []
    for band in bands:
        row = np.full((max(cell.shape[0] for cell in band) + 4, columns * (width + 4), 3), 255, np.uint8)
        for place, cell in enumerate(band):
            row[: cell.shape[0], place * (width + 4) : place * (width + 4) + cell.shape[1]] = cell
        rows.append(row)
    return np.vstack(rows)
