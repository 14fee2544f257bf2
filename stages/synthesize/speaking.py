"""One line, spoken: in its time, in its speaker's voice and manner; tried in other ways where that is not speech."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stages.artifacts import Cast, Phone, PlannedLine, Prosody, ReadLine
from stages.errors import DubwrightError
from stages.synthesize import casting, matching, prosody, stretching
from stages.synthesize.matching import Matching
from stages.synthesize.pauses import added_ms, with_pauses
from stages.synthesize.pitch import Change, LinePitch, LogF0

if TYPE_CHECKING:
    from stages.synthesize import Synthesizer
    from stages.synthesize.utterance import Utterance

_MARGIN_MS = 100
"""Kept of the silence before and after the phones."""
_FADE_MS = 10
_RETRY_SPEEDS = (1.0, 1.03, 0.97)
_LONGEST_RATIO = 2.5
"""A sound this much longer or shorter than its plan is not the line."""
_LONGEST_SILENCE_MS = 3000
"""That a sound may hold beside its phones."""
_AUDIBLE_PEAK = 1e-3
_CLIPPED_AT, _CLIPPED_SHARE = 0.98, 0.02
"""Speech is at its peak for a few samples; a sound that is there for every fiftieth one is broken."""
_PEAK_LIMIT = 0.89
"""-1 dBFS."""


@dataclass(frozen=True)
class Spoken:
    """A line's sound, on the clip's clock."""

    samples: np.ndarray
    sound_start_ms: int
    phones: tuple[Phone, ...]
    rate: float
    flags: tuple[str, ...] = ()
    failure: str | None = None
    """Why nothing could be spoken."""

    def similarity(self, embed: casting.Embed, speaker: np.ndarray | None) -> float:
        """Return the cosine with a speaker's embedding, to four places; 0 where there is nothing to compare."""
        if speaker is None or not self.phones:
            return 0.0
        # The last bits of a float32 depend on where its arrays lie in memory; the same sound is to be the same result.
        return round(float(casting.embed_24k(embed, self.samples) @ speaker), 4)


@dataclass(frozen=True)
class Part:
    """Who speaks a line, and how."""

    voice: str
    """One of the engine's."""
    matched: Matching
    level_dbfs: float
    """Gated RMS that the sound is brought to (:func:`stages.synthesize.prosody.level_dbfs`)."""
    manner: Prosody | None = None
    """What is taken over from the source's line; None: the speaker's usual manner."""
    understudies: tuple[tuple[str, LogF0], ...] = ()
    """Other voices of the same pitch class and their ln F0, tried last."""

    @property
    def pitch(self) -> Change:
        """How the voice's F0 is moved: to the speaker's, and for this line as far beside it as the source's is."""
        usual, manner = self.matched.target_f0, self.manner
        if manner is None:
            return self.matched.pitch
        shift = manner.f0_shift_st * np.log(2) / 12
        target = LogF0(usual.mean + float(shift), usual.std * manner.f0_range_ratio)
        return LinePitch(target, self.matched.source_f0, manner.rise_st)


@dataclass(frozen=True)
class _Attempt:
    part: Part
    speed: float
    pitch: Change
    flags: tuple[str, ...] = ()


class _NotSpeechError(Exception):
    """What the synthesiser gave is not the line; the message says why."""


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


def speak_line(engine: Synthesizer, line: ReadLine, place: PlannedLine, part: Part) -> Spoken:
    """Speak one line so that its first phone sounds at ``place.start_ms`` and its last ends by ``place.end_ms``.

    What is not speech - silence, garbage, an absurd length, an error of the engine for this line - is tried again at
    other speeds, then with the voice as it is, then, with a flag, by another voice of the same pitch class. Where
    nothing helps the sound is 20 ms of silence and ``failure`` says why.

    Args:
        engine: the synthesiser, at 24 kHz.
        line: what is said.
        place: when.
        part: by whom and how.

    Raises:
        DubwrightError: the engine cannot work at all.
    """
    if place.end_ms == place.start_ms:
        return silence(place.start_ms)
    reasons: dict[str, None] = {}
    for attempt in _attempts(part):
        try:
            spoken = _tried(engine, line, place, attempt)
        except (DubwrightError, MemoryError):
            raise
        except Exception as error:  # an engine may fail in any way on one line, and must not end the run
            reasons[str(error) if isinstance(error, _NotSpeechError) else f"{type(error).__name__}: {error}"] = None
            continue
        return replace(spoken, flags=(*attempt.flags, *spoken.flags))
    return silence(place.start_ms, f"synthesis failed: {'; '.join(reasons)}")


