"""What every frame of a driven face must show: decided before a pixel is drawn.

A plan holds a few numbers per frame, no pictures; one line of the dub can be planned again without the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from stages.artifacts import Media, SpeakerFaces, Trajectory, Unsynced, Viseme
from stages.lipsync import LipsyncConfig, fallback, targets
from stages.lipsync.articulation import Articulation, generic, learn
from stages.lipsync.borrowing import may_lend
from stages.lipsync.geometry import fit_poses
from stages.lipsync.landmarks import LIPS, LOWER_FACE
from stages.lipsync.library import MouthLibrary
from stages.lipsync.measured import measured, straight_face
from stages.lipsync.retrieval import MouthStates, best_path
from stages.lipsync.targets import CLOSURE, LABIODENTAL, SpeakerRange, contacts, speaker_range, target_features
from stages.lipsync.track_file import FaceStates, unbroken_runs

_EXPRESSION_MS = 400.0
"""Standard deviation of the low-pass that tells expression (kept) from articulation (replaced)."""
_MAX_SPILL_MS = 3000.0
"""A dub that speaks this long before or after its speaker's own turn still moves that turn's face."""
_MODEL_FRAMES = 1500
_MIX_MAX_GAP_DIFFERENCE_IOD = 0.05
_MIX_MIN_GAP_IOD = 0.03
_MIX_MAX_TEETH_DIFFERENCE = 0.2
"""Teeth mixed with a dark mouth are a grey ghost."""
SMALL_FACE_PX = 120.0
"""Faces less high than this have mouths of a few px, in which each of them counts."""
_BLOCK_ROWS = 256
_TEETH_SHOW_IOD = 0.05
"""Gap of the mouths that are looked through for upper teeth to bite on."""
_OWN_MOUTH_BELOW = 0.6
"""Strength of a mouth that comes out from behind something, or goes there."""
_DRAWN_BITE_IOD = 0.01
"""Gap on f v where the teeth are drawn: their line is brighter than a seen one, and taken for a wider gap."""
_LIP_ROWS = np.searchsorted(LOWER_FACE, LIPS)


__all__ = [
    "CLOSURE",
    "LABIODENTAL",
    "Demand",
    "FacePlan",
    "choose_mouths",
    "demands",
    "face_per_frame",
    "frame_of",
    "make_plan",
    "unsynced",
]


@dataclass
class Demand:
    """What is asked of one face: which frames, and the trajectory in them."""

    wanted: np.ndarray
    """bool (frames,): the mouth is driven here."""
    parameters: np.ndarray
    """float32 (frames, 9)."""
    visemes: list[Viseme] = field(default_factory=list)


@dataclass
class FacePlan:
    """One driven face, by row of its track (k rows)."""

    states: FaceStates
    shot: np.ndarray
    """int (k,): number of the shot of every row."""
    reference: np.ndarray
    model: Articulation
    never_opens: bool
    """No open mouth is seen anywhere: what lies behind the lips has to be drawn."""
    reach: SpeakerRange
    source: np.ndarray
    """(k, 3) measured aperture, width, jaw in IOD."""
    target: np.ndarray
    """(k, 3) what is to be shown, strength included."""
    strength: np.ndarray
    """(k,) 0-1."""
    expression: np.ndarray
    """float32 (k, lips, 3): how the lips differ from the model by expression, in IOD."""
    contacts: np.ndarray
    """int8 (k,): :data:`CLOSURE`, :data:`LABIODENTAL` or 0."""
    face_px: np.ndarray
    """(k,) height of the face."""
    visemes: list[Viseme]
    picks: np.ndarray
    """int (k, 2): rows whose mouth is shown, and the one mixed in at a jump; -1 where none."""
    mix: np.ndarray
    """(k,) weight of the second pick."""

    def driven_rows(self) -> np.ndarray:
        """Return the rows in which something changes."""
        return np.flatnonzero(self.strength > 0)


def demands(faces: SpeakerFaces, trajectory: Trajectory, media: Media) -> dict[int, Demand]:
    """Return, per face id, the frames in which it is driven and by what.

    A face is driven through its own turns in the source (at rest where the dub is silent there) and wherever its
    speaker's dub speaks beside them; not where a line is left in the original voice.
    """
    times_ms = np.load(media.file(media.frame_times))
    result: dict[int, Demand] = {}
    with np.load(trajectory.file(trajectory.arrays)) as arrays:
        for speaker in trajectory.speakers:
            parameters, speaking = arrays[speaker], arrays[f"{speaker}.speaking"]
            owner = face_per_frame(faces, speaker, speaking, times_ms)
            for left in trajectory.left:
                if left.speaker == speaker:
                    owner[~speaking & (times_ms >= left.start_ms) & (times_ms <= left.end_ms)] = -1
            for face in sorted(set(owner.tolist()) - {-1}):
                demand = result.setdefault(face, Demand(np.zeros(len(times_ms), dtype=bool), parameters.copy()))
                mine = owner == face
                nearest = mine & (speaking | ~demand.wanted)
                demand.parameters[nearest] = parameters[nearest]
                demand.wanted |= mine
            for viseme in trajectory.visemes:
                frame = frame_of(viseme, times_ms)
                is_shown = viseme.start_ms < media.picture.end_ms  # a dub may outlast the picture
                if viseme.contact and is_shown and speaking[frame] and owner[frame] >= 0:
                    result[int(owner[frame])].visemes.append(viseme)
    return result


def face_per_frame(faces: SpeakerFaces, speaker: str, speaking: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """Return int (frames,): the face that shows this speaker, -1 where none does; ``speaking`` is bool (frames,)."""
    turns = [turn for turn in faces.turns if turn.speaker == speaker]
    owner = np.full(len(times_ms), -1)
    nearest = np.full(len(times_ms), np.inf)
    for turn in turns:
        is_inside = (times_ms >= turn.start_ms) & (times_ms < turn.end_ms)
        beside_ms = np.maximum(turn.start_ms - times_ms, times_ms - turn.end_ms) + 1  # the end belongs to the next turn
        away_ms = np.where(is_inside, 0, beside_ms)
        is_mine = (away_ms < nearest) & (is_inside | (speaking & (away_ms <= _MAX_SPILL_MS)))
        owner[is_mine] = -1 if turn.face is None else turn.face
        nearest[is_mine] = away_ms[is_mine]
    return owner


def frame_of(viseme: Viseme, times_ms: np.ndarray) -> int:
    """Return the frame in the middle of a viseme; ``times_ms`` is (frames,)."""
    return int(np.argmin(np.abs(times_ms - (viseme.start_ms + viseme.end_ms) / 2)))


def make_plan(
    states: FaceStates,
    shots: set[int],
    demand: Demand,
    times_ms: np.ndarray,
    config: LipsyncConfig,
    reach: SpeakerRange | None = None,
) -> FacePlan:
    """Plan one face up to the choice of mouth frames; ``shots`` holds the first frames of shots.

    ``reach`` is measured, unless a part is planned again: then it is that of the whole, or nothing would stay the same.
    """
    reference = straight_face(states)
    source, iod_px = measured(states, reference)
    is_silent = ~demand.wanted[states.frames]
    seen = source[states.is_free]
    never_opens = targets.never_opens(seen)
    model = _learn(states, reference, never_opens)
    if reach is None:
        reach = targets.generic_range(seen) if never_opens else speaker_range(seen, is_silent[states.is_free])
    row_times = times_ms[states.frames]
    asked = target_features(demand.parameters[states.frames], reach)
    contact = contacts(demand.parameters[states.frames])
    if never_opens:
        asked[contact == LABIODENTAL, 0] = _DRAWN_BITE_IOD
    face_px = iod_px * float(np.ptp(reference[:, 1]))
    for a, b in unbroken_runs(states.frames, shots):
        # The size of one run: a face at the limit must not come and go.
        face_px[a:b] = np.median(face_px[a:b])
    allowed = fallback.allowed_strength(states, face_px, config)
    strength = np.concatenate(
        [
            fallback.ramped(~is_silent[a:b], allowed[a:b], config.transition_frames)
            * fallback.coming_and_going(
                b - a,
                states.frames[a] not in shots,
                states.frames[b - 1] + 1 not in shots | {len(times_ms)},
                config.transition_frames,
            )
            for a, b in unbroken_runs(states.frames, shots)
        ]
    )
    target = source + strength[:, None] * (asked - source)
    return FacePlan(
        states=states,
        shot=np.searchsorted(sorted(shots), states.frames, side="right"),
        reference=reference,
        model=model,
        never_opens=never_opens,
        reach=reach,
        source=source,
        target=target,
        strength=strength,
        expression=_expression(states, reference, model, source, shots, row_times),
        contacts=contact,
        face_px=face_px,
        visemes=demand.visemes,
        picks=np.full((len(source), 2), -1),
        mix=np.zeros(len(source)),
    )


def choose_mouths(
    plan: FacePlan,
    library: MouthLibrary,
    shots: set[int],
    config: LipsyncConfig,
    apart_frames: int = 0,
    changed: np.ndarray | None = None,
) -> None:
    """Fill in which mouth frames are shown, run by run.

    Args:
        plan: is completed.
        library: the mouths to choose from.
        shots: first frames of shots.
        config: its ``candidates`` are considered per frame.
        apart_frames: a mouth less than this away from the frame it would serve is left out (self-reenactment).
        changed: bool (k,), rows that are chosen again; the others keep what the plan has for them, and where a changed
            row meets one of those the path is pinned to it. None: all rows.
    """
    if plan.never_opens:
        _choose_own(plan, library)
        return
    settled = maximum_filter1d(plan.source[:, 0], 3, mode="nearest")
    features, teeth = plan.target.copy(), np.zeros(len(settled))
    bites = (plan.contacts == LABIODENTAL) & (plan.strength == 1)
    features[bites, 0], teeth[bites] = _TEETH_SHOW_IOD, 1.0
    expression = plan.expression[:, :, :2].reshape(len(settled), -1)
    wanted = MouthStates(features, plan.states.pose, library.skin, settled, teeth, expression)
    kept = MouthStates(plan.source, plan.states.pose, library.skin, settled, library.teeth, expression)
    kept = kept.take(library.rows)
    frames = plan.states.frames
    order = frames + 2 * plan.shot  # no motion goes on across a cut
    driven = plan.driven_rows()
    # Beside frames in which it is hidden, a mouth goes over from its own pixels, so that nothing pops up in it.
    beside_hidden = maximum_filter1d(plan.states.is_hidden, 4 * config.transition_frames + 1)
    emerging = beside_hidden & (plan.strength < _OWN_MOUTH_BELOW)
    for a, b in unbroken_runs(frames[driven], shots):
        for rows, is_free in stretches_to_choose(driven[a:b], changed):
            barred = _barred(plan, library, rows, apart_frames)
            if not apart_frames:
                own_only = emerging[rows, None] & (rows[:, None] != library.rows)
                own_only[own_only.all(axis=1)] = False
                barred |= own_only
            barred[~is_free] = library.rows != plan.picks[rows[~is_free], :1]
            path = best_path(wanted.take(rows), kept, order[library.rows], config.candidates, barred)
            chosen = library.rows[path]
            plan.picks[rows[is_free]] = np.stack([chosen[is_free], np.full(int(is_free.sum()), -1)], axis=1)
            plan.mix[rows[is_free]] = 0
            jumps = np.flatnonzero(np.abs(np.diff(order[chosen])) > 1)
            alike = np.abs(library.teeth[chosen[jumps + 1]] - library.teeth[chosen[jumps]]) < _MIX_MAX_TEETH_DIFFERENCE
            jumps = jumps[alike]
            for here, other in ((jumps, jumps + 1), (jumps + 1, jumps)):
                _mix(plan, rows[here[is_free[here]]], chosen[other[is_free[here]]])


def stretches_to_choose(rows: np.ndarray, changed: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield stretches of one run's rows, and bool (n,) which are free: at most the first and last are held."""
    is_free = np.ones(len(rows), dtype=bool) if changed is None else changed[rows]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_free, [False]])))
    for start, end in edges.reshape(-1, 2).tolist():
        with_neighbours = slice(max(0, start - 1), end + 1)
        yield rows[with_neighbours], is_free[with_neighbours]


