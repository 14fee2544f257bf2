"""Faces tracked, the speaking one chosen, and its mouth moved to the dub.

The engine ``mesh`` re-uses the speaker's own pixels at native resolution: mouth frames of the same clip are retrieved,
warped to the trajectory by a small mesh and blended in. The others generate lower faces, which are put in by the same
rules. Every pixel outside the mask stays as it was. One module per part:

========================  ==============================================================================
``detector tracking``     landmarks of every face in every frame (``ahead``, ``shots``, ``track_file`` beside them)
``identity``              which pieces of track are one person
``speaker``               which face speaks in which turn
``geometry landmarks``    the mouth measured in the head's own frame
``targets lips``          trajectory -> this speaker's lips (with ``articulation``, the model of the lower face)
``crops library``         mouth frames of the clip, put by while it is tracked
``retrieval``             which of them serves each frame (``borrowing``: across cuts)
``warp composite mouth``  the mesh, and the way back into the picture
``interior``              what lies behind the lips, drawn where the clip never shows it
``occlusion departure``   where the face is hidden, and which parts of it (``chart``; ``cover``: laid over the picture)
``fallback``              where the mouth is hidden, turned away or too small to be driven
``plan render``           where the mouth is driven and how strongly; the frames made
``parts planned``         a long clip: planned as a whole, drawn and encoded in parts, joined
``kept rerun splice``     some lines made anew: the rest of the plan and of the encoded picture stays as it was
``feedback``              every drawn mouth tracked again, and drawn anew where it is off
``closures``              closing phones tracked again in the result (all figures: :mod:`stages.evaluate`)
``generated``             what generating engines are given and return (``framing``: crops; ``voices``: sound)
``pasted sealing``        generated faces put into the picture, their contacts looked at and finished
``wav2lip external``      two such engines
========================  ==============================================================================
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from stages.artifacts import (
    Diarization,
    FaceTrack,
    Media,
    Picture,
    PicturePart,
    PictureParts,
    PicturePlan,
    Record,
    Separation,
    SourceVideo,
    SpeakerFaces,
    Speech,
    Trajectory,
)
from stages.devices import DeviceConfig
from stages.engines import Engine, chosen
from stages.errors import InputError, MissingEngineError
from stages.progress import Progress

if TYPE_CHECKING:
    from stages.lipsync.composite import Patch

TRACK_VERSION = 8
FACES_VERSION = 3
SYNC_VERSION = 21


class TrackConfig(Record):
    """How faces are found and followed."""

    min_face_px: float = 24.0
    """Smaller faces are not followed."""
    min_face_frames: int = 5
    """A face seen in fewer frames is dropped."""
    cut_threshold: float = 27.0
    """Mean HSV difference (0-255) of successive frames that counts as a cut, unless all frames around differ as much;
    a smaller one counts where it stands out clearly."""
    min_shot_frames: int = 8
    landmark_smoothing_ms: float = 200.0
    """Length of the zero-phase Savitzky-Golay filter (order 2) of the landmarks: 5 frames at 25 frames/s, which
    passes a 4 Hz mouth at .93; at 12 frames/s nothing is smoothed, because lips open within one frame there."""
    pose_smoothing_ms: float = 280.0
    """The same for the head's angles."""


class SpeakerConfig(Record):
    """How a turn is given to a face."""

    min_margin: float = 0.15
    """By how much the best face must lead the next one; below it no face is changed."""
    min_motion_iod: float = 0.012
    """Standard deviation of the aperture inside a turn below which a mouth does not speak."""
    max_lag_ms: int = 120
    """Largest shift between mouth and sound that is looked at."""


class Wav2LipConfig(Record):
    """Settings of Wav2Lip."""

    model: str = "wav2lip-gan"
    """A name in the list of models, or a folder that holds one checkpoint (.pth or .safetensors)."""
    device: DeviceConfig = DeviceConfig()
    """Where it runs. Precision ``auto`` is float32 everywhere: the network is small, and bfloat16 is coarser than the
    256 steps of a picture."""
    batch_frames: int = Field(default=8, ge=1)
    """Frames made at a time; on a GPU more are faster, on two CPU cores 16 are slower. Halved where they do not fit
    into the memory."""


class ExternalConfig(Record):
    """A program in its own environment that generates faces; see ``docs/lipsync-engines.md``."""

    command: tuple[str, ...] = ()
    """The program and its arguments; the folder of the exchange is added as the last one."""
    version: str = ""
    """Any name for what it runs: a picture is made anew where this differs."""
    size_px: int = Field(default=256, ge=64, le=1024)
    """Side of the crops and of the patches."""
    margin: float = Field(default=0.3, ge=0, le=1)
    """What is shown around the face, on each side, as a share of its height."""
    time_limit_s: float = Field(default=3600.0, gt=0)


class LipsyncConfig(Record):
    """How the mouth is moved and drawn."""

    engine: str = "mesh"
    """A name in :data:`ENGINES`."""
    wav2lip: Wav2LipConfig = Wav2LipConfig()
    external: ExternalConfig = ExternalConfig()
    transition_frames: int = 5
    """Frames over which the dub's mouth fades in and out beside untouched frames."""
    full_yaw_deg: float = 30.0
    """Turned further than this the movement fades ..."""
    max_yaw_deg: float = 50.0
    """... and ends here."""
    max_pitch_deg: float = 35.0
    min_face_px: float = 48.0
    """Smaller faces are left as they are."""
    library_frames: int = 600
    """Most mouth frames of the clip that are kept for retrieval, per face; short shots keep 50 beyond that."""
    candidates: int = 40
    """Mouth frames considered for each frame."""
    closed_gap_iod: float = 0.03
    """Inner gap at which a mouth counts as closed when the result is tracked again."""
    crf: int = 18
    """x264's constant rate factor."""
    small_face_crf: int = 12
    """The same where a driven face is less than 120 px high: there coding noise opens and closes lips."""
    preset: str = "veryfast"
    encoder_threads: int = 2
    """Fixed, because x264's output depends on it."""
    part_s: float = Field(default=120.0, gt=0)
    """A longer clip is drawn and encoded in parts of at most about this length, each of them a result of its own; by
    ``mesh`` alone (:func:`in_parts`). Part of the key, because what x264 makes of the picture depends on it."""