def silence(start_ms: int, failure: str | None = None) -> Spoken:
    """Return 20 ms without sound."""
    return Spoken(np.zeros(matching.RATE_HZ // 50, np.float32), start_ms, (), 1.0, failure=failure)


def _attempts(part: Part) -> Iterator[_Attempt]:
    for speed in _RETRY_SPEEDS:
        yield _Attempt(part, speed, part.pitch)
    plain = replace(part, matched=matching.as_it_is(part.matched.source_f0), manner=None)
    yield _Attempt(plain, 1.0, plain.pitch, ("spoken by the voice as it is",))
    for voice, f0 in part.understudies:
        other = replace(plain, voice=voice, matched=matching.as_it_is(f0))
        yield _Attempt(other, 1.0, other.pitch, (f"spoken by another voice: {voice}",))


def _tried(engine: Synthesizer, line: ReadLine, place: PlannedLine, attempt: _Attempt) -> Spoken:
    part, wanted_ms = attempt.part, place.end_ms - place.start_ms - added_ms(place.pauses)
    speed = engine.speed_for(line.said, part.voice, wanted_ms) * attempt.speed
    utterance = engine.speak(line.said, part.voice, speed, attempt.pitch)
    utterance = stretching.shortened_to(utterance, wanted_ms, engine.rate_hz)
    _check_length(utterance, wanted_ms)
    _check_sound(utterance.samples)
    rate = line.sounding_ms / utterance.sounding_ms
    spoken = replace(_placed(with_pauses(utterance, place.pauses), place, part, rate), flags=utterance.flags)
    _check_sound(spoken.samples)
    return spoken


def _check_length(utterance: Utterance, wanted_ms: int) -> None:
    if not utterance.phones:
        raise _NotSpeechError("no phones")
    ratio = utterance.sounding_ms / wanted_ms
    if not 1 / _LONGEST_RATIO < ratio < _LONGEST_RATIO:
        raise _NotSpeechError(f"{ratio:.2g} times as long as planned")
    sound_ms, last_ms = len(utterance.samples) * 1000 // matching.RATE_HZ, utterance.phones[-1].end_ms
    if not last_ms - _MARGIN_MS <= sound_ms <= last_ms + _LONGEST_SILENCE_MS:
        raise _NotSpeechError(f"{sound_ms} ms of sound for phones that end at {last_ms} ms")


def _check_sound(samples: np.ndarray) -> None:
    if not len(samples):
        raise _NotSpeechError("no sound")
    if not np.isfinite(samples).all():
        raise _NotSpeechError("not a number")
    size = np.abs(samples - np.mean(samples, dtype=np.float64))
    if size.max() < _AUDIBLE_PEAK:
        raise _NotSpeechError("silence")
    if np.mean(size > _CLIPPED_AT * size.max()) > _CLIPPED_SHARE:
        raise _NotSpeechError("clipped")


def _placed(utterance: Utterance, place: PlannedLine, part: Part, rate: float) -> Spoken:
    """Match, trim, level and place an utterance."""
    samples = matching.match(utterance.samples, part.matched)
    first_ms, last_ms = utterance.phones[0].start_ms, utterance.phones[-1].end_ms
    total_ms = len(samples) * 1000 // matching.RATE_HZ
    begin_ms = max(0, first_ms - min(_MARGIN_MS, place.start_ms))
    end_ms = min(total_ms, last_ms + _MARGIN_MS)
    kept = samples[begin_ms * matching.RATE_HZ // 1000 : end_ms * matching.RATE_HZ // 1000]
    followed = prosody.follow_contour(kept, matching.RATE_HZ, part.manner.contour_db if part.manner else None)
    shift_ms = place.start_ms - first_ms
    phones = tuple(
        phone.model_copy(update={"start_ms": phone.start_ms + shift_ms, "end_ms": phone.end_ms + shift_ms})
        for phone in utterance.phones
    )
    return Spoken(_levelled(_faded(followed), part.level_dbfs), begin_ms + shift_ms, phones, rate)


def _faded(samples: np.ndarray) -> np.ndarray:
    """Ramp the ends, so that a trimmed sound does not click."""
    ramp = np.linspace(0, 1, min(matching.RATE_HZ * _FADE_MS // 1000, len(samples) // 2), dtype=np.float32)
    gain = np.ones(len(samples), np.float32)
    if len(ramp):
        gain[: len(ramp)], gain[-len(ramp) :] = ramp, ramp[::-1]
    return samples * gain


def _levelled(samples: np.ndarray, level_dbfs: float) -> np.ndarray:
    """Bring samples to a level, or as near as their peak allows."""
    gain = 10 ** ((level_dbfs - prosody.level_dbfs(samples, matching.RATE_HZ)) / 20)
    return samples * np.float32(min(gain, _PEAK_LIMIT / max(float(np.abs(samples).max()), 1e-9)))
