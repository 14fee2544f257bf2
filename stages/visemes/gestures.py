"""Spoken lines as gestures: which articulation begins when, and until when it is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from language_packs import Override
from language_packs.derive import Articulation, articulations
from stages.artifacts import SpokenLine


@dataclass(frozen=True)
class Gesture:
    """One phase of a phone."""

    line_id: int
    ipa: str
    articulation: Articulation
    start_ms: float
    end_ms: float

    @property
    def is_long(self) -> bool:
        """Whether the phone carries the length mark: a geminate, held until its end."""
        return "ː" in self.ipa


def gestures_of(lines: Sequence[SpokenLine], overrides: Mapping[str, Override]) -> list[Gesture]:
    """Return one speaker's gestures in order of time; a phone's phases share its time equally."""
    gestures = []
    for line in sorted(lines, key=lambda line: line.start_ms):
        for phone in line.phones:
            phases = articulations(phone.ipa, overrides)
            edges = np.linspace(phone.start_ms, phone.end_ms, len(phases) + 1)
            gestures += [
                Gesture(line.id, phone.ipa, phase, float(start), float(end))
                for phase, start, end in zip(phases, edges[:-1], edges[1:], strict=True)
            ]
    return gestures


def local_length_ms(gestures: Sequence[Gesture]) -> np.ndarray:
    """Return (gestures,): the mean length of each gesture and its two neighbours, in ms."""
    lengths = np.array([gesture.end_ms - gesture.start_ms for gesture in gestures])
    padded = np.pad(lengths, 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


def rounding_onset_ms(gestures: Sequence[Gesture], share: float) -> np.ndarray:
    """Return (gestures,): how much earlier than others a rounded gesture begins, in ms.

    The lips move forward through the consonants before a rounded sound, ``share`` of their length (Noiray
    et al. 2011, the movement expansion model); a vowel ends that stretch.
    """
    extra = np.zeros(len(gestures))
    for number, gesture in enumerate(gestures):
        if not gesture.articulation.is_rounded:
            continue
        before = number - 1
        while before >= 0 and _is_plain_consonant(gestures[before]) and gestures[before].line_id == gesture.line_id:
            extra[number] += share * (gestures[before].end_ms - gestures[before].start_ms)
            before -= 1
    return extra


def spread_end_ms(gestures: Sequence[Gesture], hold_share: float) -> np.ndarray:
    """Return (gestures,): until when the last spread vowel before each gesture is held, or minus infinity."""
    ends = np.full(len(gestures), -np.inf)
    last = -np.inf
    for number, gesture in enumerate(gestures):
        ends[number] = last
        if gesture.articulation.is_spread:
            last = gesture.start_ms + hold_share * (gesture.end_ms - gesture.start_ms)
    return ends


def _is_plain_consonant(gesture: Gesture) -> bool:
    return not gesture.articulation.is_vowel and not gesture.articulation.is_rounded