def _barred(plan: FacePlan, library: MouthLibrary, rows: np.ndarray, apart_frames: int) -> np.ndarray:
    """Return bool (n, m): which mouths of the library must not serve which rows; each row keeps one that may."""
    frames = plan.states.frames
    barred = np.empty((len(rows), len(library.rows)), dtype=bool)
    for first in range(0, len(rows), _BLOCK_ROWS):
        block = rows[first : first + _BLOCK_ROWS]
        is_near = np.abs(frames[block][:, None] - frames[library.rows]) < apart_frames
        lent = may_lend(plan.shot, plan.states.pose, plan.face_px, library.skin, block, library.rows)
        is_alone = (is_near | ~lent).all(axis=1, keepdims=True)
        barred[first : first + len(block)] = is_near | (~lent & ~is_alone)
    return barred


def _choose_own(plan: FacePlan, library: MouthLibrary) -> None:
    """Let every row show its own lips, or where they were not kept those of the head that is turned most alike."""
    pose = plan.states.pose
    for row in plan.driven_rows():
        away = np.abs(pose[library.rows] - pose[row]).sum(axis=1) + (library.rows != row)
        plan.picks[row, 0] = library.rows[np.argmin(away)]


def _mix(plan: FacePlan, rows: np.ndarray, others: np.ndarray) -> None:
    """Soften jumps: show a third of the other side's mouth where that is open about as far as asked, and not shut."""
    gap = plan.target[rows, 0]
    close = (np.abs(plan.source[others, 0] - gap) < _MIX_MAX_GAP_DIFFERENCE_IOD) & (gap > _MIX_MIN_GAP_IOD)
    plan.picks[rows[close], 1] = others[close]
    plan.mix[rows[close]] = 1 / 3


