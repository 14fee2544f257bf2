"""How each line of the source is said, against its speaker's habit, and how its dub is made to follow.

What is taken over: the mean and the spread of ln F0, the level (whole and in thirds of the line) and, of a question,
the rise at its end. Not the stress of single words: where a stressed word stands in the translation could only be
guessed.

A line's mean is shrunk as the posterior mean of a normal model: lines of a speaker lie about 2 semitones around the
speaker's mean, frames about 3 around their line's, and frames closer than about .15 s say the same; so the weight of a
line with ``v`` voiced seconds is ``v / (v + .35)``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyworld

from stages import sound
from stages.artifacts import Prosody, ScriptLine
from stages.synthesize.pitch import LogF0, spread

F0_RANGE_HZ = (60.0, 500.0)
_STEP_MS = 5
_SEMITONE = np.log(2) / 12
_MEAN_PRIOR_S = 0.35
_SPREAD_PRIOR_S = 0.7
_LEAST_VOICED_S = 0.2
_MOST_SHIFT_ST = 5.0
"""Further from their habit people shout or play a part, and the synthesiser's voices sound wrong."""
_RANGE_LIMITS = (0.7, 1.5)
_MOST_LEVEL_DB = 15.0
_JUMP = 2 * _SEMITONE
"""In 5 ms no voice moves as far: one side of it is an octave error."""
_SHORTEST_RUN = 8
"""Frames between two jumps that are believed."""
_FARTHEST = 14 * _SEMITONE
"""From the line's median; beyond lie creak and octave errors."""
_END_MS, _BEFORE_END_MS = 60, 400
"""A rise is what the last 60 ms of voice lie above the lowest of the 400 ms before them."""
_AFTER_ROOM_MS = 250
"""How far beyond its last word's time a line's end is looked for: recognisers cut final syllables short."""
_GATE_DB = 25.0
_LEVEL_STEP_MS = 20
_AUDIBLE_MS = 400
"""Of a third of a line: less says nothing about its level."""
_SILENT_DBFS = -70.0
_FARTHEST_LEVEL_DB = 25.0
"""Below the speaker's median line a line is next to silent, however soft the recording is."""
_USUAL_LEVEL_DBFS = -23.0
_CONTOUR_NOISE_DB = 1.0
"""Thirds of different sentences differ by as much for their sounds alone."""
_MOST_CONTOUR_DB = 5.0
QUESTION_MARKS = "?\uff1f\u061f\u037e\u055e\u1367\u2047"
"""Latin, full-width, Arabic, Greek, Armenian, Ethiopic, double; Greek is mostly written with a semicolon."""


@dataclass(frozen=True)
class _Heard:
    f0: LogF0 | None
    voiced_s: float
    rise_st: float | None
    level_dbfs: float
    contour_db: tuple[float, float, float] | None


