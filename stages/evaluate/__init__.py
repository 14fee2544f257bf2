"""A dub judged: every figure of the picture and the sound beside the untouched source's own, and its goal.

========================  ==============================================================================
``goals``                 the rows of the table and what they must reach
``asked``                 what the trajectory asked of a face, and where it was driven
``retrack``               a version of the picture looked at again: lips, texture, unrest
``mouth_figures``         what was seen compared with what was asked
``seam``                  is there a line where the drawn pixels end?
``picture``               one pass over source, drawn and encoded frames that feeds all of these
``self_reenactment``      a clip driven by its own lips (``similarity``: LMD, PSNR, SSIM)
``contact_sheet``         stills of source and dub to look at
``side_by_side``          both, slowed down
``sound``                 timing, voices, words and mix, line by line (``sound_measures``: levels, residue, clicks)
========================  ==============================================================================
"""

from __future__ import annotations

from pathlib import Path

from stages.artifacts import FaceTrack, Media, SourceVideo, SpeakerFaces, Speech, Trajectory
from stages.evaluate.goals import Evaluation
from stages.evaluate.sound import VERSION as SOUND_VERSION
from stages.evaluate.sound import evaluate_sound
from stages.lipsync import LipsyncConfig
from stages.progress import Progress

VERSION = 1

__all__ = ["SOUND_VERSION", "VERSION", "evaluate", "evaluate_sound", "reenact"]


def evaluate(
    video: SourceVideo,
    media: Media,
    rendered: SourceVideo,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
    speech: Speech | None = None,
) -> Evaluation:
    """Track a dub's picture again and compare it, and the source, with the trajectory.

    Args:
        video: the source.
        media: what was ingested of it.
        rendered: the dub, or any file whose first video stream has the source's frame times.
        track: the source's faces.
        faces: who spoke.
        trajectory: what the mouths were driven by.
        config: what they were drawn with; its ``closed_gap_iod`` decides what is closed.
        out: the stage's folder; nothing is written to it.
        progress: told the share done.
        speech: what was said, for engines of the lip-sync that hear it.

    Raises:
        MissingEngineError: the landmark model is missing or damaged.
    """
    from stages.evaluate import picture

    return picture.evaluate(video, media, rendered, track, faces, trajectory, speech, config, progress)


def reenact(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> Evaluation:
    """Drive every speaking face of a clip by its own measured lips and compare the drawn frames with the clip's.

    Raises:
        InputError: the clip is shorter than 5 s, or no face speaks in it.
        MissingEngineError: the landmark model is missing or damaged.
    """
    from stages.evaluate import self_reenactment

    return self_reenactment.reenact(video, media, track, faces, config, progress)
