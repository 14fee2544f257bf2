"""One line, spoken: in its time, in its speaker's voice, as loud as its speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages import sound
from stages.artifacts import Cast, Phone, PlannedLine, ReadLine, ScriptLine
from stages.synthesize import casting, matching
from stages.synthesize.matching import Matching
from stages.synthesize.pitch import LogF0

if TYPE_CHECKING:
    from stages.synthesize import Synthesizer
    from stages.synthesize.kokoro import Utterance

FAILED = "synthesis failed"

_MARGIN_MS = 100
"""Kept of the silence before and after the phones."""
_FADE_MS = 10
_OVERRUN_MS = 60
"""How much later than planned a line may end before it is spoken again, faster: its length was an estimate."""
_FASTEST_CORRECTION = 1.08
_HURRIED_RATE = 1.25
"""Planned rate above which no line is spoken faster than planned: 1.25 * 1.08 is the fastest rate of the plan."""
_RETRY_SPEEDS = (1.0, 1.03, 0.97)
_LONGEST_RATIO = 2.5
"""A sound this much longer or shorter than its plan is not the line."""
_PEAK_LIMIT = 0.89
"""-1 dBFS."""
_LEVEL_FLOOR_DBFS = -45.0
_USUAL_LEVEL_DBFS = -23.0
_GATE_DB = 25.0


@dataclass(frozen=True)
class Spoken:
    """A line's sound, on the clip's clock."""

    samples: np.ndarray
    sound_start_ms: int
    phones: tuple[Phone, ...]
    rate: float
    flags: tuple[str, ...] = ()

    def similarity(self, embed: casting.Embed, speaker: np.ndarray | None) -> float:
        """Return the cosine with a speaker's embedding; 0 where there is nothing to compare."""
        if speaker is None or not self.phones:
            return 0.0
        return float(casting.embed_24k(embed, self.samples) @ speaker)


class Loudness:
    """How loud each line's speaker was: RMS of what is within 25 dB of the loudest 20 ms, in dBFS."""

    def __init__(self, voice: Path, lines: Sequence[ScriptLine]) -> None:
        self._own = {
            line.id: level_dbfs(sound.read_span(voice, line.start_ms, line.end_ms), sound.SAMPLE_RATE_HZ)
            for line in lines
        }
        self._speakers: dict[str, float] = {}
        for speaker in {line.speaker for line in lines}:
            audible = [
                self._own[line.id]
                for line in lines
                if line.speaker == speaker and self._own[line.id] > _LEVEL_FLOOR_DBFS
            ]
            self._speakers[speaker] = float(np.median(audible)) if audible else _USUAL_LEVEL_DBFS

    def of(self, line: ScriptLine) -> float:
        """Return the line's own level, or its speaker's usual one where the line is next to silent."""
        own = self._own[line.id]
        return own if own > _LEVEL_FLOOR_DBFS else self._speakers[line.speaker]


