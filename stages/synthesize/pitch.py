"""The pitch of a voice and how it is moved: the F0 curve that the synthesiser predicts, changed before it sounds.

Inside the synthesiser a voice speaks at another pitch as clearly as at its own; a vocoder that lowers a finished
recording by as much costs intelligibility (CER .01 -> .40 on a hurried line).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

STEP_MS = 12.5
"""Of a predicted F0 curve."""
VOICED_ABOVE_HZ = 10.0
"""Below it the synthesiser takes F0 for unvoiced."""
_SPREAD_LIMITS = (0.6, 1.6)
"""How far the spread of F0 may be stretched; beyond, a voice sounds drunk or dead."""

_SEMITONE = np.log(2) / 12
_OCTAVE_BELOW = 0.5
"""A predicted curve sinks through all pitches at the edge of a voiced stretch; below half of its median is no voice."""
_RISE_MS = 400
"""Over which the end of a question rises: about its last two syllables."""
_RISE_DONE = 0.75
"""Of that; a final consonant has a predicted pitch and no voice."""
_CREAK_MS = 220
"""A voice that falls into creak has no predicted pitch there (jm_kumo: its last 200 ms). In a rise it has one."""
_RISE_POWER = 1.5
"""A rise begins slowly."""
_CLEAR_RISE_ST = 3.0
"""'t Hart 1981, "Differential sensitivity to pitch distance, particularly in speech": less hardly plays a part."""
_MOST_RISE_ST = 7.0
_USUAL_PRIOR_S = 0.3


@dataclass(frozen=True)
class LogF0:
    """Mean and standard deviation of ln F0 (Hz) over voiced frames."""

    mean: float
    std: float


class Change(Protocol):
    """A change of pitch."""

    def moved(self, f0_hz: np.ndarray) -> np.ndarray:
        """Return a predicted curve, float (frames,) in Hz every :data:`STEP_MS`, changed where it is voiced."""
        ...


@dataclass(frozen=True)
class Pitch:
    """A change of pitch: F0 (Hz) becomes ``gain * F0 ** power``, which is linear in ln F0."""

    power: float = 1.0
    gain: float = 1.0

    def moved(self, f0_hz: np.ndarray) -> np.ndarray:
        """Return the changed curve (:class:`Change`)."""
        voiced_hz = np.maximum(f0_hz, VOICED_ABOVE_HZ)
        return np.where(f0_hz > VOICED_ABOVE_HZ, self.gain * voiced_hz**self.power, f0_hz)


UNCHANGED = Pitch()


def towards(voice: LogF0, speaker: LogF0) -> Pitch:
    """Return the change that gives a voice a speaker's mean and spread of ln F0."""
    power = float(np.clip(speaker.std / max(voice.std, 1e-3), *_SPREAD_LIMITS))
    return Pitch(power, float(np.exp(speaker.mean - power * voice.mean)))


def spread(log_hz: np.ndarray) -> LogF0:
    """Return the mean and the spread of ln F0 (frames,) by percentiles, so that octave errors hardly count."""
    low, high = np.percentile(log_hz, [10, 90])
    std = float(high - low) / 2.563  # of a normal distribution
    return LogF0(float(np.clip(log_hz, low, high).mean()), max(std, 1e-3))


@dataclass(frozen=True)
class LinePitch:
    """A change of pitch that gives one line a mean and a spread of ln F0, and a question its rise.

    Where little of the line is voiced its own spread says little, and the voice's usual one counts as well.
    """

    target: LogF0
    usual: LogF0
    """Of the voice."""
    rise_st: float | None = None
    """How far the source's question rises at its end; None: no question."""

    def moved(self, f0_hz: np.ndarray) -> np.ndarray:
        """Return the changed curve (:class:`Change`)."""
        is_heard = voiced(f0_hz)
        if not is_heard.any():
            return f0_hz
        own = spread(np.log(f0_hz[is_heard]))
        weight = is_heard.sum() * STEP_MS / 1000
        weight /= weight + _USUAL_PRIOR_S
        std = weight * own.std + (1 - weight) * self.usual.std
        return lifted(towards(LogF0(own.mean, std), self.target).moved(f0_hz), self.rise_st)


def voiced(f0_hz: np.ndarray) -> np.ndarray:
    """Return bool (frames,): where a predicted curve is a voice's pitch."""
    is_voiced = f0_hz > 4 * VOICED_ABOVE_HZ
    return is_voiced & (f0_hz > _OCTAVE_BELOW * np.median(f0_hz[is_voiced])) if is_voiced.any() else is_voiced


def lifted(f0_hz: np.ndarray, rise_st: float | None) -> np.ndarray:
    """Return a curve whose last 400 ms of voice rise by as much as the source's, if that rises clearly.

    The predicted curve there, with its fall into creak and its gaps, gives way to a rise from no lower than the middle
    of the line: what is unvoiced all the same the decoder knows by its phones.
    """
    if rise_st is None or rise_st < _CLEAR_RISE_ST:
        return f0_hz
    heard = np.flatnonzero(voiced(f0_hz))
    if not len(heard):
        return f0_hz
    window = np.arange(max(heard[0], heard[-1] + 1 - round(_RISE_MS / STEP_MS)), heard[-1] + 1)
    begin_hz = max(np.median(f0_hz[heard[heard >= window[0]][:3]]), np.median(f0_hz[heard]))
    share = np.clip((window - window[0]) / (_RISE_DONE * len(window)), 0.0, 1.0) ** _RISE_POWER
    risen_hz = begin_hz * np.exp(min(rise_st, _MOST_RISE_ST) * _SEMITONE * share)
    result = f0_hz.copy()
    result[window] = np.maximum(risen_hz, f0_hz[window])
    result[window[-1] + 1 : window[-1] + 1 + round(_CREAK_MS / STEP_MS)] = result[window[-1]]
    return result
