"""Which voice stands for a speaker, and how it is matched: the search for the best likeness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stages import sound
from stages.artifacts import Turn
from stages.synthesize import Voice, matching
from stages.synthesize.matching import Analysis, Matching, Trait
from stages.synthesize.pitch import UNCHANGED, LogF0, Pitch, towards

Embed = Callable[[np.ndarray], np.ndarray]
"""float (n,) samples at 16 kHz -> unit vector (256,)."""
ReadAloud = Callable[[str, Pitch], np.ndarray]
"""Voice and pitch -> float (n,) samples at 24 kHz of it reading the audition text."""

_PITCH_BORDER_HZ = 165.0
"""Between the usual F0 of men and women (Titze 1989: about 125 and 210 Hz)."""
_CLEAR_PITCH = 0.12
"""Distance in ln F0 from the border beyond which only voices of the speaker's own pitch class are tried."""
_COARSE_WARPS = (0.9, 1.05)
_LARGEST_WARP = 1.05
"""A hurried jf_gongitsune: CER .09 at warp 1.05, .17 at 1.15, for .01 of likeness (two lines)."""
_FINALISTS = 2
_FINE_STEPS = (-0.05, 0.05)
_REFERENCE_MS = 12_000
_SHORTEST_TURN_MS = 700


@dataclass(frozen=True)
class Likeness:
    """One voice, matched as well as the search found."""

    voice: str
    matching: Matching
    unmatched: float
    """Cosine of the speaker embeddings, the voice as it is."""
    matched: float
    """The same after matching."""


def reference(voice: Path, background: Path, turns: tuple[Turn, ...], speaker: str) -> np.ndarray:
    """Return up to 12 s of the speaker alone, float32 at 24 kHz: the turns with the least background first.

    Empty where the speaker never speaks alone for :data:`_SHORTEST_TURN_MS`.
    """
    own = [turn for turn in turns if turn.speaker == speaker]
    others = [turn for turn in turns if turn.speaker != speaker]
    alone = [
        turn
        for turn in own
        if turn.end_ms - turn.start_ms >= _SHORTEST_TURN_MS
        and not any(other.start_ms < turn.end_ms and turn.start_ms < other.end_ms for other in others)
    ]
    ranked = sorted(alone or own, key=lambda turn: -_clearness(voice, background, turn))
    taken: list[np.ndarray] = []
    left_ms = _REFERENCE_MS
    for turn in ranked:
        if left_ms <= 0:
            break
        end_ms = min(turn.end_ms, turn.start_ms + left_ms)
        taken.append(sound.read_span(voice, turn.start_ms, end_ms))
        left_ms -= end_ms - turn.start_ms
    joined = np.concatenate([np.zeros(0, np.float32), *taken])
    return sound.resample(joined, sound.SAMPLE_RATE_HZ, matching.RATE_HZ)


def _clearness(voice: Path, background: Path, turn: Turn) -> float:
    """Return the power ratio of voice and background in the turn's first 10 s."""
    end_ms = min(turn.end_ms, turn.start_ms + 10_000)
    speech = sound.read_span(voice, turn.start_ms, end_ms)
    rest = sound.read_span(background, turn.start_ms, end_ms)
    return float(np.mean(speech**2) / (np.mean(rest**2) + 1e-9))


def candidates(speaker_f0: LogF0, voices: Mapping[str, Voice]) -> dict[str, float]:
    """Return the voices to try, each with what its likeness is lessened by when voices are compared.

    That is what is hard to understand of it when it hurries. Where the speaker's pitch class is clear, voices of the
    other one are not tried; where it is not, likeness alone decides.
    """
    border = np.log(_PITCH_BORDER_HZ)
    is_low = speaker_f0.mean < border
    own = {name for name, voice in voices.items() if (np.log(voice.pitch_hz) < border) == is_low}
    is_clear = own and abs(speaker_f0.mean - border) > _CLEAR_PITCH
    return {name: voice.hurried_cer for name, voice in voices.items() if name in own or not is_clear}


