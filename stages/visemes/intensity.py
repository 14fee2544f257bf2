"""Louder vowels open the jaw further.

Source: Schulman 1989, "Articulatory dynamics of loud and normal speech" (jaw and lips open further the louder a vowel
is); JALI (Edwards et al. 2016) lets the intensity of vowels drive the jaw in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import soundfile

from language_packs import Parameter
from stages.artifacts import Speech, SpokenLine
from stages.visemes.gestures import Gesture

_DRIVEN: tuple[Parameter, ...] = ("jaw", "aperture")
_SHARE_PER_DB = 0.025
_LARGEST_SHARE = 0.15
_SILENCE_DB = -60.0


def with_intensity(gestures: Sequence[Gesture], levels_db: np.ndarray) -> list[Gesture]:
    """Return the gestures with vowels opened by how loud they are against the speaker's median vowel.

    Args:
        gestures: one speaker's.
        levels_db: (gestures,) of :func:`levels_db`.
    """
    is_vowel = np.array([gesture.articulation.is_vowel for gesture in gestures], dtype=bool)
    if not is_vowel.any():
        return list(gestures)
    louder = _SHARE_PER_DB * (levels_db - np.median(levels_db[is_vowel]))
    gains = 1 + np.where(is_vowel, np.clip(louder, -_LARGEST_SHARE, _LARGEST_SHARE), 0.0)
    return [_opened(gesture, float(gain)) for gesture, gain in zip(gestures, gains, strict=True)]


def levels_db(gestures: Sequence[Gesture], lines: Sequence[SpokenLine], speech: Speech) -> np.ndarray:
    """Return (gestures,): the level of the dub's voice during each gesture, in dB below full scale."""
    sounds = {line.id: (_read(speech, line), line.sound_start_ms) for line in lines if line.phones}
    levels = [_level_db(*sounds[gesture.line_id], speech.rate_hz, gesture) for gesture in gestures]
    return np.array(levels, dtype=np.float64)


def _read(speech: Speech, line: SpokenLine) -> np.ndarray:
    samples, rate_hz = soundfile.read(speech.file(line.sound), dtype="float32")
    if rate_hz != speech.rate_hz:
        raise ValueError(f"{line.sound} has {rate_hz} Hz, the speech {speech.rate_hz}")
    return np.asarray(samples)


def _level_db(samples: np.ndarray, sound_start_ms: int, rate_hz: int, gesture: Gesture) -> float:
    first, last = (round((time - sound_start_ms) * rate_hz / 1000) for time in (gesture.start_ms, gesture.end_ms))
    heard = samples[max(first, 0) : max(last, 0)]
    power = float(np.mean(np.square(heard))) if len(heard) else 0.0
    return max(_SILENCE_DB, 10 * np.log10(power + 1e-12))


def _opened(gesture: Gesture, gain: float) -> Gesture:
    articulation = gesture.articulation
    targets = dict(articulation.targets)
    for parameter in _DRIVEN:
        targets[parameter] = float(np.clip(gain * targets[parameter], 0.0, 1.0))
    return replace(gesture, articulation=replace(articulation, targets=targets))
