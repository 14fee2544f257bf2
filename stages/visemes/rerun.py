"""Some lines shaped anew: in all other lines the mouth's trajectory stays what it was, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from language_packs import PARAMETERS, Pack
from stages.artifacts import Media, PersonalVisemes, Speech, SpokenLine, Trajectory
from stages.progress import Progress
from stages.visemes import VisemesConfig, articulate

_FADE_MS = 120.0
"""Over which a changed stretch leaves the values of the frame that it joins: the time a mouth shape takes to form."""
_CONTACTS = [PARAMETERS.index("closure"), PARAMETERS.index("lip_to_teeth")]
_CONTACT = 0.995


def reshape(
    speech: Speech,
    media: Media,
    habits: PersonalVisemes,
    pack: Pack,
    previous: Trajectory,
    lines: tuple[int, ...],
    config: VisemesConfig,
    out: Path,
    progress: Progress,
) -> Trajectory:
    """Return the trajectory of ``speech`` in which all lines but ``lines`` keep the frames of the previous one.

    The changed lines lie in the pauses between kept ones; there the new trajectory begins and ends with the values of
    the kept frames beside it.
    """
    fresh = articulate(speech, media, habits, pack, config, out, progress)
    times_ms = np.load(media.file(media.frame_times))
    with np.load(out / fresh.arrays) as new, np.load(previous.file(previous.arrays)) as old:
        arrays = {name: old[name] for name in old.files}
        for speaker in {line.speaker for line in speech.lines if line.id in lines}:
            own = [line for line in speech.lines if line.speaker == speaker]
            is_kept = kept_frames(own, lines, times_ms)
            arrays[speaker] = joined(old[speaker], new[speaker], is_kept, times_ms)
            speaking = f"{speaker}.speaking"
            arrays[speaking] = np.where(is_kept, old[speaking], new[speaking])
    np.savez(out / fresh.arrays, **arrays)
    visemes = [viseme for viseme in previous.visemes if viseme.line_id not in lines]
    visemes += [viseme for viseme in fresh.visemes if viseme.line_id in lines]
    return fresh.model_copy(
        update={
            "speakers": previous.speakers,
            "visemes": tuple(sorted(visemes, key=lambda viseme: (viseme.start_ms, viseme.line_id))),
        }
    )


def kept_frames(own: Sequence[SpokenLine], lines: Sequence[int], times_ms: np.ndarray) -> np.ndarray:
    """Return bool (frames,): not in the pauses around a changed line of this speaker's.

    Args:
        own: the speaker's lines as they are spoken now.
        lines: ids of those that changed.
        times_ms: (frames,).
    """
    is_kept = np.ones(len(times_ms), dtype=bool)
    kept = [line for line in own if line.id not in lines]
    for line in own:
        if line.id in lines:
            before = max((other.end_ms for other in kept if other.start_ms <= line.start_ms), default=-np.inf)
            after = min((other.start_ms for other in kept if other.start_ms > line.start_ms), default=np.inf)
            is_kept[(times_ms > before) & (times_ms < after)] = False
    return is_kept


def joined(old: np.ndarray, new: np.ndarray, is_kept: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """Return (frames, 9): ``old`` where it is kept, else ``new``, led into the kept frames on both sides.

    Contacts of the new values stay contacts.
    """
    result = np.where(is_kept[:, None], old, new)
    is_contact = np.any(new[:, _CONTACTS] >= _CONTACT, axis=1)
    for start, end in np.flatnonzero(np.diff(~is_kept, prepend=False, append=False)).reshape(-1, 2).tolist():
        inside = np.arange(start, end)
        for beside in [frame for frame in (start - 1, end) if 0 <= frame < len(new)]:
            away = np.minimum(np.abs(times_ms[inside] - times_ms[beside]) / _FADE_MS, 1.0)
            share = np.where(is_contact[inside], 0.0, 0.5 + 0.5 * np.cos(np.pi * away))
            result[inside] += share[:, None] * (old[beside] - new[beside])
    return np.clip(result, 0.0, 1.0).astype(old.dtype)
