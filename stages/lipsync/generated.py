"""Engines that generate faces: what they are given, what they return, and how it gets into the picture.

The clip is decoded once to cut out the driven faces; the engine makes a patch of every crop; then the frames are drawn
like those of any other engine (:mod:`stages.lipsync.pasted`). Crops and patches lie in a scratch folder, not in memory.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from scipy.ndimage import uniform_filter1d

from stages import media as video_files
from stages.errors import InputError
from stages.lipsync.ahead import read_ahead
from stages.lipsync.feedback import SeenMouth
from stages.lipsync.framing import Framing
from stages.lipsync.landmarks import CHEEKS, CHIN_SKIN
from stages.lipsync.library import color_gains
from stages.lipsync.painting import Painter, Scene
from stages.lipsync.pasted import PastedFace
from stages.lipsync.plan import FacePlan
from stages.lipsync.track_file import unbroken_runs
from stages.lipsync.voices import voice_of_face
from stages.progress import Progress

_CUT_SHARE = 0.1
"""Of the work, for the progress."""
_SKIN = np.concatenate([CHEEKS, CHIN_SKIN])
"""Landmarks whose colours are compared."""
_GAIN_FRAMES = 9
"""Over so many frames the gains of the colours are smoothed."""


class FaceJob(NamedTuple):
    """One face to be generated: n driven frames."""

    crops: np.ndarray
    """uint8 (n, size, size, 3) BGR."""
    to_picture: np.ndarray
    """float64 (n, 2, 3): affine maps from the crops' pixels to the picture's."""
    frames: np.ndarray
    """int (n,): numbers of the frames in the clip, ascending."""
    times_ms: np.ndarray
    """float64 (n,) when they are shown."""
    runs: tuple[tuple[int, int], ...]
    """First and last crop (inclusive) of stretches without a missing frame or a cut."""
    voice: np.ndarray
    """float32 (samples,) at 16 kHz from time 0: what the face says in the dub, silence elsewhere."""
    patches: np.ndarray
    """uint8 (n, size, size, 3) BGR, to be filled by the engine: the same crops, speaking."""


class Generator(Protocol):
    """An engine that generates faces."""

    @property
    def framing(self) -> Framing:
        """How it wants them cut out."""

    def generate(self, jobs: Mapping[int, FaceJob], fps: float, scratch: Path, progress: Progress) -> None:
        """Fill the patches of all faces, by id; ``scratch`` is an empty folder that is removed later."""


@contextmanager
def generated_faces(
    seen: dict[int, SeenMouth], scene: Scene, generator: Generator, progress: Progress
) -> Iterator[Mapping[int, Painter]]:
    """Have the driven faces generated and lend who puts them into the picture, by face id.

    Raises:
        InputError: there is no speech to go by.
    """
    if scene.speech is None:
        raise InputError("this engine of the lip-sync goes by the dub's sound, and none was given.")
    with tempfile.TemporaryDirectory(prefix=".faces-", dir=scene.scratch) as name:
        folder = Path(name)
        jobs = {face: _job(face, each.plan, scene, generator.framing, folder) for face, each in seen.items()}
        _cut(jobs, scene, generator.framing, lambda share: progress(_CUT_SHARE * share))
        scratch = folder / "engine"
        scratch.mkdir()
        fps = float(scene.media.picture.fps)
        generator.generate(jobs, fps, scratch, lambda share: progress(_CUT_SHARE + (1 - _CUT_SHARE) * share))
        del generator  # its memory is free while the frames are drawn
        yield {face: PastedFace(each, jobs[face], _gains(each.plan, jobs[face])) for face, each in seen.items()}


def _job(face: int, plan: FacePlan, scene: Scene, framing: Framing, folder: Path) -> FaceJob:
    assert scene.speech is not None
    rows = plan.driven_rows()
    frames = plan.states.frames[rows]
    landmarks = (plan.states.landmarks(row, row + 1) for row in rows.tolist())
    to_picture = np.concatenate([framing.to_picture(each, plan.reference) for each in landmarks])
    shape = (len(rows), framing.size_px, framing.size_px, 3)
    is_new_shot = np.diff(plan.shot[rows], prepend=plan.shot[rows[0]]) != 0
    return FaceJob(
        crops=_images(folder / f"crops_{face}.bgr", shape),
        to_picture=to_picture,
        frames=frames,
        times_ms=np.load(scene.media.file(scene.media.frame_times))[frames],
        runs=tuple((first, end - 1) for first, end in unbroken_runs(frames, set(frames[is_new_shot].tolist()))),
        voice=voice_of_face(face, scene.faces, scene.trajectory, scene.speech, scene.media),
        patches=_images(folder / f"patches_{face}.bgr", shape),
    )


def _images(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return uint8 zeros of this shape that lie in a file; a full disk is an error here and not later."""
    with file.open("wb") as opened:
        for _ in range(shape[0]):
            opened.write(bytes(math.prod(shape[1:])))
    return np.memmap(file, np.uint8, "r+", shape=shape)


def _cut(jobs: Mapping[int, FaceJob], scene: Scene, framing: Framing, progress: Progress) -> None:
    first = min(int(job.frames[0]) for job in jobs.values())
    last = max(int(job.frames[-1]) for job in jobs.values())
    numbers = {face: {frame: number for number, frame in enumerate(job.frames.tolist())} for face, job in jobs.items()}
    for frame, bgr in enumerate(read_ahead(video_files.frames(scene.video, scene.media, first, last)), start=first):
        for face, job in jobs.items():
            number = numbers[face].get(frame)
            if number is not None:
                job.crops[number] = framing.cut(bgr, job.to_picture[number])
        progress((frame - first + 1) / (last - first + 1))


def _gains(plan: FacePlan, job: FaceJob) -> np.ndarray:
    """Return float32 (n, 3): what brings the colours of the generated skin to those of the frame's own."""
    gains = np.empty((len(job.frames), 3), dtype=np.float32)
    for number, row in enumerate(plan.driven_rows().tolist()):
        points = plan.states.landmarks(row, row + 1)[0, :, :2].astype(np.float64)
        linear, offset = job.to_picture[number, :, :2], job.to_picture[number, :, 2]
        in_crop = (points - offset) @ np.linalg.inv(linear).T
        is_seen = plan.states.cover.is_seen(row, _SKIN)
        where = in_crop[_SKIN[is_seen] if is_seen.any() else _SKIN]
        wanted, given = (_colors(image[number], where) for image in (job.crops, job.patches))
        # The middle one of the points: where the mouth has moved to, some are no skin.
        gains[number] = np.median([color_gains(*pair) for pair in zip(wanted, given, strict=True)], axis=0)
    for first, last in job.runs:
        part = slice(first, last + 1)
        gains[part] = uniform_filter1d(gains[part], _GAIN_FRAMES, axis=0, mode="nearest")
    return gains


def _colors(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return float32 (n, 3): the colours of an image uint8 (size, size, 3) around points (n, 2)."""
    x, y = np.clip(np.rint(points).astype(int), 0, len(image) - 1).T
    return cv2.blur(image, (5, 5))[y, x].astype(np.float32)
