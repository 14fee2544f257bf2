"""The result, tracked again: does the mouth do what the dub says, and does the picture hold still?

Every figure stands beside the untouched source's own. Definitions: the table of figures in the lip-sync notes;
"inner gap" is :func:`geometry.picture_gap_iod`, the flicker measure is the warping error of Lai et al. 2018,
"Learning blind video temporal consistency".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from language_packs import PARAMETERS
from stages import media as video_files
from stages.artifacts import FaceTrack, Media, Record, SourceVideo, SpeakerFaces, Trajectory, Viseme
from stages.lipsync import LipsyncConfig
from stages.lipsync.closures import read_again
from stages.lipsync.detector import FaceReader
from stages.lipsync.geometry import picture_gap_iod, picture_width_iod
from stages.lipsync.landmarks import LIPS
from stages.lipsync.plan import Demand
from stages.lipsync.render import plan_faces
from stages.lipsync.targets import contact_rows
from stages.lipsync.track_file import FaceStates

_MARGIN_IOD = 0.15
_NEAR_MS = 80.0
"""A closed frame this close to a closing phone is no false closure."""


class MouthFigures(Record):
    """What one version of the picture shows on one driven face. Rates are shares 0-1."""

    frames: int
    closure_rate: float | None
    """p b m whose frames reach the closed gap; None where there are none."""
    labiodental_rate: float | None
    """f v likewise."""
    false_closures: float
    """Share of the closed frames in speech that lie near no contact."""
    aperture_correlation: float
    """Inner gap against the trajectory's aperture, in frames in which the dub speaks."""
    width_correlation: float
    offset_frames: int
    """Lag of the best aperture correlation; positive when the mouth is late."""
    silence_motion_iod: float
    """Standard deviation of the inner gap where the driven mouth should rest; nan without such frames."""
    warping_error: float
    """Mean absolute grey difference to the flow-compensated previous frame in the mouth box."""
    laplacian_energy: float
    """Mean squared Laplacian in the mouth box."""


class FaceFigures(Record):
    """A driven face: the dub's figures beside the source's."""

    face: int
    dub: MouthFigures
    source: MouthFigures
    amplitude_ratio: float
    """Standard deviation of the dub's inner gap in speech over that of the gap that was planned."""

    @property
    def flicker(self) -> float:
        """Warping error over the source's."""
        return self.dub.warping_error / self.source.warping_error

    @property
    def sharpness(self) -> float:
        """Laplacian energy over the source's."""
        return self.dub.laplacian_energy / self.source.laplacian_energy


def measure(
    video: SourceVideo,
    media: Media,
    rendered: Path,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    config: LipsyncConfig,
) -> tuple[FaceFigures, ...]:
    """Track a re-rendered picture again and compare it, and the source, with the trajectory.

    Args:
        video: the source.
        media: what was ingested of it.
        rendered: the file that :func:`stages.lipsync.sync` wrote.
        track: the source's faces.
        faces: who spoke.
        trajectory: what the mouths were driven by.
        config: its ``closed_gap_iod`` decides what is closed.
    """
    asked, plans = plan_faces(media, track, faces, trajectory, config)
    with np.load(trajectory.file(trajectory.arrays)) as arrays:
        speaking = np.any([arrays[f"{speaker}.speaking"] for speaker in trajectory.speakers], axis=0)
    times_ms = np.load(media.file(media.frame_times))
    results = []
    for face, demand in asked.items():
        states = FaceStates(track, face)
        frames = states.frames[demand.wanted[states.frames]]
        versions = []
        with FaceReader() as reader:
            for pictures in (_of_rendered(rendered, media), video_files.frames(video, media)):
                versions.append(_watch(pictures, states, set(frames.tolist()), reader))
        dub, source = (_figures(seen, demand, speaking, times_ms, config) for seen in versions)
        seen_frames = np.array(versions[0].frames)
        speaks = speaking[seen_frames]
        planned = plans[face].target[np.searchsorted(states.frames, seen_frames[speaks]), 0]
        ratio = float(np.std(np.array(versions[0].gaps)[speaks]) / np.std(planned))
        results.append(FaceFigures(face=face, dub=dub, source=source, amplitude_ratio=ratio))
    return tuple(results)