_MESH = "mesh"
ENGINES: Mapping[str, Engine] = {
    _MESH: Engine("The speaker's own mouths, warped", "stages.lipsync.feedback:own_mouths"),
    "wav2lip": Engine(
        "Wav2Lip",
        "stages.lipsync.wav2lip:painters",
        modules=("torch", "safetensors"),
        extra="wav2lip",
        device="wav2lip.device",
        models=lambda config: (config.wav2lip.model,),
    ),
    "external": Engine("A program of the user's", "stages.lipsync.external:painters"),
}


def hears(config: LipsyncConfig) -> bool:
    """Return whether the engine goes by the dub's sound."""
    return config.engine != _MESH


def in_parts(media: Media, config: LipsyncConfig) -> bool:
    """Return whether a clip is drawn in parts; engines that go by the sound prepare for the whole clip at once."""
    return not hears(config) and media.picture.end_ms > 1000 * config.part_s


def check(config: LipsyncConfig, lines: tuple[int, ...]) -> None:
    """Check, before any work, that the engine can do what is asked; ``lines`` are those to be made anew.

    Raises:
        InputError: there is no such engine, it makes no single lines anew, or no command is set for it.
        MissingEngineError: what it runs is not installed.
    """
    chosen(ENGINES, config.engine, "lipsync.engine")
    if lines and hears(config):
        raise InputError(
            f"--line: only lipsync.engine mesh makes single lines anew; with {config.engine} dub the video again with "
            "--force and without --line."
        )
    if config.engine == "external":
        if not config.external.command:
            raise InputError("lipsync.engine external needs lipsync.external.command: the program and its arguments.")
        if shutil.which(config.external.command[0]) is None:
            raise MissingEngineError(
                f"lipsync.external.command: there is no program {config.external.command[0]!r}; give its full path."
            )


def track(video: SourceVideo, media: Media, config: TrackConfig, out: Path, progress: Progress) -> FaceTrack:
    """Follow every face through the clip and write ``track.npz`` to ``out``.

    Raises:
        MissingEngineError: the landmark model is missing or damaged.
    """
    from stages.lipsync import tracking

    return tracking.track(video, media, config, out, progress)


def assign_faces(
    track: FaceTrack,
    media: Media,
    diarization: Diarization,
    separation: Separation,
    config: SpeakerConfig,
    out: Path,
    progress: Progress,
) -> SpeakerFaces:
    """Say which face speaks in every turn, shot by shot, or why none is chosen. Writes no file."""
    from stages.lipsync import speaker

    return speaker.assign_faces(track, media, diarization, separation, config, progress)


def sync(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> Picture:
    """Re-render the speaking mouths to the trajectory and write ``picture.mp4``, unless nothing changes.

    Raises:
        InputError: the engine goes by the sound (:func:`hears`): it needs :func:`sync_to_voices`.
        MissingEngineError: the landmark model is missing or damaged.
    """
    from stages.lipsync import render

    return render.sync(video, media, track, faces, trajectory, None, config, out, progress)


def sync_to_voices(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    speech: Speech,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> Picture:
    """Like :func:`sync`, for engines that also go by the sound of the dub.

    Raises:
        InputError: an external program fails, or what it returns cannot be used.
        MissingEngineError: a model or a device is missing, or a model is damaged.
    """
    from stages.lipsync import render

    return render.sync(video, media, track, faces, trajectory, speech, config, out, progress)


def plan_picture(
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> PicturePlan:
    """Decide for a whole clip what every frame must show and with which mouths, and in which parts it is drawn."""
    from stages.lipsync import parts

    return parts.plan_picture(media, track, faces, trajectory, config, out, progress)


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
    """Draw and encode the frames ``span``, first and last (inclusive), one of the plan's parts; decode no others.

    Raises:
        MissingEngineError: the landmark model is missing or damaged.
    """
    from stages.lipsync import parts

    return parts.draw_part(video, media, track, plan, span, config, out, progress)


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
    """Join the parts to what :func:`sync` returns; only packets are copied.

    Raises:
        InputError: the parts were encoded by different versions of x264.
    """
    from stages.lipsync import parts

    return parts.join_parts(video, media, track, plan, drawn, config, out, progress)


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
    """Draw anew what differs from a previous picture because the trajectory changed; all other frames stay.

    Raises:
        MissingEngineError: the landmark model is missing or damaged.
        InputError: the previous picture was encoded by another version of x264.
    """
    from stages.lipsync import rerun

    return rerun.resync(video, media, track, faces, trajectory, previous, config, out, progress)


def drawn_frames(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    config: LipsyncConfig,
    speech: Speech | None = None,
) -> Iterator[tuple[int, np.ndarray, dict[int, Patch]]]:
    """Yield (frame, uint8 BGR (h, w, 3), patch per face) for the whole clip as :func:`sync` encodes it.

    Pixels that no patch has moved (there is no patch where nothing changed) are the source's, bit for bit. ``speech``
    is needed by engines that hear it (:func:`hears`).
    """
    from stages.lipsync import render

    return render.drawn_frames(video, media, track, faces, trajectory, speech, config)
