"""A clip driven by its own lips: what comes out should be what went in.

Each frame's target is the articulation measured in it (aperture, width, jaw), and the mouth drawn for it must come from
at least two seconds away, so the true picture cannot be looked up. What is compared: drawn frames before encoding with
the source's. Not hidden from the method: the skin around the mouth is the frame's own, as always with this engine, and
the model of the lower face has seen the whole clip.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from language_packs import PARAMETERS
from stages import media as video_files
from stages.artifacts import FaceTrack, Media, SourceVideo, SpeakerFaces
from stages.errors import InputError
from stages.evaluate.asked import DRIVEN
from stages.evaluate.goals import Evaluation, FaceFigures, Figure, figure, together
from stages.evaluate.retrack import mouth_box, read_again
from stages.evaluate.similarity import at_face_256, landmark_distance, psnr_db, ssim
from stages.lipsync import LipsyncConfig
from stages.lipsync.detector import FaceReader, window_of
from stages.lipsync.geometry import picture_iod_px
from stages.lipsync.landmarks import LIPS
from stages.lipsync.plan import Demand, FacePlan, make_plan
from stages.lipsync.render import painting, rendered_frames
from stages.lipsync.track_file import FaceStates
from stages.progress import Progress

_APART_S = 2.0
_LEAST_S = 5.0
"""Shorter clips leave some frame without a mouth that is two seconds away."""


class _Likeness:
    """Collects what is compared of one face."""

    def __init__(self, plan: FacePlan, reader: FaceReader) -> None:
        self.plan, self._reader = plan, reader
        self._rows: list[tuple[float, float, float, float]] = []

    def look(self, index: int, drawn: np.ndarray, source: np.ndarray) -> None:
        row = self.plan.states.row(index)
        if row is None or self.plan.strength[row] < DRIVEN:
            return
        landmarks = self.plan.states.landmarks(row, row + 1)[0]
        before, after = (read_again(self._reader, bgr, landmarks) for bgr in (source, drawn))
        box = mouth_box(landmarks, source.shape)
        grey = [cv2.cvtColor(bgr[box], cv2.COLOR_BGR2GRAY) for bgr in (source, drawn)]
        distance = math.nan
        if before is not None and after is not None:
            distance = landmark_distance(before.landmarks[LIPS, :2], after.landmarks[LIPS, :2])
        lmd_px = at_face_256(distance, window_of(landmarks).side)
        lmd_iod = distance / float(picture_iod_px(landmarks))
        self._rows.append((lmd_px, lmd_iod, psnr_db(source[box], drawn[box]), ssim(*grey)))

    def figures(self) -> tuple[Figure, ...]:
        rows = np.array(self._rows)
        keys = ("lmd_px", "lmd_iod", "psnr_db", "ssim")
        return tuple(
            figure(key, float(np.nanmean(values)), None, int(np.isfinite(values).sum()))
            for key, values in zip(keys, rows.T, strict=True)
        )


def reenact(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    config: LipsyncConfig,
    progress: Progress,
) -> Evaluation:
    """See :func:`stages.evaluate.reenact`."""
    times_ms = np.load(media.file(media.frame_times))
    if times_ms[-1] - times_ms[0] < _LEAST_S * 1000:
        raise InputError(
            f"{media.file_name} is too short to be driven by itself: mouths come from {_APART_S:g} s away, so it needs "
            f"{_LEAST_S:g} s or more."
        )
    plans = _own_plans(track, faces, times_ms, config)
    if not plans:
        raise InputError(f"{media.file_name}: no face was found that speaks, so there is no mouth to drive.")
    apart = math.ceil(_APART_S * media.picture.fps)
    with FaceReader() as reader, painting(track, plans, config, apart) as painters:
        likeness = {face: _Likeness(plan, reader) for face, plan in plans.items()}
        drawn = rendered_frames(video, media, painters)
        for (index, bgr, _), source in zip(drawn, video_files.frames(video, media), strict=True):
            for each in likeness.values():
                each.look(index, bgr, source)
            progress(0.3 + 0.7 * (index + 1) / media.picture.frames)
    figures = {face: each.figures() for face, each in likeness.items()}
    return Evaluation(
        faces=tuple(FaceFigures(face=face, figures=each) for face, each in sorted(figures.items())),
        total=together(list(figures.values())),
        unsynced=(),
    )


def _own_plans(
    track: FaceTrack, faces: SpeakerFaces, times_ms: np.ndarray, config: LipsyncConfig
) -> dict[int, FacePlan]:
    """Return the plan of every face that speaks, asked to do in each frame of its turns what it does there."""
    shots = {first for first, _ in track.shots}
    plans = {}
    for face in sorted({turn.face for turn in faces.turns if turn.face is not None}):
        wanted = np.zeros(len(times_ms), dtype=bool)
        for turn in faces.turns:
            if turn.face == face:
                wanted |= (times_ms >= turn.start_ms) & (times_ms < turn.end_ms)
        demand = Demand(wanted, np.zeros((len(times_ms), len(PARAMETERS)), dtype=np.float32))
        plan = make_plan(FaceStates(track, face), shots, demand, times_ms, config)
        plan.target = plan.source.copy()
        if (plan.strength >= DRIVEN).any():
            plans[face] = plan
    return plans
