"""What moving the lips in parts costs: ``python -m bench.parts CLIP --seconds 40 --part-s 10``.

The clip is repeated until it is that long, and the largest face driven by a made-up trajectory, in one stage and in
parts. Printed: seconds of the processor, which other work may share; bytes; the PSNR against the source outside the
face's box.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.looping import looped
from language_packs import PARAMETERS
from stages import lipsync
from stages import media as video_files
from stages.artifacts import FaceTrack, FaceTurn, Media, Picture, PictureParts, SourceVideo, SpeakerFaces, Trajectory
from stages.lipsync import LipsyncConfig
from stages.lipsync.track_file import FaceStates
from stages.progress import silent


class Clip(NamedTuple):
    """A tracked clip and what drives it."""

    video: SourceVideo
    media: Media
    track: FaceTrack
    faces: SpeakerFaces
    trajectory: Trajectory


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--part-s", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder for the pictures; it must not be there yet")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch) / "made"
        folder.mkdir()
        clip = prepared(looped(given.clip, folder / "long.mp4", given.seconds), folder)
        config = LipsyncConfig(part_s=given.part_s)
        print(f"{clip.media.picture.frames} frames, {clip.media.picture.end_ms / 1000:.1f} s")
        for number in range(given.rounds):
            show("one stage", *in_one(clip, config, folder / f"single{number}"), clip)
            show("in parts", *in_parts(clip, config, folder / f"parts{number}"), clip)


def prepared(path: Path, folder: Path) -> Clip:
    """Return the clip with its mouth opening and closing all the time."""
    video = video_files.open_source(path)
    media = video_files.ingest(video, video_files.MediaConfig(), folder, silent).at(folder)
    track = lipsync.track(video, media, lipsync.TrackConfig(), folder, silent).at(folder)
    times_ms = np.load(media.file(media.frame_times))
    parameters = np.zeros((len(times_ms), len(PARAMETERS)), dtype=np.float32)
    parameters[:, PARAMETERS.index("width")] = 0.5
    since_ms = times_ms % 430
    parameters[:, PARAMETERS.index("aperture")] = 0.7 * np.sin(np.pi * since_ms / 430)
    parameters[:, PARAMETERS.index("jaw")] = 0.6 * np.sin(np.pi * since_ms / 430)
    parameters[since_ms < 60, PARAMETERS.index("closure")] = 1
    arrays = {"S1": parameters, "S1.speaking": np.ones(len(times_ms), dtype=bool)}
    np.savez(folder / "trajectory.npz", allow_pickle=False, **arrays)
    face = max(track.faces, key=lambda each: np.ptp(FaceStates(track, each.id).landmarks()[..., 1])).id
    turn = FaceTurn(speaker="S1", start_ms=0, end_ms=media.picture.end_ms, face=face, margin=1.0)
    faces = SpeakerFaces(turns=(turn,))
    return Clip(video, media, track, faces, Trajectory(speakers=("S1",), visemes=()).at(folder))


def in_one(clip: Clip, config: LipsyncConfig, out: Path) -> tuple[float, Picture]:
    """Return the processor's seconds that one stage takes, and its picture."""
    out.mkdir()
    begun = time.process_time()
    picture = lipsync.sync(*clip, config, out, silent)
    return time.process_time() - begun, picture.at(out)


def in_parts(clip: Clip, config: LipsyncConfig, out: Path) -> tuple[float, Picture]:
    """Return the processor's seconds that the plan, all parts and the joining take, and the picture."""
    for each in (out, out / "plan", out / "joined"):
        each.mkdir()
    begun = time.process_time()
    plan = lipsync.plan_picture(*clip[1:], config, out / "plan", silent).at(out / "plan")
    planned = time.process_time()
    drawn = []
    for span in plan.parts:
        own = out / str(span[0])
        own.mkdir()
        drawn.append(lipsync.draw_part(*clip[:3], plan, span, config, own, silent).at(own))
    apart = time.process_time()
    picture = lipsync.join_parts(*clip[:3], plan, PictureParts(tuple(drawn)), config, out / "joined", silent)
    joined = time.process_time()
    print(
        f"{len(drawn)} parts from frames {[first for first, _ in plan.parts]}: "
        f"plan {planned - begun:.1f} s, parts {apart - planned:.1f} s, joining {joined - apart:.1f} s"
    )
    return joined - begun, picture.at(out / "joined")


def show(name: str, seconds: float, picture: Picture, clip: Clip) -> None:
    """Print one line."""
    assert picture.video is not None
    file = picture.file(picture.video)
    print(f"{name}: {seconds:.1f} s, {file.stat().st_size} bytes, {psnr_db(file, clip):.2f} dB outside the face")


def psnr_db(file: Path, clip: Clip) -> float:
    """Return the PSNR of an encoded picture against the source, the face's box left out."""
    states = FaceStates(clip.track, clip.faces.turns[0].face or 0)
    made = video_files.open_source(file)
    errors = pixels = 0.0
    pairs = zip(video_files.frames(clip.video, clip.media), video_files.frames(made, clip.media), strict=True)
    for index, (source, other) in enumerate(pairs):
        squared = (source.astype(np.float64) - other) ** 2
        row = states.row(index)
        is_outside = np.ones(squared.shape[:2], dtype=bool)
        if row is not None:
            points = states.landmarks(row, row + 1)[0, :, :2]
            (left, top), (right, bottom) = points.min(axis=0).clip(0).astype(int), points.max(axis=0).astype(int) + 1
            is_outside[top : bottom + (bottom - top) // 5, left:right] = False
        errors += float(squared[is_outside].sum())
        pixels += 3 * float(is_outside.sum())
    return 10 * float(np.log10(255**2 * pixels / errors))


if __name__ == "__main__":
    main()
