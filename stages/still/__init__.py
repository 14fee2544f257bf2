"""A picture and a sound made one clip, where the user's file is not yet a video that talks.

A still picture (or a video that never changes) becomes a living portrait as long as the sound: the head sways a
little and the eyes blink, the mouth waits for the lip-sync. A video that moves keeps its frames and its length and is
given the sound. Every later stage then works as on any clip.

===========  =====================================================================================
``picture``  which files are pictures, and their pixels: upright, opaque, of a sensible size
``life``     sway and blinks: when, how far, and the pixels moved
``clip``     the clip written: picture and sound in one file
===========  =====================================================================================
"""

from __future__ import annotations

from pathlib import Path

from stages.artifacts import Clip, Record, SourceVideo
from stages.errors import InputError
from stages.hostile import check_limit, check_name
from stages.media import MediaConfig, check_limits, open_source, printable
from stages.progress import Progress

VERSION = 3


class StillConfig(Record):
    """How a still picture is brought to life."""

    fps: int = 25
    max_side_px: int = 1920
    """Larger pictures are scaled down to this longer side ..."""
    max_pixels: int = 1920 * 1080
    """... and to this area."""
    min_face_px: float = 160.0
    """A picture whose face is smaller is enlarged by a whole number ..."""
    max_enlargement: int = 4
    """... at most this."""
    blinks_per_min: float = 17.0
    """People in talk blink 15-20 times a minute; 0 keeps the eyes open."""
    sway_deg: float = 1.0
    """About how far the head leans and turns; 0 keeps it still."""
    min_lead: float = 1.25
    """By how much the largest face must exceed the next to be the one who speaks."""
    crf: int = 8
    """x264's constant rate factor of the clip, which is encoded once more after the lip-sync."""


def open_inputs(video: Path, audio: Path | None, config: MediaConfig = MediaConfig()) -> SourceVideo:  # noqa: B008
    """Check the user's picture or video, and the sound that is given to it, and identify both by their content.

    ``config`` says how large they may be.

    Raises:
        InputError: a file cannot be used or is too large, or a picture has no sound.
    """
    from stages.still import clip, picture

    source = open_source(video, config=config)
    check_name(video)
    kind = picture.kind(video)
    if kind is not None and kind not in picture.READABLE:
        raise InputError(f"{printable(video)} is {kind} picture; save it as PNG or JPEG (one that moves: as MP4).")
    if kind is not None:
        check_limit(video, "MB", video.stat().st_size / 1e6, "picture_mb", config.max_picture_mb)
    check_limits(video, config, "video" if kind is None else "picture")
    if audio is None:
        if kind is not None:
            raise InputError(
                f"{printable(video)} is a picture; a picture needs --audio SOUND, the speech it is to say."
            )
        return source
    sound = open_source(audio, "sound", config)
    check_limits(audio, config, "sound")
    clip.check_sound(audio)
    return source.model_copy(update={"sound": sound})


def is_needed(video: SourceVideo) -> bool:
    """Return whether :func:`compose` must come first: a sound was given, or the video never changes.

    A video is read until its first change, which for most is its second frame.
    """
    from stages.still import picture

    return video.sound is not None or picture.of_still_video(video.path) is not None


def compose(video: SourceVideo, audio_track: int | None, config: StillConfig, out: Path, progress: Progress) -> Clip:
    """Write ``clip.mp4`` or ``clip.mkv``: the picture, alive where it is a still one, with its sound.

    A still picture lasts as long as the sound that is given; a video keeps its own length, and the sound is cut off or
    followed by silence. ``audio_track`` chooses among several sound tracks, counted from 1.

    Raises:
        InputError: no face in a still picture, several of like size, an unreadable picture or sound.
        MissingEngineError: the landmark model is missing or damaged.
    """
    from stages.still import clip

    return clip.compose(video, audio_track, config, out, progress)
