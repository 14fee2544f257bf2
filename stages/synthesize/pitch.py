"""The pitch of a voice and how it is moved: a mapping of ln F0, applied where the synthesiser draws its F0 curve.

Inside the synthesiser a voice speaks at another pitch as clearly as at its own; a vocoder that lowers a finished
recording by as much costs intelligibility (CER .01 -> .40 on a hurried line).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SPREAD_LIMITS = (0.6, 1.6)
"""How far the spread of F0 may be stretched; beyond, a voice sounds drunk or dead."""


@dataclass(frozen=True)
class LogF0:
    """Mean and standard deviation of ln F0 (Hz) over voiced frames."""

    mean: float
    std: float


@dataclass(frozen=True)
class Pitch:
    """A change of pitch: F0 (Hz) becomes ``gain * F0 ** power``, which is linear in ln F0."""

    power: float = 1.0
    gain: float = 1.0


UNCHANGED = Pitch()


def towards(voice: LogF0, speaker: LogF0) -> Pitch:
    """Return the change that gives a voice a speaker's mean and spread of ln F0."""
    power = float(np.clip(speaker.std / max(voice.std, 1e-3), *_SPREAD_LIMITS))
    return Pitch(power, float(np.exp(speaker.mean - power * voice.mean)))
