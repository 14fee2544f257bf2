"""Personal visemes: how each speaker's own mouth differs from the language pack's, learnt from the source itself.

The source's words are read into phones and spread over the words' times; the pack says what the mouth would do, the
track says what it did. What is left over is explained by one offset per viseme and parameter in least squares, with a
prior of eight phones on the pack's side: for a viseme that stands alone ``(n * measured + 8 * pack) / (n + 8)``.
Sounds share frames as they do in :mod:`stages.visemes.trajectory`, so that a neighbour's opening is not counted twice.
Contacts keep their exact aperture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from language_packs import PARAMETERS, Pack, Parameter
from language_packs.derive import articulations
from language_packs.g2p import MissingReaderError, UnreadableError, phonemize, segments
from stages.artifacts import (
    FaceTrack,
    Line,
    Media,
    PersonalVisemes,
    SpeakerFaces,
    SpeakerHabits,
    Transcript,
    VisemeHabit,
)
from stages.lipsync.measured import measured, straight_face
from stages.lipsync.targets import never_opens, parameters_of, speaker_range
from stages.lipsync.track_file import FaceStates
from stages.visemes.gestures import Gesture
from stages.visemes.trajectory import Timing, blend, shares

_PRIOR_PHONES = 8.0
LEARNT: tuple[Parameter, ...] = ("aperture", "width", "jaw")
_KEPT_BY_CONTACT = ("aperture", "jaw")
_LARGEST_OFFSET = 0.25
_FULL_YAW_DEG = 30.0
_LEAST_PHONES = 20
"""Fewer say more about chance than about the speaker."""
_VOWEL, _CONSONANT = "vowel", "consonant"


class Sight(NamedTuple):
    """What was seen of a speaker's mouth: frames in order of time."""

    times_ms: np.ndarray
    """(n,)."""
    parameters: dict[str, np.ndarray]
    """By parameter, (n,): measured, in the speaker's own range."""


def personal(
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    transcript: Transcript,
    pack: Pack | None,
    timing: Timing,
) -> PersonalVisemes:
    """See :func:`stages.visemes.personal_visemes`."""
    speakers = tuple(dict.fromkeys(line.speaker for line in transcript.lines))
    if pack is None:
        reason = f"no language pack for {transcript.language}"
        return PersonalVisemes(
            speakers=tuple(SpeakerHabits(speaker=name, visemes=(), reason=reason) for name in speakers)
        )
    times_ms = np.load(media.file(media.frame_times))
    mouths = Mouths(track, faces, times_ms)
    return PersonalVisemes(
        speakers=tuple(
            _habits(name, [line for line in transcript.lines if line.speaker == name], pack, mouths.of(name), timing)
            for name in speakers
        )
    )


@dataclass(frozen=True)
class Mouths:
    """Where the mouths of the speakers are seen."""

    track: FaceTrack
    faces: SpeakerFaces
    times_ms: np.ndarray

    def of(self, speaker: str) -> Sight | None:
        """Return what is seen of a speaker in the turns given to a face; None where there is nothing."""
        turns = [turn for turn in self.faces.turns if turn.speaker == speaker and turn.face is not None]
        seen = []
        for face in dict.fromkeys(turn.face for turn in turns if turn.face is not None):
            states = FaceStates(self.track, face)
            row_times = self.times_ms[states.frames]
            in_turn = np.zeros(len(row_times), dtype=bool)
            for turn in self.faces.turns:
                if turn.face == face:
                    in_turn |= (row_times >= turn.start_ms) & (row_times < turn.end_ms)
            features, _ = measured(states, straight_face(states))
            free = states.is_free
            if not (free & in_turn).any() or never_opens(features[free]):
                continue
            reach = speaker_range(features[free], ~in_turn[free])
            rows = np.flatnonzero(free & in_turn & (np.abs(states.pose[:, 0]) < _FULL_YAW_DEG))
            seen.append((row_times[rows], parameters_of(features[rows], reach)))
        if not seen:
            return None
        times = np.concatenate([each for each, _ in seen])
        order = np.argsort(times, kind="stable")
        return Sight(
            times[order], {name: np.concatenate([values[name] for _, values in seen])[order] for name in LEARNT}
        )


