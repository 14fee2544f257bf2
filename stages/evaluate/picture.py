"""One pass over a clip: source, drawn and encoded frames side by side, measured for every driven face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages import media as video_files
from stages.artifacts import FaceTrack, Media, SourceVideo, SpeakerFaces, Speech, Trajectory
from stages.evaluate.asked import DRIVEN, Asked, asked_of, speaking
from stages.evaluate.goals import Evaluation, FaceFigures, Figure, figure, of_a_still_mouth, together
from stages.evaluate.mouth_figures import mouth_figures
from stages.evaluate.retrack import Seen
from stages.evaluate.seam import SeamMeter
from stages.lipsync import LipsyncConfig, drawn_frames
from stages.lipsync.composite import Patch
from stages.lipsync.detector import FaceReader
from stages.lipsync.geometry import picture_iod_px
from stages.lipsync.plan import FacePlan, unsynced
from stages.lipsync.render import plan_faces
from stages.progress import Progress


class _Measured:
    """Everything that is measured of one face."""

    def __init__(self, plan: FacePlan, asked: Asked, reader: FaceReader) -> None:
        self.states, self.asked = plan.states, asked
        self.dub, self.source = (Seen(plan.states, plan.reference, len(asked.times_ms), reader) for _ in range(2))
        self.seam = SeamMeter()

    def look(self, index: int, source: np.ndarray, drawn: np.ndarray, encoded: np.ndarray, patch: Patch | None) -> None:
        row = self.states.row(index)
        if row is None:
            return
        self.source.look(index, source)
        if self.asked.driven[index]:
            self.dub.look(index, encoded)
        if patch is not None:
            iod_px = float(picture_iod_px(self.states.landmarks(row, row + 1)[0]))
            self.seam.look(drawn, source, patch, iod_px)

    def figures(self, config: LipsyncConfig, outside: float) -> tuple[Figure, ...]:
        asked, seam = self.asked, self.seam
        speaks = asked.wanted & asked.speaking
        covered = float((asked.driven & speaks).sum() / speaks.sum()) if speaks.any() else None
        return (
            *mouth_figures(self.dub, self.source, asked, config.closed_gap_iod),
            figure("seam_mouth", *seam.steps("mouth"), seam.frames),
            figure("seam_outline", *seam.steps("outline"), seam.frames),
            figure("outside_mask", outside, None, seam.frames),
            figure("coverage", covered, None, int(speaks.sum())),
        )


def evaluate(
    video: SourceVideo,
    media: Media,
    rendered: SourceVideo,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    speech: Speech | None,
    config: LipsyncConfig,
    progress: Progress,
) -> Evaluation:
    """See :func:`stages.evaluate.evaluate`."""
    times_ms = np.load(media.file(media.frame_times))
    demands, plans = plan_faces(media, track, faces, trajectory, config)
    outside = 0.0
    with FaceReader() as reader:
        measured = {
            face: _Measured(plans[face], asked_of(face, demand, plans[face], faces, trajectory, times_ms), reader)
            for face, demand in demands.items()
        }
        if measured:
            drawn = drawn_frames(video, media, track, faces, trajectory, config, speech)
            versions = zip(drawn, video_files.frames(video, media), rendered_frames(rendered, media), strict=True)
            for (index, bgr, patches), source, encoded in versions:
                outside = max(outside, outside_mask(bgr, source, patches))
                for face, each in measured.items():
                    each.look(index, source, bgr, encoded, patches.get(face))
                progress((index + 1) / media.picture.frames)
    figures = {face: each.figures(config, outside) for face, each in measured.items()}
    figures |= {face: of_a_still_mouth(figures[face]) for face in figures if plans[face].never_opens}
    return Evaluation(
        faces=tuple(FaceFigures(face=face, figures=each) for face, each in sorted(figures.items())),
        total=_total(list(figures.values()), plans, faces, trajectory),
        unsynced=unsynced(faces, plans, demands, media, config),
    )


def rendered_frames(rendered: SourceVideo, media: Media) -> Iterator[np.ndarray]:
    """Yield the frames, uint8 BGR (h, w, 3), of a file that has the source's frame times and stands upright."""
    with video_files.opened(rendered.path) as container:
        index = container.streams.video[0].index
    picture = media.picture.model_copy(update={"index": index, "rotation_deg": 0})
    upright = media.model_copy(update={"picture": picture}).at(media.file(""))
    return video_files.frames(rendered, upright)


def outside_mask(drawn: np.ndarray, source: np.ndarray, patches: dict[int, Patch]) -> float:
    """Return the largest difference (grey levels) between drawn and source pixels that no patch has moved."""
    differs = np.abs(drawn.astype(np.int16) - source).max(axis=-1)
    for patch in patches.values():
        differs[patch.box.top : patch.box.bottom, patch.box.left : patch.box.right][patch.moved] = 0
    return float(differs.max())


def _total(
    figures: list[tuple[Figure, ...]], plans: dict[int, FacePlan], faces: SpeakerFaces, trajectory: Trajectory
) -> tuple[Figure, ...]:
    """Return the figures of all faces; coverage also counts speech for which no face was found."""
    speaks = speaking(trajectory, trajectory.speakers)
    driven = np.zeros(len(speaks), dtype=bool)
    for face, plan in plans.items():
        theirs = speaking(trajectory, tuple(turn.speaker for turn in faces.turns if turn.face == face))
        rows = plan.states.frames[plan.strength >= DRIVEN]
        driven[rows] |= theirs[rows]
    covered = float((driven & speaks).sum() / speaks.sum()) if speaks.any() else None
    shown = [each for each in together(figures) if each.key != "coverage"]
    return (*shown, figure("coverage", covered, None, int(speaks.sum())))
