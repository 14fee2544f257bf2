"""Finished plans on disk, with the indices of the mouths that they chose from: all that drawing needs beside the track.

Planning looks at the whole clip; a part of it is drawn from this without looking at the rest again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np

from stages.artifacts import FaceTrack, PicturePlan
from stages.lipsync.articulation import Articulation
from stages.lipsync.crops import pixels_name
from stages.lipsync.kept import INDEX, range_of, reach_array
from stages.lipsync.library import MouthLibrary
from stages.lipsync.plan import FacePlan
from stages.lipsync.track_file import FaceStates

_PLAN = ("shot", "reference", "source", "target", "strength", "expression", "contacts", "face_px", "picks", "mix")
_MODEL = ("mean", "center", "slopes")


def save(out: Path, plans: Mapping[int, FacePlan], libraries: Mapping[int, MouthLibrary]) -> None:
    """Write the plans, by face id, to ``out``."""
    arrays: dict[str, np.ndarray] = {}
    for face, plan in plans.items():
        own = {name: getattr(plan, name) for name in _PLAN}
        own |= {name: getattr(plan.model, name) for name in _MODEL}
        own |= {"never_opens": np.array(plan.never_opens), "reach": reach_array(plan.reach)}
        own |= {f"library_{name}": array for name, array in libraries[face].index().items()}
        arrays |= {f"{name}_{face}": array for name, array in own.items()}
    np.savez(out / str(PicturePlan.model_fields["arrays"].default), allow_pickle=False, **arrays)


def load(plan: PicturePlan, track: FaceTrack) -> tuple[dict[int, FacePlan], dict[int, dict[str, np.ndarray]]]:
    """Return, by face id, the plans that :func:`save` wrote, and the indices of their libraries."""
    plans, indices = {}, {}
    with np.load(plan.file(plan.arrays)) as arrays:
        for face, visemes in plan.visemes.items():
            plans[face] = FacePlan(
                states=FaceStates(track, face),
                model=Articulation(**{name: arrays[f"{name}_{face}"] for name in _MODEL}),
                never_opens=bool(arrays[f"never_opens_{face}"]),
                reach=range_of(arrays[f"reach_{face}"]),
                visemes=list(visemes),
                **{name: arrays[f"{name}_{face}"] for name in _PLAN},
            )
            indices[face] = {name: arrays[f"library_{name}_{face}"] for name in INDEX}
    return plans, indices


@contextmanager
def libraries_of(track: FaceTrack, indices: Mapping[int, dict[str, np.ndarray]]) -> Iterator[dict[int, MouthLibrary]]:
    """Lend the mouths, by face id, whose pixels lie with the track."""
    libraries = {}
    with ExitStack() as stack:
        for face, index in indices.items():
            library = MouthLibrary(track.file(pixels_name(face)), index)
            libraries[face] = stack.enter_context(closing(library))
        yield libraries