def _habits(speaker: str, lines: Sequence[Line], pack: Pack, sight: Sight | None, timing: Timing) -> SpeakerHabits:
    if sight is None:
        return SpeakerHabits(speaker=speaker, visemes=(), reason="the speaker's mouth is not seen to move")
    try:
        gestures = source_gestures(lines, pack)
    except (MissingReaderError, UnreadableError) as error:
        return SpeakerHabits(speaker=speaker, visemes=(), reason=str(error))
    heard = [g for g in gestures if ((sight.times_ms >= g.start_ms) & (sight.times_ms < g.end_ms)).any()]
    if len(heard) < _LEAST_PHONES:
        return SpeakerHabits(
            speaker=speaker, visemes=(), reason=f"{len(heard)} phones are seen, it takes {_LEAST_PHONES}"
        )
    return SpeakerHabits(speaker=speaker, visemes=learn(gestures, sight, timing))


def source_gestures(lines: Sequence[Line], pack: Pack) -> list[Gesture]:
    """Return what the source says as gestures in order of time: phones share their word's time equally.

    Raises:
        UnreadableError: nobody can read a word.
        MissingReaderError: a package that reads the language is not installed.
    """
    gestures = []
    for line in lines:
        for word in line.words:
            phones = segments(phonemize(word.text, pack.g2p))
            phases = [phase for phone in phones for phase in articulations(phone, pack.overrides)]
            edges = np.linspace(word.start_ms, word.end_ms, len(phases) + 1)
            gestures += [
                Gesture(line.id, phase.viseme, phase, float(start), float(end))
                for phase, start, end in zip(phases, edges[:-1], edges[1:], strict=True)
                if end > start
            ]
    return sorted(gestures, key=lambda gesture: gesture.start_ms)


def learn(gestures: Sequence[Gesture], sight: Sight, timing: Timing) -> tuple[VisemeHabit, ...]:
    """Return the offsets of every viseme that was heard, and of vowels and consonants as such.

    Args:
        gestures: what the source says, in order of time.
        sight: what was seen meanwhile.
        timing: the windows of :func:`stages.visemes.trajectory.blend`.
    """
    visemes = sorted({gesture.articulation.viseme for gesture in gestures})
    names = [_VOWEL, _CONSONANT, *visemes]
    own = np.array([names.index(gesture.articulation.viseme) for gesture in gestures])
    kind = np.array([0 if gesture.articulation.is_vowel else 1 for gesture in gestures])
    expected, speaking = blend(gestures, sight.times_ms, timing)
    offsets = {}
    for parameter in LEARNT:
        felt = shares(gestures, own, len(names), sight.times_ms, timing, parameter)
        felt += shares(gestures, kind, len(names), sight.times_ms, timing, parameter)
        missing = sight.parameters[parameter] - expected[:, PARAMETERS.index(parameter)]
        offsets[parameter] = _ridge(felt[speaking], missing[speaking], len(gestures))
    counts = np.bincount(own, minlength=len(names)) + np.bincount(kind, minlength=len(names))
    return tuple(
        VisemeHabit(
            viseme=name,
            phones=int(counts[place]),
            offsets={parameter: round(float(offsets[parameter][place]), 4) for parameter in LEARNT},
        )
        for place, name in enumerate(names)
    )


def _ridge(felt: np.ndarray, missing: np.ndarray, phones: int) -> np.ndarray:
    """Return the offsets (groups,) that explain ``missing`` (n,), each held back by eight mean phones."""
    one_phone = (felt**2).sum() / (2 * phones)
    gram = felt.T @ felt + _PRIOR_PHONES * one_phone * np.eye(felt.shape[1])
    return np.clip(np.linalg.solve(gram, felt.T @ missing), -_LARGEST_OFFSET, _LARGEST_OFFSET)


def with_habits(gestures: Sequence[Gesture], habits: SpeakerHabits | None) -> list[Gesture]:
    """Return gestures of the dub as this speaker makes them; contacts keep the aperture and the jaw of the pack."""
    known = {habit.viseme: habit.offsets for habit in habits.visemes} if habits is not None else {}
    return [_personal(gesture, known) for gesture in gestures] if known else list(gestures)


def _personal(gesture: Gesture, known: dict[str, dict[str, float]]) -> Gesture:
    articulation = gesture.articulation
    targets = dict(articulation.targets)
    for name in (_VOWEL if articulation.is_vowel else _CONSONANT, articulation.viseme):
        for parameter, offset in known.get(name, {}).items():
            if not (articulation.contact and parameter in _KEPT_BY_CONTACT):
                targets[parameter] = targets[parameter] + offset  # type: ignore[index]
    targets = {parameter: float(np.clip(value, 0.0, 1.0)) for parameter, value in targets.items()}
    return replace(gesture, articulation=replace(articulation, targets=targets))