def unsynced(
    faces: SpeakerFaces, plans: dict[int, FacePlan], asked: dict[int, Demand], media: Media, config: LipsyncConfig
) -> tuple[Unsynced, ...]:
    """Return the stretches in which somebody speaks and no mouth was moved, with the reasons."""
    times_ms = np.load(media.file(media.frame_times))
    why: dict[int, str] = {}
    for turn in faces.turns:
        if turn.face is None:
            inside = np.flatnonzero((times_ms >= turn.start_ms) & (times_ms < turn.end_ms))
            why.update(dict.fromkeys(inside.tolist(), turn.reason))
    for face, demand in asked.items():
        plan = plans[face]
        for frame in np.flatnonzero(demand.wanted).tolist():
            row = plan.states.row(frame)
            if row is None:
                why[frame] = fallback.UNSEEN
            elif plan.strength[row] == 0:
                why[frame] = fallback.reason(plan.states, plan.face_px, row, config)
    return tuple(_stretches(why))


def _stretches(why: dict[int, str]) -> list[Unsynced]:
    found: list[Unsynced] = []
    for frame, reason in sorted(why.items()):
        if found and found[-1].last_frame == frame - 1 and found[-1].reason == reason:
            found[-1] = found[-1].model_copy(update={"last_frame": frame})
        else:
            found.append(Unsynced(first_frame=frame, last_frame=frame, reason=reason))
    return found


