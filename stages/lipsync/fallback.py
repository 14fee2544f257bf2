"""Where the mouth is not driven, or only in part: turned heads, small faces, frames without the face.

The strength is 1 where the dub's mouth is shown in full and 0 where the source stays; it never jumps.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, minimum_filter1d, uniform_filter1d

from stages.lipsync import LipsyncConfig
from stages.lipsync.track_file import FaceStates

TURNED, TILTED, SMALL, UNSEEN = (
    "the head is turned away",
    "the head is tilted too far",
    "the face is too small",
    "the face is not seen",
)
HIDDEN = "something is in front of the mouth"


def allowed_strength(states: FaceStates, face_px: np.ndarray, config: LipsyncConfig) -> np.ndarray:
    """Return (k,) 0-1: how strongly each row of a face's track may be driven; ``face_px`` (k,) is its height."""
    return np.where(states.is_hidden, 0.0, pose_strength(states.pose, face_px, config))


def pose_strength(pose_deg: np.ndarray, face_px: np.ndarray, config: LipsyncConfig) -> np.ndarray:
    """Return (n,) 0-1: how strongly each frame may be driven, from yaw, pitch, roll (n, 3) and face height (n,)."""
    yaw = np.abs(pose_deg[:, 0])
    strength = np.clip((config.max_yaw_deg - yaw) / (config.max_yaw_deg - config.full_yaw_deg), 0.0, 1.0)
    strength[np.abs(pose_deg[:, 1]) > config.max_pitch_deg] = 0.0
    strength[face_px < config.min_face_px] = 0.0
    return strength


def reason(states: FaceStates, face_px: np.ndarray, row: int, config: LipsyncConfig) -> str:
    """Return why a row with strength 0 is left as it is: its own fault, or that of the frame it fades towards."""
    blocked = np.flatnonzero(allowed_strength(states, face_px, config) == 0)
    cause = blocked[np.argmin(np.abs(blocked - row))]
    if states.is_hidden[cause]:
        return HIDDEN
    if face_px[cause] < config.min_face_px:
        return SMALL
    return TILTED if abs(states.pose[cause, 1]) > config.max_pitch_deg else TURNED


def ramped(wanted: np.ndarray, allowed: np.ndarray, transition_frames: int) -> np.ndarray:
    """Return the strength (n,) over consecutive frames of one run.

    Outside the wanted frames the dub's mouth fades out over ``transition_frames``; towards frames in which it is not
    allowed it has faded to 0 before they begin.

    Args:
        wanted: bool (n,), the mouth is driven here.
        allowed: float (n,), upper bound from :func:`pose_strength`.
        transition_frames: length of a fade.
    """
    if not wanted.any():
        return np.zeros(len(wanted))
    fade = np.clip(1 - distance_transform_edt(~wanted) / (transition_frames + 1), 0.0, 1.0)
    window = 2 * transition_frames + 1
    eased = uniform_filter1d(minimum_filter1d(allowed, window, mode="nearest"), transition_frames | 1, mode="nearest")
    return np.minimum(fade, np.minimum(eased, allowed))


def coming_and_going(rows: int, comes: bool, goes: bool, transition_frames: int) -> np.ndarray:
    """Return factors (rows,) on the strength of one run: above 0, and small where a face comes into view or is lost."""
    place = np.arange(rows)
    since = np.where(comes, place + 1, rows + transition_frames)
    until = np.where(goes, rows - place, rows + transition_frames)
    return np.clip(np.minimum(since, until) / (transition_frames + 1), 0.0, 1.0)
