"""What a picture keeps of how it was made: per face the plan that was drawn, and the mouths it could choose from.

The mouths' pixels stay on disk, in the file that the track put by (:mod:`stages.lipsync.crops`): reading them again
from the source would decode most of it, because the mouths that serve one line lie all over the clip.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.artifacts import FaceTrack, Picture
from stages.lipsync.library import MouthLibrary
from stages.lipsync.plan import FacePlan
from stages.lipsync.targets import SpeakerRange

INDEX = ("rows", "skin", "eyes", "teeth", "places")
"""Names in :meth:`stages.lipsync.library.MouthLibrary.index`."""


@dataclass(frozen=True)
class KeptFace:
    """The plan of one face as it was drawn; arrays as in :class:`stages.lipsync.plan.FacePlan`."""

    target: np.ndarray
    strength: np.ndarray
    contacts: np.ndarray
    picks: np.ndarray
    mix: np.ndarray
    reach: SpeakerRange
    gap_iod: np.ndarray
    """float64 (k,): inner gap that was read in the drawn frame; NaN or infinite where none was."""
    index: dict[str, np.ndarray]
    """See :meth:`stages.lipsync.library.MouthLibrary.index`."""


def save(out: Path, faces: Mapping[int, tuple[FacePlan, MouthLibrary]], gaps_iod: Mapping[int, np.ndarray]) -> None:
    """Write the plans, the gaps that were read and the libraries' indices to ``out``, where the libraries lie."""
    arrays: dict[str, np.ndarray] = {"faces": np.array(sorted(faces))}
    for face, (plan, library) in faces.items():
        own = {
            "target": plan.target,
            "strength": plan.strength,
            "contacts": plan.contacts,
            "picks": plan.picks,
            "mix": plan.mix,
            "gap_iod": gaps_iod[face],
            "reach": reach_array(plan.reach),
            **library.index(),
        }
        arrays |= {f"{name}_{face}": array for name, array in own.items()}
    np.savez(out / str(Picture.model_fields["mouths"].default), allow_pickle=False, **arrays)


def load(picture: Picture) -> dict[int, KeptFace]:
    """Return what :func:`save` wrote, by face id."""
    with np.load(picture.file(picture.mouths)) as arrays:
        return {face: _face(arrays, face) for face in arrays["faces"].tolist()}


def reach_array(reach: SpeakerRange) -> np.ndarray:
    """Return a speaker's range as float64 (7,)."""
    limits = [reach.aperture_95, reach.width_5, reach.width_95, reach.jaw_95]
    return np.array([*reach.rest, *limits], dtype=np.float64)


def range_of(array: np.ndarray) -> SpeakerRange:
    """Return the range that :func:`reach_array` wrote."""
    rest, limits = np.split(array, [3])
    return SpeakerRange(rest, *limits.tolist())


def library_name(face: int) -> str:
    """Return the name of the file with the mouths a face could choose from."""
    return f"mouths_{face}.bgr"


def hand_on(earlier: FaceTrack | Picture, name: str, target: Path) -> Path:
    """Return ``target``: a file of the track or of an earlier picture, the same bytes on disk where that can be."""
    try:
        os.link(earlier.file(name), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(earlier.file(name), target)
    return target


def _face(arrays: Mapping[str, np.ndarray], face: int) -> KeptFace:
    return KeptFace(
        target=arrays[f"target_{face}"],
        strength=arrays[f"strength_{face}"],
        contacts=arrays[f"contacts_{face}"],
        picks=arrays[f"picks_{face}"],
        mix=arrays[f"mix_{face}"],
        reach=range_of(arrays[f"reach_{face}"]),
        gap_iod=arrays[f"gap_iod_{face}"],
        index={name: arrays[f"{name}_{face}"] for name in INDEX},
    )
