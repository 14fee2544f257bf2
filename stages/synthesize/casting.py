"""Which voice stands for a speaker, and how it is matched: the search for the best likeness.

Voices that are clear in the language are ranked by what was measured of them once; the nearest few read the audition
text at the speaker's pitch, each with several lengths of the vocal tract; then blends of the best of these do. A blend
lies nearer to a stranger than any voice of its own: what is peculiar to each averages out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from stages import sound
from stages.artifacts import Turn
from stages.synthesize import matching
from stages.synthesize.matching import Analysis, Matching, Trait
from stages.synthesize.pitch import UNCHANGED, Change, LogF0, towards
from stages.synthesize.voices import Voice, blend, blended_f0, shares

Embed = Callable[[np.ndarray], np.ndarray]
"""float (n,) samples at 16 kHz -> unit vector (256,)."""
ReadAloud = Callable[[str, Change], np.ndarray]
"""Voice and pitch -> float (n,) samples at 24 kHz of it reading the audition text."""

_PITCH_BORDER_HZ = 165.0
"""Between the usual F0 of men and women (Titze 1989: about 125 and 210 Hz)."""
_CLEAR_PITCH = 0.12
"""Distance in ln F0 from the border beyond which pitch alone says whether a voice is a man's or a woman's."""
_NEAREST = 3
"""Voices of either sex that the speaker is compared with where pitch does not say."""
_AUDITIONED = 5
_LARGEST_BLEND = 4
_WARPS = (0.88, 0.94, 1.0, 1.06)
_BLEND_STEPS = (-0.03, 0.0, 0.03)
_WARP_BOUNDS = (0.85, 1.12)
_WARP_COST = 0.05
"""Likeness that a warp must bring per unit of its logarithm: of two as alike, the less changed one."""
_PURITY_COST = 0.02
"""Likeness that a single voice must lead by, and a blend of n by the nth part of it.

What is peculiar to a few voices makes the likeness depend on the text (talker-a, audition / lines: am_onyx .77 / .67,
bm_daniel .76 / .69, three voices .76 / .73)."""
_AS_ALIKE = 0.06
"""Likeness (unmatched) that another speaker's voices may be passed over for."""
_REFERENCE_MS = 20_000
_SHORTEST_TURN_MS = 700


@dataclass(frozen=True)
class Likeness:
    """One voice, matched as well as the search found."""

    voice: str
    """A voice or a blend (:mod:`stages.synthesize.voices`)."""
    matching: Matching
    unmatched: float
    """Cosine of the speaker embeddings, the most alike of the engine's own voices as it is."""
    matched: float
    """The same after matching."""


def reference(voice: Path, background: Path, turns: tuple[Turn, ...], speaker: str) -> np.ndarray:
    """Return up to 20 s of the speaker alone, float32 at 24 kHz: the turns with the least background first.

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


def only_voice(name: str, read: np.ndarray, embed: Embed) -> tuple[dict[str, Voice], bool]:
    """Return the voice of an engine that has one, measured on what it read, and whether there was enough to measure.

    Args:
        name: that the voice gets.
        read: float (n,) samples at 24 kHz of the audition text, at the voice's own pitch.
        embed: the speaker encoder.
    """
    heard = matching.log_f0(matching.clean_f0(np.ascontiguousarray(read, np.float64))[0]) if len(read) else None
    f0 = heard or LogF0(float(np.log(_PITCH_BORDER_HZ)), 0.2)
    sex: Literal["female", "male"] = "female" if f0.mean > np.log(_PITCH_BORDER_HZ) else "male"
    embedding = embed_24k(embed, read) if heard else np.zeros(256, np.float32)
    return {name: Voice(sex, f0, {}, embedding)}, heard is not None


def _clearness(voice: Path, background: Path, turn: Turn) -> float:
    """Return the power ratio of voice and background in the turn's first 10 s."""
    end_ms = min(turn.end_ms, turn.start_ms + 10_000)
    speech = sound.read_span(voice, turn.start_ms, end_ms)
    rest = sound.read_span(background, turn.start_ms, end_ms)
    return float(np.mean(speech**2) / (np.mean(rest**2) + 1e-9))


def sex_of(f0: LogF0, embedding: np.ndarray, voices: Mapping[str, Voice]) -> str:
    """Return whose voices a speaker may get: by pitch where that is clear, else by whom the speaker is more like.

    Args:
        f0: the speaker's.
        embedding: unit vector (256,), the speaker's.
        voices: of both sexes.
    """
    above = f0.mean - np.log(_PITCH_BORDER_HZ)
    if abs(above) > _CLEAR_PITCH:
        return "female" if above > 0 else "male"

    def nearness(sex: str) -> float:
        cosines = sorted(float(voice.embedding @ embedding) for voice in voices.values() if voice.sex == sex)
        return float(np.mean(cosines[-_NEAREST:])) if cosines else -1.0

    return max(("female", "male"), key=nearness)


def shortlist(
    f0: LogF0, embedding: np.ndarray, voices: Mapping[str, Voice], taken: frozenset[str] = frozenset()
) -> list[str]:
    """Return the voices of the speaker's sex, the most alike (as they are) first, at most :data:`_AUDITIONED`.

    Those that are ``taken`` by other speakers of the clip are left out where others are nearly as alike.
    All voices are candidates where none is of the speaker's sex.
    """
    sex = sex_of(f0, embedding, voices)
    own = {name: voice for name, voice in voices.items() if voice.sex == sex} or voices
    ranked = sorted(own, key=lambda name: -float(own[name].embedding @ embedding))
    free = [name for name in ranked if name not in taken]
    passed_over = float((own[ranked[0]].embedding - own[free[0]].embedding) @ embedding) if free else np.inf
    return (free if passed_over <= _AS_ALIKE else ranked)[:_AUDITIONED]