class _Seen:
    """What was measured in the frames of one version."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.gaps: list[float] = []
        self.widths: list[float] = []
        self.laplacian: list[float] = []
        self.warping: list[float] = []


def _of_rendered(rendered: Path, media: Media) -> Iterator[np.ndarray]:
    picture = media.picture.model_copy(update={"index": 0, "rotation_deg": 0})
    upright = media.model_copy(update={"picture": picture})
    return video_files.frames(SourceVideo(path=rendered, sha256=""), upright.at(media.file("")))


def _watch(pictures: Iterator[np.ndarray], states: FaceStates, frames: set[int], reader: FaceReader) -> _Seen:
    seen, previous = _Seen(), None
    for index, bgr in enumerate(pictures):
        row = states.row(index)
        if index not in frames or row is None:
            previous = None
            continue
        landmarks = states.landmarks(row, row + 1)[0]
        reading = read_again(reader, bgr, landmarks)
        if reading is None:
            continue
        seen.frames.append(index)
        seen.gaps.append(float(picture_gap_iod(reading.landmarks)))
        seen.widths.append(float(picture_width_iod(reading.landmarks)))
        mouth = _mouth_box(bgr, landmarks)
        seen.laplacian.append(float((cv2.Laplacian(mouth, cv2.CV_32F) ** 2).mean()))
        if previous is not None:
            seen.warping.append(_warping_error(cv2.resize(previous, mouth.shape[::-1]), mouth))
        previous = mouth
    return seen


def _mouth_box(bgr: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    margin = _MARGIN_IOD * float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))
    low = np.maximum(landmarks[LIPS, :2].min(axis=0) - margin, 0).astype(int)
    high = (landmarks[LIPS, :2].max(axis=0) + margin).astype(int)
    return cv2.cvtColor(bgr[low[1] : high[1], low[0] : high[0]], cv2.COLOR_BGR2GRAY)


def _warping_error(before: np.ndarray, after: np.ndarray) -> float:
    still = np.zeros((*after.shape, 2), dtype=np.float32)
    flow = cv2.calcOpticalFlowFarneback(after, before, still, 0.5, 3, 13, 3, 5, 1.1, 0)
    y, x = np.mgrid[: after.shape[0], : after.shape[1]].astype(np.float32)
    warped = cv2.remap(before, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(warped, after).mean())


def _figures(
    seen: _Seen, demand: Demand, speaking: np.ndarray, times_ms: np.ndarray, config: LipsyncConfig
) -> MouthFigures:
    frames, gaps, widths = np.array(seen.frames), np.array(seen.gaps), np.array(seen.widths)
    speaks = speaking[frames]
    aperture = demand.parameters[frames, PARAMETERS.index("aperture")]
    closed = gaps <= config.closed_gap_iod
    near_contact = np.zeros(len(frames), dtype=bool)
    for viseme in demand.visemes:
        near_contact |= (times_ms[frames] > viseme.start_ms - _NEAR_MS) & (times_ms[frames] < viseme.end_ms + _NEAR_MS)
    is_false = closed & speaks & ~near_contact & (aperture > 0.2)
    rest = ~speaks
    lags = range(-4, 5)
    by_lag = [_lagged(gaps[speaks], aperture[speaks], lag) for lag in lags]
    return MouthFigures(
        frames=len(frames),
        closure_rate=_contact_rate(demand.visemes, "closure", times_ms[frames], gaps, config.closed_gap_iod),
        labiodental_rate=_contact_rate(demand.visemes, "labiodental", times_ms[frames], gaps, config.closed_gap_iod),
        false_closures=float(is_false.sum() / max(1, (closed & speaks).sum())),
        aperture_correlation=_lagged(gaps[speaks], aperture[speaks], 0),
        width_correlation=_lagged(widths[speaks], demand.parameters[frames, PARAMETERS.index("width")][speaks], 0),
        offset_frames=int(lags[int(np.argmax(by_lag))]),
        silence_motion_iod=float(gaps[rest].std()) if rest.any() else float("nan"),
        warping_error=float(np.mean(seen.warping)),
        laplacian_energy=float(np.mean(seen.laplacian)),
    )


def _contact_rate(
    visemes: list[Viseme], contact: str, times_ms: np.ndarray, gaps: np.ndarray, closed_gap_iod: float
) -> float | None:
    reached = [
        bool(gaps[contact_rows(viseme, times_ms)].min() <= closed_gap_iod)
        for viseme in visemes
        if viseme.contact == contact
    ]
    return sum(reached) / len(reached) if reached else None


def _lagged(measured: np.ndarray, asked: np.ndarray, lag: int) -> float:
    """Return the correlation of ``measured`` with ``asked`` where the former is ``lag`` frames late."""
    if lag > 0:
        measured, asked = measured[lag:], asked[:-lag]
    elif lag < 0:
        measured, asked = measured[:lag], asked[-lag:]
    if len(measured) < 3 or measured.std() == 0 or asked.std() == 0:
        return 0.0
    return float(np.corrcoef(measured, asked)[0, 1])
