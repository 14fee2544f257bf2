"""A long clip in parts: planned as a whole, drawn and encoded part by part, joined packet by packet.

The parts are decided by the clip and the settings alone. They are always encoded apart, because what x264 makes of a
group of pictures depends on those before it: so the picture is the same wherever, in whatever order and however often
interrupted its parts were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.artifacts import (
    FaceTrack,
    Media,
    Picture,
    PicturePart,
    PictureParts,
    PicturePlan,
    SourceVideo,
    SpeakerFaces,
    Trajectory,
)
from stages.lipsync import LipsyncConfig, kept, planned
from stages.lipsync.closures import closures
from stages.lipsync.crops import pixels_name
from stages.lipsync.plan import FacePlan
from stages.lipsync.render import chosen_mouths, decided, encode_drawn, encoding, rendered_frames, seen_mouths, unread
from stages.lipsync.splice import Piece, join
from stages.media import picture_time_base
from stages.picture_writer import PictureWriter, frame_stamps, picture_groups
from stages.progress import Progress


def part_spans(times_ms: np.ndarray, cuts: Sequence[int], part_s: float) -> tuple[tuple[int, int], ...]:
    """Return first and last frame (inclusive) of every part: successive groups of pictures, about equally long.

    Args:
        times_ms: (frames,) presentation times.
        cuts: first frames of shots.
        part_s: longest part; the last group of one may reach beyond it.
    """
    groups = picture_groups(times_ms, cuts)
    begins_ms = np.array([times_ms[first] - times_ms[0] for first, _ in groups])
    length_ms = float(times_ms[-1] - times_ms[0])
    count = max(1, int(np.ceil(length_ms / (1000 * part_s))))
    of_part = (begins_ms * count // max(length_ms, 1.0)).astype(int)
    parts = np.split(np.array(groups), np.flatnonzero(np.diff(of_part)) + 1)
    return tuple((int(part[0, 0]), int(part[-1, 1])) for part in parts)


def plan_picture(
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> PicturePlan:
    """See :func:`stages.lipsync.plan_picture`."""
    drawn, left, crf = decided(media, track, faces, trajectory, config)
    progress(0.5)
    with chosen_mouths(track, drawn, config) as libraries:
        planned.save(out, drawn, libraries)
    progress(1.0)
    times_ms, cuts = np.load(media.file(media.frame_times)), [first for first, _ in track.shots]
    return PicturePlan(
        crf=crf,
        parts=() if crf is None else part_spans(times_ms, cuts, config.part_s),
        visemes={face: tuple(plan.visemes) for face, plan in drawn.items()},
        unsynced=left,
    )


def draw_part(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    plan: PicturePlan,
    span: tuple[int, int],
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> PicturePart:
    """See :func:`stages.lipsync.draw_part`."""
    assert plan.crf is not None
    first, last = span
    plans, indices = planned.load(plan, track)
    gaps_iod = unread(plans)
    part = PicturePart(first_frame=first, last_frame=last, changed_frames=0)
    cuts = [start for start, _ in track.shots]
    with (
        planned.libraries_of(track, indices) as libraries,
        seen_mouths(plans, libraries, config) as painters,
        PictureWriter(out / part.video, video, media, encoding(plan.crf, config), cuts, first, last) as writer,
    ):
        changed = encode_drawn(
            rendered_frames(video, media, painters, first, last),
            writer,
            plans,
            gaps_iod,
            lambda count: progress(count / (last - first + 1)),
        )
    own = {f"gap_iod_{face}": gaps_iod[face][_rows(each, first, last)] for face, each in plans.items()}
    np.savez(out / part.gaps, allow_pickle=False, **own)
    return part.model_copy(update={"changed_frames": changed})


def join_parts(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    plan: PicturePlan,
    drawn: PictureParts,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> Picture:
    """See :func:`stages.lipsync.join_parts`."""
    parts = sorted(drawn.parts, key=lambda part: part.first_frame)
    if tuple((part.first_frame, part.last_frame) for part in parts) != plan.parts:
        raise RuntimeError(f"the parts {parts} are not those of the plan, {plan.parts}")
    if not parts:
        return Picture(video=None, changed_frames=0, unsynced=plan.unsynced)
    plans, indices = planned.load(plan, track)
    gaps_iod = unread(plans)
    for part in parts:
        with np.load(part.file(part.gaps)) as read:
            for face, each in plans.items():
                gaps_iod[face][_rows(each, part.first_frame, part.last_frame)] = read[f"gap_iod_{face}"]
    with planned.libraries_of(track, indices) as libraries:
        for face in plans:
            kept.hand_on(track, pixels_name(face), out / kept.library_name(face))
        kept.save(out, {face: (each, libraries[face]) for face, each in plans.items()}, gaps_iod)
    picture = Picture(
        crf=plan.crf,
        changed_frames=sum(part.changed_frames for part in parts),
        closures=closures(plans, gaps_iod, np.load(media.file(media.frame_times)), config.closed_gap_iod),
        unsynced=plan.unsynced,
    )
    time_base = picture_time_base(video, media)
    pieces = [Piece(part.first_frame, part.last_frame, part.file(part.video)) for part in parts]
    join(pieces, frame_stamps(media, time_base), time_base, out / str(picture.video))
    progress(1.0)
    return picture


def _rows(plan: FacePlan, first: int, last: int) -> slice:
    """Return the rows of a face within the frames ``first..last``."""
    start, end = np.searchsorted(plan.states.frames, [first, last + 1]).tolist()
    return slice(start, end)