class Auditions:
    """Voices and blends of them, all reading the same text.

    Args:
        voices: the engine's that may be cast, clearest first.
        read_aloud: has one voice or blend read the text.
        has_sound: whether the text has anything to be read.
    """

    def __init__(self, voices: Mapping[str, Voice], read_aloud: ReadAloud, has_sound: bool = True) -> None:
        self.voices = voices
        self.has_sound = has_sound
        self._read_aloud = read_aloud
        self._own: dict[str, np.ndarray] = {}

    def as_it_is(self, voice: str) -> np.ndarray:
        """Return the voice's reading at its own pitch; it serves every speaker."""
        if voice not in self._own:
            self._own[voice] = self._read_aloud(voice, UNCHANGED)
        return self._own[voice]

    def at_pitch_of(self, speaker: LogF0, voice: str) -> tuple[Analysis, LogF0]:
        """Return the voice's reading at a speaker's pitch, analysed, and the voice's own ln F0 according to it."""
        pitch = towards(self.f0(voice), speaker)
        reading = matching.analyse(self._read_aloud(voice, pitch))
        heard = matching.log_f0(reading.f0_hz)
        if heard is None:
            return reading, self.f0(voice)
        return reading, LogF0((heard.mean - float(np.log(pitch.gain))) / pitch.power, heard.std / pitch.power)

    def f0(self, voice: str) -> LogF0:
        """Return the ln F0 to be expected of a voice or blend."""
        return blended_f0(self.voices, voice)


def cast_speaker(
    speaker: np.ndarray, auditions: Auditions, embed: Embed, matched: bool, taken: frozenset[str] = frozenset()
) -> Likeness:
    """Return the voice for a speaker; the clearest, as it is, where speaker or voices have nothing to measure.

    Args:
        speaker: float (n,) at 24 kHz of the speaker alone.
        auditions: the voices that may be cast.
        embed: the speaker encoder.
        matched: search for the best blend and matching; else the voices stay as they are.
        taken: voices that other speakers of the clip have.
    """
    trait = matching.measure(speaker) if len(speaker) else None
    if trait is None or not auditions.has_sound:
        first = next(iter(auditions.voices))
        return Likeness(first, matching.as_it_is(auditions.f0(first)), 0.0, 0.0)
    search = _Search(speaker, trait, auditions, embed, taken)
    return search.best_matched() if matched else search.nearest()


class _Search:
    """Everything that stays the same while voices and warps are tried for one speaker."""

    def __init__(
        self, speaker: np.ndarray, trait: Trait, auditions: Auditions, embed: Embed, taken: frozenset[str]
    ) -> None:
        self._embed = embed
        self._wanted = embed_24k(embed, speaker)
        self._trait = trait
        self._auditions = auditions
        self._shortlist = shortlist(trait.f0, self._wanted, auditions.voices, taken)
        self._readings: dict[str, tuple[Analysis, LogF0]] = {}

    def nearest(self) -> Likeness:
        """Return the voice that is the most alike as it is."""
        name = self._shortlist[0]
        cosine = self._cosine(self._auditions.as_it_is(name))
        return Likeness(name, matching.as_it_is(self._auditions.f0(name)), cosine, cosine)

    def best_matched(self) -> Likeness:
        """Try the nearest voices with tracts of several lengths, then blends of the best of them."""
        singles = sorted((self._best(name, _WARPS) for name in self._shortlist), key=self._evidence, reverse=True)
        warps = [singles[0].matching.warp + step for step in _BLEND_STEPS]
        names = [one.voice for one in singles]
        blends = [self._best(blend(names[:size]), warps) for size in range(2, min(len(names), _LARGEST_BLEND) + 1)]
        best = max([*singles, *blends], key=_worth)
        fine = [best.matching.warp + step for step in _BLEND_STEPS]
        return replace(max(best, self._best(best.voice, fine), key=_worth), unmatched=self.nearest().unmatched)

    def _evidence(self, single: Likeness) -> float:
        """Return how alike a voice is on two texts: the audition's, and that which it was measured on, as it is."""
        return _worth(single) + float(self._auditions.voices[single.voice].embedding @ self._wanted)

    def _best(self, voice: str, warps: Sequence[float]) -> Likeness:
        shortest, longest = _WARP_BOUNDS
        within = dict.fromkeys(round(min(max(warp, shortest), longest), 2) for warp in warps)
        return max((self._tried(voice, warp) for warp in within), key=_worth)

    def _tried(self, voice: str, warp: float) -> Likeness:
        if voice not in self._readings:
            self._readings[voice] = self._auditions.at_pitch_of(self._trait.f0, voice)
        reading, own_f0 = self._readings[voice]
        lacking = matching.correction(self._trait.spectrum, matching.long_term_spectrum(reading, warp))
        settings = Matching(warp, own_f0, self._trait.f0, lacking)
        return Likeness(voice, settings, 0.0, self._cosine(matching.convert(reading, settings)))

    def _cosine(self, samples: np.ndarray) -> float:
        return float(embed_24k(self._embed, samples) @ self._wanted)


def _worth(likeness: Likeness) -> float:
    cost = _WARP_COST * abs(float(np.log(likeness.matching.warp)))
    return likeness.matched - cost - _PURITY_COST / len(shares(likeness.voice))


def embed_24k(embed: Embed, samples: np.ndarray) -> np.ndarray:
    """Return the speaker embedding of float (n,) samples at 24 kHz."""
    return embed(sound.resample(np.asarray(samples, np.float32), matching.RATE_HZ, sound.SPEECH_RATE_HZ))
