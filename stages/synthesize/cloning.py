"""Voices cloned from the speakers' own seconds, by engines that only speak: no voices, no durations, no F0 to move.

Of each speaker one conditioning is made, from the cleanest seconds there are, and kept in the cast. How long such a
voice takes for a text is estimated before it is spoken: as long as espeak-ng takes, times the clone's pace, which one
audition measures. A line is spoken once, at the voice's own speed; its phones are timed by alignment with espeak-ng's
rendering (:mod:`stages.synthesize.alignment`), and the engine's own speed control, or a change of tempo, then brings it
to the length that was planned, within bounds. Sampling can go wrong: of up to three takes the first one of a plausible
length is taken. A line that is longer than the engine can hold is spoken in pieces (:mod:`stages.synthesize.joining`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from language_packs.schema import G2P
from stages import sound
from stages.artifacts import Cast, Phone, PhraseEnd, VoiceSettings
from stages.devices import is_out_of_memory
from stages.errors import InputError, MissingEngineError
from stages.reading import read_line
from stages.synthesize import matching
from stages.synthesize.alignment import aligned
from stages.synthesize.casting import Embed, embed_24k
from stages.synthesize.joining import MARGIN_MS, Joined, Piece, pieces
from stages.synthesize.pitch import UNCHANGED, Change, LogF0
from stages.synthesize.rendering import Rendering, render
from stages.synthesize.utterance import Length, Utterance

Conditioning = Mapping[str, np.ndarray]
"""What an engine made of a speaker's seconds."""

CONDITIONING_FILE = "conditioning.npz"
_LEAST_REFERENCE_MS = 1000
"""A shorter reference is repeated: conditioning encoders take no less than a third of a second."""
_TAKES = 3
_PLAUSIBLE = 1.7
"""A take this much longer or shorter than estimated is taken for one that went wrong."""
_PAUSE_MS = 40
"""Between two phones of the rendering: a phrase has ended."""
_UNKNOWN_F0 = LogF0(float(np.log(150.0)), 0.2)


class Take(Protocol):
    """A text as it was spoken once."""

    def at(self, speed: float) -> np.ndarray:
        """Return float32 (n,) samples at 24 kHz, the same words at a speed: 1 / speed as long."""
        ...