def _learn(states: FaceStates, reference: np.ndarray, never_opens: bool) -> Articulation:
    free = np.flatnonzero(states.is_free)
    step = max(1, -(-len(free) // _MODEL_FRAMES))
    rows = [states.landmarks(row, row + 1) for row in free[::step].tolist()]
    sample = np.concatenate(rows)
    return (generic if never_opens else learn)(fit_poses(sample, reference).to_head(sample))


def _expression(
    states: FaceStates,
    reference: np.ndarray,
    model: Articulation,
    source: np.ndarray,
    shots: set[int],
    row_times: np.ndarray,
) -> np.ndarray:
    """Return the slow part of what the model does not explain of the lips, (k, lips, 3)."""
    residual = np.empty((len(source), len(LIPS), 3), dtype=np.float32)
    for first, block in states.blocks():
        last = first + len(block)
        lips = fit_poses(block, reference).to_head(block)[:, LIPS]
        residual[first:last] = lips - model.points(source[first:last])[:, _LIP_ROWS]
    for a, b in unbroken_runs(states.frames, shots):
        frame_ms = (row_times[b - 1] - row_times[a]) / max(1, b - a - 1) or 40.0
        residual[a:b] = gaussian_filter1d(residual[a:b], _EXPRESSION_MS / frame_ms, axis=0, mode="nearest")
    return residual