class Habits:
    """How every speaker usually speaks, and how each of their lines differs from it.

    Args:
        voice: mono sound file of the original voices.
        lines: of the script.
    """

    def __init__(self, voice: Path, lines: Sequence[ScriptLine]) -> None:
        starts_ms = sorted(line.start_ms for line in lines)
        self._heard: dict[int, _Heard] = {}
        for line in lines:
            following_ms = starts_ms[bisect_left(starts_ms, line.end_ms) :][:1]
            end_ms = min([line.end_ms + _AFTER_ROOM_MS, *following_ms])
            self._heard[line.id] = _listen(
                sound.read_span(voice, line.start_ms, line.end_ms), sound.read_span(voice, line.start_ms, end_ms)
            )
        by_speaker: dict[str, list[_Heard]] = {}
        for line in lines:
            by_speaker.setdefault(line.speaker, []).append(self._heard[line.id])
        self._f0 = {speaker: _usual_f0(heard) for speaker, heard in by_speaker.items()}
        self._levels = {speaker: _usual_level(heard) for speaker, heard in by_speaker.items()}

    def level_dbfs(self, line: ScriptLine) -> float:
        """Return the line's own level, or its speaker's usual one where the line is next to silent.

        RMS of what is within 25 dB of the loudest 20 ms.
        """
        own = self._heard[line.id].level_dbfs
        usual = self._levels[line.speaker]
        return own if own > usual - _FARTHEST_LEVEL_DB else usual

    def prosody(self, line: ScriptLine, source: str, target: str) -> Prosody | None:
        """Return how the line differs from its speaker's habit; None where too little of it is voiced.

        ``source`` and ``target`` are the languages of its two texts.
        """
        heard, usual = self._heard[line.id], self._f0[line.speaker]
        if heard.f0 is None or usual is None:
            return None
        shift = (heard.f0.mean - usual.mean) * heard.voiced_s / (heard.voiced_s + _MEAN_PRIOR_S)
        wider = np.log(heard.f0.std / usual.std) * heard.voiced_s / (heard.voiced_s + _SPREAD_PRIOR_S)
        level_db = self.level_dbfs(line) - self._levels[line.speaker]
        is_question = asks(line.source_text, source) and asks(line.text, target)
        return Prosody(
            f0_shift_st=round(float(np.clip(shift / _SEMITONE, -_MOST_SHIFT_ST, _MOST_SHIFT_ST)), 2),
            f0_range_ratio=round(float(np.clip(np.exp(wider), *_RANGE_LIMITS)), 3),
            level_db=round(float(np.clip(level_db, -_MOST_LEVEL_DB, _MOST_LEVEL_DB)), 2),
            rise_st=heard.rise_st if is_question else None,
            contour_db=heard.contour_db,
        )


def asks(text: str, tag: str) -> bool:
    """Return whether a text in a language (BCP-47) ends with a question mark, quotes and brackets aside."""
    end = text.rstrip().rstrip("\"'”’»)]} \u00a0\u202f!")[-1:]
    return end != "" and (end in QUESTION_MARKS or (end == ";" and tag.split("-")[0] == "el"))