class Auditions:
    """The voices, all reading the same text; a reading at its own pitch serves every speaker.

    Args:
        voices: the engine's.
        read_aloud: has one of them read the text.
        has_sound: whether the text has anything to be read.
    """

    def __init__(self, voices: Mapping[str, Voice], read_aloud: ReadAloud, has_sound: bool = True) -> None:
        self.voices = voices
        self.has_sound = has_sound
        self._read_aloud = read_aloud
        self._own: dict[str, np.ndarray] = {}

    def as_it_is(self, voice: str) -> np.ndarray:
        """Return the voice's reading at its own pitch."""
        if voice not in self._own:
            self._own[voice] = self._read_aloud(voice, UNCHANGED)
        return self._own[voice]

    def at_pitch_of(self, speaker: LogF0, voice: str) -> Analysis:
        """Return the voice's reading at a speaker's pitch, taken apart."""
        return matching.analyse(self._read_aloud(voice, towards(self.f0(voice), speaker)))

    def f0(self, voice: str) -> LogF0:
        """Return the voice's ln F0 as the engine states it."""
        return LogF0(float(np.log(self.voices[voice].pitch_hz)), self.voices[voice].pitch_spread)


def cast_speaker(speaker: np.ndarray, auditions: Auditions, embed: Embed, matched: bool) -> Likeness:
    """Return the voice for a speaker; the engine's first, as it is, where speaker or voices have nothing to measure.

    Args:
        speaker: float (n,) at 24 kHz of the speaker alone.
        auditions: the engine's voices.
        embed: the speaker encoder.
        matched: search for the best matching; else the voices stay as they are.
    """
    trait = matching.measure(speaker) if len(speaker) else None
    if trait is None or not auditions.has_sound:
        first = next(iter(auditions.voices))
        return Likeness(first, matching.as_it_is(auditions.f0(first)), 0.0, 0.0)
    search = _Search(speaker, trait, auditions, embed)
    return search.best_matched() if matched else search.best_as_it_is()


class _Search:
    """Everything that stays the same while voices and warps are tried for one speaker."""

    def __init__(self, speaker: np.ndarray, trait: Trait, auditions: Auditions, embed: Embed) -> None:
        self._embed = embed
        self._wanted = embed_24k(embed, speaker)
        self._trait = trait
        self._auditions = auditions
        self._handicaps = candidates(trait.f0, auditions.voices)
        self._readings: dict[str, Analysis] = {}

    def best_matched(self) -> Likeness:
        """Try every voice as long as it is, the best few with a shorter and a longer tract, then finer warps."""
        plain = sorted((self._tried(voice, 1.0) for voice in self._handicaps), key=self._worth, reverse=True)
        coarse = [self._tried(one.voice, warp) for one in plain[:_FINALISTS] for warp in _COARSE_WARPS]
        best = max([*plain, *coarse], key=self._worth)
        warps = (round(best.matching.warp + step, 2) for step in _FINE_STEPS)
        fine = [self._tried(best.voice, warp) for warp in warps if warp <= _LARGEST_WARP]
        best = max([best, *fine], key=self._worth)
        return replace(best, unmatched=self._cosine(self._auditions.as_it_is(best.voice)))

    def best_as_it_is(self) -> Likeness:
        """Choose the most alike of the voices themselves."""
        cosines = {voice: self._cosine(self._auditions.as_it_is(voice)) for voice in self._handicaps}
        return max(
            (
                Likeness(voice, matching.as_it_is(self._auditions.f0(voice)), cosine, cosine)
                for voice, cosine in cosines.items()
            ),
            key=self._worth,
        )

    def _worth(self, likeness: Likeness) -> float:
        return likeness.matched - self._handicaps[likeness.voice]

    def _tried(self, voice: str, warp: float) -> Likeness:
        if voice not in self._readings:
            self._readings[voice] = self._auditions.at_pitch_of(self._trait.f0, voice)
        reading = self._readings[voice]
        lacking = matching.correction(self._trait.spectrum, matching.long_term_spectrum(reading, warp))
        settings = Matching(warp, self._auditions.f0(voice), self._trait.f0, lacking)
        sounds = matching.filtered(reading.samples, lacking) if warp == 1.0 else matching.convert(reading, settings)
        return Likeness(voice, settings, 0.0, self._cosine(sounds))

    def _cosine(self, samples: np.ndarray) -> float:
        return float(embed_24k(self._embed, samples) @ self._wanted)


def embed_24k(embed: Embed, samples: np.ndarray) -> np.ndarray:
    """Return the speaker embedding of float (n,) samples at 24 kHz."""
    return embed(sound.resample(np.asarray(samples, np.float32), matching.RATE_HZ, sound.SPEECH_RATE_HZ))
