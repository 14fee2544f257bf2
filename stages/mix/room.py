"""The room a voice was recorded in, heard from the voice itself, and the same room for a dry voice.

How fast speech can fall silent is bounded by the room (the idea of Ratnam et al. 2003 and of Wen, Habets and Naylor
2008): the steepest falls of the band levels over 50 to 300 ms are measured in the original voice. The dub is given the
exponentially decaying noise (Moorer 1979, Polack 1988) with which its own steepest falls come nearest to those.
"""

from __future__ import annotations

import numpy as np
import scipy.signal

from stages.artifacts import Room
from stages.sound import SPEECH_RATE_HZ, resample

_BANDS_HZ = ((400, 800), (800, 1600), (1600, 3200), (3200, 6400))
_FRAME_MS = 10
_FALL_FRAMES = (5, 10, 15, 20, 30)
_STEEPEST_PERCENT = 5
_LOUD_DB, _FLOOR_DB, _ACTIVE_DB = 5.0, 40.0, 25.0
"""Falls start from what is at most 5 dB below the active level, and count down to 40 dB below it."""
_SHORTEST_S = 2.0
"""Less speech than this tells nothing about its room."""
_LONGEST_S = 30.0
_DECAYS_S = (0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_LEVELS_DB = (-24.0, -20.0, -16.0, -12.0, -8.0, -4.0)
_GAIN_DB = 0.5
"""A room that brings the falls nearer by less is left away: dry is the safer error."""
_DIRECT_MS = 4
_LENGTH = 1.2
"""Of the answer, in reverberation times: down to -72 dB."""


def falls_db(samples: np.ndarray, rate_hz: int) -> np.ndarray | None:
    """Return the steepest falls over 50, 100, 150, 200 and 300 ms in dB, float (5,); None where there is too little.

    Args:
        samples: float (n,) speech of one voice; its first 30 s count.
        rate_hz: its rate.
    """
    return _falls(_bands(_at_speech_rate(samples, rate_hz)))


def matched_room(original: np.ndarray, original_hz: int, dub: np.ndarray, dub_hz: int) -> Room | None:
    """Return the room in which the dry ``dub`` falls like the ``original``; None: it is best left dry."""
    wanted = falls_db(original, original_hz)
    dry = _at_speech_rate(dub, dub_hz)
    dry_bands = _bands(dry)
    dry_falls = _falls(dry_bands)
    if wanted is None or dry_falls is None:
        return None
    best, error_db = None, _distance(dry_falls, wanted) - _GAIN_DB
    for decay_s in _DECAYS_S:
        tail = _answer(decay_s, SPEECH_RATE_HZ)
        wet_bands = _bands(scipy.signal.fftconvolve(dry, tail)[: len(dry)])
        for level_db in _LEVELS_DB:
            falls = _falls([a + 10 ** (level_db / 20) * b for a, b in zip(dry_bands, wet_bands, strict=True)])
            if falls is not None and _distance(falls, wanted) < error_db:
                best, error_db = Room(decay_s=decay_s, level_db=level_db), _distance(falls, wanted)
    return best


def placed_in(room: Room, samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return float32 (n + tail,) samples in a room, as loud as before; the direct sound keeps its place."""
    wet = 10 ** (room.level_db / 20)
    response = wet * _answer(room.decay_s, rate_hz)
    response[0] = 1.0
    response /= np.sqrt(1 + wet**2)
    return scipy.signal.fftconvolve(samples, response).astype(np.float32)


def tail_ms(room: Room | None) -> int:
    """Return by how much a room lengthens a sound."""
    return 0 if room is None else round(1000 * _LENGTH * room.decay_s)


def _answer(decay_s: float, rate_hz: int) -> np.ndarray:
    """Return the late answer with energy 1: noise that falls by 60 dB in ``decay_s``; the same at every call."""
    time_s = np.arange(round(_LENGTH * decay_s * rate_hz)) / rate_hz
    noise = np.random.default_rng(0).standard_normal(len(time_s)) * 10 ** (-3 * time_s / decay_s)
    noise[time_s < _DIRECT_MS / 1000] = 0
    return noise / np.sqrt(np.sum(noise**2))


def _distance(falls: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(np.mean((falls - wanted) ** 2)))


def _at_speech_rate(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    return resample(samples[: round(_LONGEST_S * rate_hz)], rate_hz, SPEECH_RATE_HZ)


def _bands(samples: np.ndarray) -> list[np.ndarray]:
    filters = (scipy.signal.butter(4, band, "bandpass", fs=SPEECH_RATE_HZ, output="sos") for band in _BANDS_HZ)
    return [scipy.signal.sosfilt(each, samples) for each in filters]


def _falls(bands: list[np.ndarray]) -> np.ndarray | None:
    step = _FRAME_MS * SPEECH_RATE_HZ // 1000
    found = np.zeros((len(bands), len(_FALL_FRAMES)))
    for row, band in enumerate(bands):
        power = np.square(band[: len(band) // step * step].reshape(-1, step)).mean(axis=1)
        if not len(power) or power.max() < 1e-10:
            return None
        active = power > power.max() * 10 ** (-_ACTIVE_DB / 10)
        if active.sum() * _FRAME_MS / 1000 < _SHORTEST_S / len(bands):
            return None
        usual_db = 10 * np.log10(power[active].mean())
        level_db = np.maximum(10 * np.log10(power + 1e-12), usual_db - _FLOOR_DB)
        for column, frames in enumerate(_FALL_FRAMES):
            loud = level_db[:-frames] > usual_db - _LOUD_DB
            if not loud.any():
                return None
            found[row, column] = np.percentile((level_db[frames:] - level_db[:-frames])[loud], _STEEPEST_PERCENT)
    return found.mean(axis=0)