def level_dbfs(samples: np.ndarray, rate_hz: int) -> float:
    """Return the RMS in dBFS of float (n,) speech without its pauses; -120 for silence."""
    block = rate_hz // 50
    power = np.square(samples[: len(samples) // block * block], dtype=np.float64).reshape(-1, block).mean(axis=1)
    if not len(power) or power.max() < 1e-12:
        return -120.0
    return float(10 * np.log10(power[power > power.max() * 10 ** (-_GATE_DB / 10)].mean()))


def matchings(cast: Cast) -> dict[str, Matching]:
    """Return every speaker's matching from a cast."""
    with np.load(cast.file(cast.spectra)) as stored:
        return {
            voice.speaker: Matching(
                voice.warp,
                LogF0(*(float(value) for value in stored[f"{voice.speaker}.f0"])),
                LogF0(voice.f0_mean_log_hz, voice.f0_std_log),
                stored[voice.speaker],
            )
            for voice in cast.voices
        }


def speak_line(
    engine: Synthesizer, line: ReadLine, place: PlannedLine, voice: str, matched: Matching, level: float
) -> Spoken:
    """Speak one line so that its first phone sounds at ``place.start_ms`` and its last ends by ``place.end_ms``.

    Args:
        engine: the synthesiser, at 24 kHz.
        line: what is said.
        place: when.
        voice: one of the engine's.
        matched: the voice's matching.
        level: gated RMS that the sound is brought to, in dBFS (:func:`level_dbfs`).
    """
    if place.end_ms == place.start_ms:
        return _silence(place, ())
    wanted_ms = place.end_ms - place.start_ms
    planned_speed = engine.speed_for(line.ipa, voice, wanted_ms)
    for factor in _RETRY_SPEEDS:
        speed = planned_speed * factor
        utterance = engine.speak(line.ipa, voice, speed, matched.pitch)
        overrun = _sounding_ms(utterance) / wanted_ms
        if _sounding_ms(utterance) > wanted_ms + _OVERRUN_MS and place.rate <= _HURRIED_RATE:
            speed *= min(overrun, _FASTEST_CORRECTION)
            utterance = engine.speak(line.ipa, voice, speed, matched.pitch)
        if _is_speech(utterance, place):
            unhurried_ms = line.duration_ms - line.lead_ms - line.tail_ms
            rate = unhurried_ms / engine.durations(line.ipa, voice, speed).sounding_ms
            return _placed(utterance, place, matched, level, rate)
    return _silence(place, (FAILED,))


def _sounding_ms(utterance: Utterance) -> int:
    return utterance.phones[-1].end_ms - utterance.phones[0].start_ms if utterance.phones else 0


def _is_speech(utterance: Utterance, place: PlannedLine) -> bool:
    """Whether the sound is finite, audible, and not absurdly long or short for its plan."""
    ratio = _sounding_ms(utterance) / (place.end_ms - place.start_ms)
    return (
        bool(utterance.phones)
        and bool(np.isfinite(utterance.samples).all())
        and float(np.abs(utterance.samples).max()) > 1e-3
        and 1 / _LONGEST_RATIO < ratio < _LONGEST_RATIO
    )


def _placed(utterance: Utterance, place: PlannedLine, matched: Matching, level: float, rate: float) -> Spoken:
    """Match, trim, level and place an utterance."""
    samples = matching.match(utterance.samples, matched)
    first_ms, last_ms = utterance.phones[0].start_ms, utterance.phones[-1].end_ms
    total_ms = len(samples) * 1000 // matching.RATE_HZ
    begin_ms = max(0, first_ms - min(_MARGIN_MS, place.start_ms))
    end_ms = min(total_ms, last_ms + _MARGIN_MS)
    kept = samples[begin_ms * matching.RATE_HZ // 1000 : end_ms * matching.RATE_HZ // 1000]
    shift_ms = place.start_ms - first_ms
    phones = tuple(
        phone.model_copy(update={"start_ms": phone.start_ms + shift_ms, "end_ms": phone.end_ms + shift_ms})
        for phone in utterance.phones
    )
    return Spoken(_levelled(_faded(kept), level), begin_ms + shift_ms, phones, rate)


def _faded(samples: np.ndarray) -> np.ndarray:
    """Ramp the ends, so that a trimmed sound does not click."""
    ramp = np.linspace(0, 1, min(matching.RATE_HZ * _FADE_MS // 1000, len(samples) // 2), dtype=np.float32)
    gain = np.ones(len(samples), np.float32)
    if len(ramp):
        gain[: len(ramp)], gain[-len(ramp) :] = ramp, ramp[::-1]
    return samples * gain


def _levelled(samples: np.ndarray, level: float) -> np.ndarray:
    """Bring samples to a level, or as near as their peak allows."""
    gain = 10 ** ((level - level_dbfs(samples, matching.RATE_HZ)) / 20)
    return samples * np.float32(min(gain, _PEAK_LIMIT / max(float(np.abs(samples).max()), 1e-9)))


def _silence(place: PlannedLine, flags: tuple[str, ...]) -> Spoken:
    return Spoken(np.zeros(matching.RATE_HZ // 50, np.float32), place.start_ms, (), place.rate, flags)