def f0_curve_hz(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return F0 of float (n,) samples every 5 ms, 0 where unvoiced or not believed (octave errors, creak).

    DIO and StoneMask of WORLD (Morise et al. 2016), then :func:`believed`.
    """
    wave = np.ascontiguousarray(samples, np.float64)
    if len(wave) < rate_hz // 10:
        return np.zeros(0)
    floor, ceiling = F0_RANGE_HZ
    rough_hz, times = pyworld.dio(wave, rate_hz, f0_floor=floor, f0_ceil=ceiling, frame_period=float(_STEP_MS))
    f0_hz = pyworld.stonemask(wave, rough_hz, times, rate_hz)
    return believed(f0_hz)


def believed(f0_hz: np.ndarray) -> np.ndarray:
    """Return float (frames,) Hz, one every 5 ms, without what cannot be a voice's pitch.

    Runs of less than 40 ms between two jumps, and what lies more than 14 semitones from the median, become 0.
    """
    curve = np.log(np.maximum(f0_hz, 1.0))
    run = np.cumsum(np.abs(np.diff(curve, prepend=curve[:1])) > _JUMP)
    kept = (f0_hz > 0) & (np.bincount(run)[run] >= _SHORTEST_RUN)
    if not kept.any():
        return np.zeros(len(f0_hz))
    kept &= np.abs(curve - np.median(curve[kept])) < _FARTHEST
    return np.where(kept, f0_hz, 0.0)


def rise_st(f0_hz: np.ndarray, step_ms: float = _STEP_MS) -> float | None:
    """Return by how many semitones the end of a curve (Hz, 0 unvoiced) lies above the low before it.

    Negative or about 0 where it falls; None where too little is voiced.
    """
    end, before = round(_END_MS / step_ms), round(_BEFORE_END_MS / step_ms)
    last = np.flatnonzero(f0_hz > 0)
    if len(last) < 2 * end:
        return None
    stretch = f0_hz[max(0, last[-1] + 1 - end - before) : last[-1] + 1]
    voiced = np.log(stretch[stretch > 0])
    if len(voiced) < 2 * end:
        return None
    return round(float(np.median(voiced[-end:]) - np.percentile(voiced[:-end], 10)) / _SEMITONE, 2)


def powers(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the mean power of every 20 ms of float (n,) samples."""
    block = rate_hz * _LEVEL_STEP_MS // 1000
    return np.square(samples[: len(samples) // block * block], dtype=np.float64).reshape(-1, block).mean(axis=1)


def level_dbfs(samples: np.ndarray, rate_hz: int) -> float:
    """Return the RMS in dBFS of float (n,) speech without its pauses; -120 for silence."""
    power = powers(samples, rate_hz)
    if not len(power) or power.max() < 1e-12:
        return -120.0
    return float(10 * np.log10(power[power > power.max() * 10 ** (-_GATE_DB / 10)].mean()))


def contour_db(samples: np.ndarray, rate_hz: int) -> tuple[float, float, float] | None:
    """Return the level of the thirds of float (n,) speech over their mean; None where one has too little sound."""
    power = powers(samples, rate_hz)
    is_heard = power > power.max(initial=0.0) * 10 ** (-_GATE_DB / 10)
    if not is_heard.any():
        return None
    first, last = np.flatnonzero(is_heard)[[0, -1]]
    thirds = np.array_split(np.where(is_heard, power, 0.0)[first : last + 1], 3)
    heard = [third[third > 0] for third in thirds]
    if min(len(third) for third in heard) * _LEVEL_STEP_MS < _AUDIBLE_MS:
        return None
    levels = np.array([10 * np.log10(third.mean()) for third in heard])
    low, middle, high = (round(float(level), 2) for level in levels - levels.mean())
    return low, middle, high


def follow_contour(samples: np.ndarray, rate_hz: int, wanted_db: tuple[float, float, float] | None) -> np.ndarray:
    """Return float32 (n,) speech whose thirds are as loud against each other as wanted, in slow changes of gain.

    What is within the noise of the measure is left, and no third is moved by more than 5 dB.
    """
    own_db = None if wanted_db is None else contour_db(samples, rate_hz)
    if wanted_db is None or own_db is None:
        return samples
    missing = np.subtract(wanted_db, own_db)
    moved = np.sign(missing) * np.clip(np.abs(missing) - _CONTOUR_NOISE_DB, 0.0, _MOST_CONTOUR_DB)
    power = powers(samples, rate_hz)
    heard = np.flatnonzero(power > power.max() * 10 ** (-_GATE_DB / 10))
    block = rate_hz * _LEVEL_STEP_MS // 1000
    first, length = heard[0] * block, (heard[-1] + 1 - heard[0]) * block
    centres = first + length * np.array([1, 3, 5]) / 6
    gains_db = np.interp(np.arange(len(samples)), centres, moved)
    return (samples * 10 ** (gains_db / 20)).astype(np.float32)


def _listen(words: np.ndarray, with_end: np.ndarray) -> _Heard:
    rate_hz = sound.SPEECH_RATE_HZ
    level = level_dbfs(words, sound.SAMPLE_RATE_HZ)
    curve_hz = f0_curve_hz(sound.resample(with_end, sound.SAMPLE_RATE_HZ, rate_hz), rate_hz)
    voiced = np.log(curve_hz[curve_hz > 0])
    voiced_s = len(voiced) * _STEP_MS / 1000
    if voiced_s < _LEAST_VOICED_S:
        return _Heard(None, voiced_s, None, level, None)
    return _Heard(spread(voiced), voiced_s, rise_st(curve_hz), level, contour_db(words, sound.SAMPLE_RATE_HZ))


def _usual_f0(lines: Sequence[_Heard]) -> LogF0 | None:
    """Return a speaker's mean ln F0, and usual spread within a line, each line as heavy as it is long."""
    measured = [(line.f0, line.voiced_s) for line in lines if line.f0 is not None]
    if not measured:
        return None
    weights = np.array([voiced_s for _, voiced_s in measured])
    means, spreads = (np.array([getattr(f0, name) for f0, _ in measured]) for name in ("mean", "std"))
    return LogF0(float(np.average(means, weights=weights)), float(np.average(spreads, weights=weights)))


def _usual_level(lines: Sequence[_Heard]) -> float:
    audible = [line.level_dbfs for line in lines if line.level_dbfs > _SILENT_DBFS]
    return float(np.median(audible)) if audible else _USUAL_LEVEL_DBFS