class Sampler(Protocol):
    """An engine that speaks as it is conditioned."""

    def condition(self, reference: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is to be known of a speaker; ``reference`` is float32 (n,) at 24 kHz, at least 1 s."""
        ...

    def fits(self, text: str) -> bool:
        """Return whether a text is short enough to be spoken at once."""
        ...

    def take(self, text: str, conditioning: Conditioning, seed: int) -> Take:
        """Return a text, spoken; the same seed gives the same sound."""
        ...


@dataclass(frozen=True)
class _Spoken:
    take: Take
    phones: tuple[Phone, ...]
    total_ms: int


class CloningEngine:
    """An engine of cloned voices (:class:`stages.synthesize.registry.Synthesizer`); it is given text.

    Args:
        name: in the settings, for messages.
        sampler: loads what speaks; called when something is spoken first, since reading does not need it.
        speeds: slowest and fastest that its takes may be played at.
        language: BCP-47.
        how: the language is read.
        cast: whose voices are known; None while it is made.
    """

    rate_hz = matching.RATE_HZ

    def __init__(
        self,
        name: str,
        sampler: Callable[[], Sampler],
        speeds: tuple[float, float],
        language: str,
        how: G2P | None,
        cast: Cast | None,
    ) -> None:
        if how is None:
            raise ValueError("a cloning engine must know how its language is read")
        self._name, self._load, self._speeds, self._language, self._how = name, sampler, speeds, language, how
        self._cast = cast
        self._paces = {voice.speaker: voice.pace for voice in cast.voices} if cast else {}
        self._conditionings: dict[str, Conditioning] = {}
        self._spoken: dict[tuple[str, str], _Spoken] = {}

    @cached_property
    def _sampler(self) -> Sampler:
        return self._load()

    def learn(self, speaker: str, reference: np.ndarray, text: str) -> tuple[Conditioning, float, np.ndarray]:
        """Return a speaker's conditioning, the clone's pace, and its audition, float32 (n,) at 24 kHz.

        Args:
            speaker: the clone's name from now on.
            reference: float32 (n,) at 24 kHz of the speaker alone.
            text: of the audition.

        Raises:
            InputError: there is no reference.
            MissingEngineError: the memory does not suffice.
        """
        if not len(reference):
            raise InputError(
                f"{speaker} has no speech to clone a voice from: merge them with another speaker in "
                "STEM.speakers.toml, or choose synthesize.engine kokoro."
            )
        least = matching.RATE_HZ * _LEAST_REFERENCE_MS // 1000
        repeated = np.tile(reference, -(-least // len(reference))) if len(reference) < least else reference
        with _memory_errors(self._name):
            self._conditionings[speaker] = self._sampler.condition(np.ascontiguousarray(repeated, np.float32))
        self._paces[speaker] = 1.0
        rendering = self._rendering(text)
        if not rendering.phones:
            return self._conditionings[speaker], 1.0, np.zeros(0, np.float32)
        spoken = self._speak_once(text, speaker)
        if spoken.phones:
            self._paces[speaker] = round(
                (spoken.phones[-1].end_ms - spoken.phones[0].start_ms) / rendering.sounding_ms, 3
            )
        return self._conditionings[speaker], self._paces[speaker], spoken.take.at(1.0)

    def durations(self, said: str, voice: str, speed: float = 1.0) -> Length:
        """Return how long a text takes: exactly where it was spoken already, else as estimated."""
        rendering = self._rendering(said)
        if not rendering.phones:
            return Length(0, 0, 0)
        if (voice, said) in self._spoken and self._spoken[voice, said].phones:
            spoken = self._spoken[voice, said]
            return _length(_scaled(spoken.phones, speed), round(spoken.total_ms / speed), rendering)
        scaled = _scaled(rendering.phones, speed / self._paces[voice])
        first_ms = scaled[0].start_ms
        begun = tuple(
            Phone(ipa=each.ipa, start_ms=each.start_ms - first_ms, end_ms=each.end_ms - first_ms) for each in scaled
        )
        return _length(begun, begun[-1].end_ms, rendering)

    def speed_for(self, said: str, voice: str, sounding_ms: int) -> float:
        """Return the speed at which a text, once spoken, sounds for ``sounding_ms``."""
        spoken = self._speak_once(said, voice)
        own_ms = spoken.phones[-1].end_ms - spoken.phones[0].start_ms if spoken.phones else sounding_ms
        return max(own_ms, 1) / max(sounding_ms, 1)

    def speak(self, said: str, voice: str, speed: float = 1.0, pitch: Change = UNCHANGED) -> Utterance:
        """Return a text spoken, no slower and no faster than the engine may; its pitch is the clone's own."""
        if not self._rendering(said).phones:
            return Utterance(np.zeros(0, np.float32), ())
        spoken = self._speak_once(said, voice)
        slowest, fastest = self._speeds
        possible = min(max(speed, slowest), fastest)
        # Of more than a hundredth: a retry asks for a little more or less than the planned speed.
        bounded = abs(possible / speed - 1) > 0.01
        flags = (
            (f"spoken at speed {possible:.2f}, not {speed:.2f}: the voice cannot be changed more",) if bounded else ()
        )
        return Utterance(spoken.take.at(possible), _scaled(spoken.phones, possible), flags=flags)

    def _rendering(self, text: str) -> Rendering:
        return render(text, read_line(text, self._how, self._language, "the line"), self._how)

    def _conditioning(self, voice: str) -> Conditioning:
        if voice not in self._conditionings:
            if self._cast is None or self._cast.conditioning is None:
                raise MissingEngineError(f"the cast was not made by {self._name}: make it anew.")
            self._conditionings[voice] = conditioning_of(self._cast.file(self._cast.conditioning), voice)
        return self._conditionings[voice]

    def _speak_once(self, text: str, voice: str) -> _Spoken:
        if (voice, text) not in self._spoken:
            self._spoken.clear()  # lines come one by one; a take may be large
            spoken = [(piece, self._best_take(piece, voice)) for piece in pieces(text, self._sampler.fits)]
            self._spoken[voice, text] = spoken[0][1] if len(spoken) == 1 else self._joined(text, voice, spoken)
        return self._spoken[voice, text]

    def _joined(self, text: str, voice: str, spoken: Sequence[tuple[str, _Spoken]]) -> _Spoken:
        """Return the pieces of a line as one; between two there is the pause of espeak-ng's rendering of the line."""
        whole = self._rendering(text)
        read = [each.ipa for each in whole.phones]
        said = [each.ipa for piece, _ in spoken for each in self._rendering(piece).phones]
        parts: list[Piece] = []
        phones: list[Phone] = []
        total_ms, count = 0, 0
        for index, (piece, each) in enumerate(spoken):
            count += len(self._rendering(piece).phones)
            is_last = index + 1 == len(spoken)
            first_ms = max(0, each.phones[0].start_ms - MARGIN_MS) if index and each.phones else 0
            last_ms = min(each.total_ms, each.phones[-1].end_ms + MARGIN_MS) if each.phones else each.total_ms
            pause_ms = 0
            if is_last:
                last_ms = each.total_ms
            elif read == said and 0 < count < len(read):
                gap_ms = whole.phones[count].start_ms - whole.phones[count - 1].end_ms
                pause_ms = max(0, round(gap_ms * self._paces[voice]) - 2 * MARGIN_MS)
            parts.append(Piece(each.take.at, first_ms, last_ms, pause_ms))
            phones += _moved(each.phones, total_ms - first_ms)
            total_ms += last_ms - first_ms + pause_ms
        take = Joined(tuple(parts))
        if [each.ipa for each in phones] != read:  # words at a cut are read otherwise than inside the line
            samples = take.at(1.0)
            phones = list(aligned(samples, self.rate_hz, whole)) if np.isfinite(samples).all() else []
        return _Spoken(take, tuple(phones), total_ms)

    def _best_take(self, text: str, voice: str) -> _Spoken:
        """Return the first take of a plausible length, else the most plausible one."""
        rendering = self._rendering(text)
        expected_ms = max(rendering.sounding_ms * self._paces[voice], 1.0)
        best, least = None, np.inf
        for seed in range(_TAKES):
            with _memory_errors(self._name):
                take = self._sampler.take(text, self._conditioning(voice), seed)
            samples = take.at(1.0)
            phones = aligned(samples, self.rate_hz, rendering) if np.isfinite(samples).all() else ()
            spoken = _Spoken(take, phones, len(samples) * 1000 // self.rate_hz)
            sounding_ms = phones[-1].end_ms - phones[0].start_ms if phones else 1
            strangeness = abs(float(np.log(max(sounding_ms, 1) / expected_ms)))
            if best is None or strangeness < least:
                best, least = spoken, strangeness
            if strangeness < np.log(_PLAUSIBLE):
                break
        assert best is not None
        return best


class _memory_errors:  # noqa: N801  (a context, used like a function)
    """Turn an engine's lack of memory into one clear line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and is_out_of_memory(error):
            raise MissingEngineError(
                f"synthesize.engine {self._name}: the memory does not suffice for one line; set synthesize.device.kind "
                "to cpu, or choose synthesize.engine kokoro."
            ) from None


def cast_clones(
    engine: CloningEngine,
    speakers: Mapping[str, np.ndarray],
    text: str,
    embed: Embed,
    out: Path,
    progress: Callable[[float], None],
) -> Cast:
    """Clone every speaker.

    Args:
        engine: that clones.
        speakers: the speakers' own seconds, float32 (n,) at 24 kHz.
        text: of the audition.
        embed: the speaker encoder.
        out: folder to write ``spectra.npz`` and ``conditioning.npz`` to.
        progress: told the share done.

    Raises:
        InputError: a speaker has no speech.
        MissingEngineError: the memory does not suffice.
    """
    settings: list[VoiceSettings] = []
    kept: dict[str, np.ndarray] = {}
    spectra: dict[str, np.ndarray] = {}
    for speaker, reference in speakers.items():
        conditioning, pace, audition = engine.learn(speaker, reference, text)
        kept |= {f"{speaker}/{name}": value for name, value in conditioning.items()}
        trait = matching.measure(reference)
        f0 = trait.f0 if trait else _UNKNOWN_F0
        as_it_is = matching.as_it_is(f0)
        spectra[speaker], spectra[f"{speaker}.f0"] = as_it_is.correction, np.array([f0.mean, f0.std])
        alike = (
            float(embed_24k(embed, audition) @ embed_24k(embed, reference))
            if len(audition) and np.isfinite(audition).all() and np.abs(audition).max() > 0
            else 0.0
        )
        settings.append(
            VoiceSettings(
                speaker=speaker,
                voice=speaker,
                warp=as_it_is.warp,
                f0_mean_log_hz=f0.mean,
                f0_std_log=f0.std,
                similarity_unmatched=0.0,
                similarity_matched=alike,
                kind="cloned",
                pace=pace,
            )
        )
        progress(len(settings) / len(speakers))
    made = Cast(voices=tuple(settings), conditioning=CONDITIONING_FILE)
    np.savez(out / made.spectra, allow_pickle=False, **spectra)
    np.savez(out / CONDITIONING_FILE, allow_pickle=False, **kept)
    return made


def conditioning_of(file: Path, speaker: str) -> dict[str, np.ndarray]:
    """Return a speaker's arrays from a cast's file."""
    with np.load(file, allow_pickle=False) as stored:
        return {
            name.removeprefix(f"{speaker}/"): stored[name] for name in stored.files if name.startswith(f"{speaker}/")
        }


def at_24k(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return float32 (n,) samples at 24 kHz."""
    plain = np.asarray(samples, np.float32).ravel()
    return plain if rate_hz == matching.RATE_HZ else sound.resample(plain, rate_hz, matching.RATE_HZ)


def _moved(phones: tuple[Phone, ...], by_ms: int) -> list[Phone]:
    return [Phone(ipa=each.ipa, start_ms=each.start_ms + by_ms, end_ms=each.end_ms + by_ms) for each in phones]


def _scaled(phones: tuple[Phone, ...], speed: float) -> tuple[Phone, ...]:
    return tuple(
        Phone(ipa=each.ipa, start_ms=round(each.start_ms / speed), end_ms=round(each.end_ms / speed)) for each in phones
    )


def _length(phones: tuple[Phone, ...], total_ms: int, rendering: Rendering) -> Length:
    """Return the length of phones at their times; phrases end where espeak-ng pauses."""
    first_ms, last_ms = phones[0].start_ms, phones[-1].end_ms
    ends = tuple(
        PhraseEnd(phone=index, end_ms=phones[index].end_ms - first_ms, next_ms=phones[index + 1].start_ms - first_ms)
        for index in range(len(phones) - 1)
        if rendering.phones[index + 1].start_ms - rendering.phones[index].end_ms > _PAUSE_MS
    )
    return Length(first_ms, last_ms - first_ms, max(0, total_ms - last_ms), ends)
