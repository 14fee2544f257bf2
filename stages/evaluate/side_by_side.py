"""Source and dub beside each other at a quarter of the speed, cut to the faces that were driven."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from stages import media as video_files
from stages.artifacts import FaceTrack, Media, SourceVideo, SpeakerFaces, Trajectory
from stages.evaluate.picture import rendered_frames
from stages.lipsync.plan import demands
from stages.lipsync.track_file import FaceStates
from stages.pixels import frame_of

_SLOWER = 4
_MARGIN = 0.25
"""What is shown around the faces, in shares of their box."""
_LEAST_HEIGHT_PX = 480
"""Lower pictures are enlarged by a whole number."""
_CRF = "16"


def side_by_side(
    video: SourceVideo,
    media: Media,
    rendered: SourceVideo,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    path: Path,
) -> None:
    """Write a silent H.264 MP4: the source on the left, the dub on the right; without a driven face, nothing."""
    driven = sorted(demands(faces, trajectory, media))
    if not driven:
        return
    rows, columns = _around([FaceStates(track, face) for face in driven], media)
    scale = max(1, _LEAST_HEIGHT_PX // (rows.stop - rows.start))
    times_ms = np.load(media.file(media.frame_times))
    with av.open(f"file:{path}", "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=media.picture.fps / _SLOWER, options={"crf": _CRF, "threads": "2"})
        stream.width, stream.height = 2 * scale * (columns.stop - columns.start), scale * (rows.stop - rows.start)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        versions = zip(video_files.frames(video, media), rendered_frames(rendered, media), strict=True)
        for time_ms, (before, after) in zip(times_ms, versions, strict=True):
            both = np.hstack([before[rows, columns], after[rows, columns]])
            both = cv2.resize(both, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            frame = frame_of(both, stream.codec_context)
            frame.pts, frame.time_base = round(_SLOWER * time_ms), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _around(faces: list[FaceStates], media: Media) -> tuple[slice, slice]:
    """Return rows and columns, of even lengths, that hold the faces throughout the clip."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for states in faces:
        for _, block in states.blocks():
            low = np.minimum(low, block[..., :2].min(axis=(0, 1)))
            high = np.maximum(high, block[..., :2].max(axis=(0, 1)))
    margin = _MARGIN * (high - low)
    size = np.array([media.picture.width_px, media.picture.height_px])
    first = np.clip(low - margin, 0, size - 2).astype(int)
    last = np.clip(high + margin, first + 2, size).astype(int)
    last -= (last - first) % 2
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))
