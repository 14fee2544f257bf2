"""What one face was asked to show, frame by frame, and where it was driven: what the figures are measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from language_packs import PARAMETERS
from stages.artifacts import SpeakerFaces, Trajectory, Viseme
from stages.lipsync.plan import Demand, FacePlan
from stages.lipsync.targets import target_features

DRIVEN = 0.5
"""Strength from which a frame shows the dub's mouth; below, it fades to the source's."""
_BESIDE_TURN_MS = 150.0
"""This close to a turn a mouth may already, or still, be speaking."""


@dataclass(frozen=True)
class Asked:
    """Arrays are (frames,)."""

    times_ms: np.ndarray
    wanted: np.ndarray
    """bool: the face is to be driven here."""
    driven: np.ndarray
    """bool: it is."""
    speaking: np.ndarray
    """bool: the dub of this face's speakers sounds here."""
    silent_in_source: np.ndarray
    """bool: far from every turn that was given to this face."""
    aperture: np.ndarray
    """The trajectory's own parameter, 0-1."""
    aperture_iod: np.ndarray
    """The same in this speaker's range."""
    width_iod: np.ndarray
    """The trajectory's width and protrusion in this speaker's range."""
    visemes: tuple[Viseme, ...]
    """Contacts on this face."""


def asked_of(
    face: int, demand: Demand, plan: FacePlan, faces: SpeakerFaces, trajectory: Trajectory, times_ms: np.ndarray
) -> Asked:
    """Collect what was asked of one face."""
    driven = np.zeros(len(times_ms), dtype=bool)
    driven[plan.states.frames] = plan.strength >= DRIVEN
    turns = [turn for turn in faces.turns if turn.face == face]
    silent = np.ones(len(times_ms), dtype=bool)
    for turn in turns:
        silent &= (times_ms < turn.start_ms - _BESIDE_TURN_MS) | (times_ms > turn.end_ms + _BESIDE_TURN_MS)
    features = target_features(demand.parameters, plan.reach)
    return Asked(
        times_ms=times_ms,
        wanted=demand.wanted,
        driven=driven,
        speaking=speaking(trajectory, tuple(turn.speaker for turn in turns)),
        silent_in_source=silent,
        aperture=demand.parameters[:, PARAMETERS.index("aperture")],
        aperture_iod=features[:, 0],
        width_iod=features[:, 1],
        visemes=tuple(demand.visemes),
    )


def speaking(trajectory: Trajectory, speakers: tuple[str, ...]) -> np.ndarray:
    """Return bool (frames,): where the dub of one of these speakers sounds."""
    with np.load(trajectory.file(trajectory.arrays)) as arrays:
        known = [arrays[f"{speaker}.speaking"] for speaker in trajectory.speakers if speaker in speakers]
        return np.any(known, axis=0) if known else np.zeros(len(arrays[trajectory.speakers[0]]), dtype=bool)
