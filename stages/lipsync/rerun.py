"""Some lines made anew: what their mouths must show is planned and drawn again, everything else stays as it was.

Frames whose demand did not change keep the mouth that was chosen for them, and the path of the others is pinned to them
at both ends. What depends on the whole clip (the speaker's range) is taken from the first time. Only the groups of
pictures that hold a changed frame are decoded, drawn and encoded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from language_packs import PARAMETERS
from stages.artifacts import (
    FaceTrack,
    Media,
    Picture,
    Redrawn,
    SourceVideo,
    SpeakerFaces,
    Trajectory,
)
from stages.errors import InputError
from stages.lipsync import LipsyncConfig, kept
from stages.lipsync.closures import closures
from stages.lipsync.feedback import SeenMouth
from stages.lipsync.library import MouthLibrary
from stages.lipsync.plan import Demand, FacePlan, choose_mouths, demands, make_plan, unsynced
from stages.lipsync.render import encoding, rendered_frames, seen_mouths, sync
from stages.lipsync.splice import Piece, group_spans, splice
from stages.lipsync.track_file import FaceStates
from stages.picture_writer import PictureWriter
from stages.progress import Progress


@dataclass(frozen=True)
class Replanned:
    """The plans of a re-run."""

    asked: dict[int, Demand]
    plans: dict[int, FacePlan]
    """By face id; of all that were driven before, up to the choice of mouths."""
    changed: dict[int, np.ndarray]
    """bool (k,) per face id: rows that must show something else than before."""
    frames: np.ndarray
    """int (n,): the frames of those rows, ascending."""


def resync(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    previous: Picture,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> Picture:
    """See :func:`stages.lipsync.resync`."""
    if previous.video is None:  # no mouth was moved, so there is nothing to keep
        return sync(video, media, track, faces, trajectory, None, config, out, progress)
    assert previous.crf is not None
    encode = encoding(previous.crf, config)
    times_ms = np.load(media.file(media.frame_times))
    cuts = [first for first, _ in track.shots]
    again = replan(media, track, faces, trajectory, previous, config)
    spans = group_spans(again.frames, times_ms, cuts)
    gaps_iod = {
        face: np.where(again.changed[face], np.nan, before.gap_iod) for face, before in kept.load(previous).items()
    }
    all_frames = sum(last - first + 1 for first, last in spans)
    decoded: Counter[str] = Counter()
    drawn, pieces = 0, []
    with chosen(again, previous, track, config, out) as painters:
        for first, last in spans:
            piece = Piece(first, last, out / f".piece_{first}.mp4")
            with PictureWriter(piece.file, video, media, encode, cuts, first, last) as writer:
                for index, bgr, patches in rendered_frames(
                    video, media, painters, first, last, lambda: decoded.update(["frames"])
                ):
                    writer.write(bgr)
                    drawn += 1
                    for face, patch in patches.items():
                        gaps_iod[face][again.plans[face].states.row(index)] = patch.gap_iod
                    progress(drawn / all_frames)
            pieces.append(piece)
        kept.save(out, {face: (each.plan, each.painter.library) for face, each in painters.items()}, gaps_iod)
    splice(previous.file(previous.video), pieces, out / previous.video)
    for piece in pieces:
        piece.file.unlink()
    moved = [plan.states.frames[plan.driven_rows()] for plan in again.plans.values()]
    return Picture(
        crf=previous.crf,
        changed_frames=len(np.unique(np.concatenate(moved))),
        closures=closures(again.plans, gaps_iod, times_ms, config.closed_gap_iod),
        unsynced=unsynced(faces, again.plans, again.asked, media, config),
        redrawn=Redrawn(changed_frames=len(again.frames), drawn_frames=drawn, decoded_frames=decoded["frames"]),
    )


def replan(
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    previous: Picture,
    config: LipsyncConfig,
) -> Replanned:
    """Plan every driven face again, up to the choice of mouths, and find what differs from the previous picture.

    Raises:
        InputError: a face is to be driven that was not driven before.
    """
    times_ms = np.load(media.file(media.frame_times))
    shots = {first for first, _ in track.shots}
    before = kept.load(previous)
    asked = demands(faces, trajectory, media)
    plans: dict[int, FacePlan] = {}
    changed: dict[int, np.ndarray] = {}
    for face in sorted({*before, *asked}):
        demand = asked.get(face) or Demand(
            np.zeros(len(times_ms), dtype=bool), np.zeros((len(times_ms), len(PARAMETERS)))
        )
        reach = before[face].reach if face in before else None
        plan = make_plan(FaceStates(track, face), shots, demand, times_ms, config, reach)
        if face in before:
            plan.picks[:], plan.mix[:] = before[face].picks, before[face].mix
            plans[face], changed[face] = plan, _differing(plan, before[face])
        elif len(plan.driven_rows()):
            raise InputError(
                f"face {face} would have to speak, and it was left as it is in the finished dub; dub the video again "
                "with --force and without --line."
            )
    frames = np.unique(np.concatenate([plan.states.frames[changed[face]] for face, plan in plans.items()]))
    return Replanned({face: demand for face, demand in asked.items() if face in plans}, plans, changed, frames)


@contextmanager
def chosen(
    again: Replanned, previous: Picture, track: FaceTrack, config: LipsyncConfig, out: Path
) -> Iterator[dict[int, SeenMouth]]:
    """Choose mouths for the changed rows from the libraries that were kept, and lend those who draw them.

    The libraries are handed on to ``out``.
    """
    shots = {first for first, _ in track.shots}
    before = kept.load(previous)
    libraries: dict[int, MouthLibrary] = {}
    for face, plan in again.plans.items():
        name = kept.library_name(face)
        file = kept.hand_on(previous, name, out / name)
        libraries[face] = MouthLibrary(file, before[face].index)
        choose_mouths(plan, libraries[face], shots, config, changed=again.changed[face])
    with seen_mouths(again.plans, libraries, config) as painters:
        try:
            yield painters
        finally:
            for library in libraries.values():
                library.close()


def _differing(plan: FacePlan, before: kept.KeptFace) -> np.ndarray:
    """Return bool (k,): driven rows, before or now, that must show something else."""
    is_driven = (plan.strength > 0) | (before.strength > 0)
    differs = (plan.target != before.target).any(axis=1) | (plan.contacts != before.contacts)
    return is_driven & (differs | (plan.strength != before.strength))
