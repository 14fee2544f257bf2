"""Which voice stands for a speaker, and how it is matched: the search for the best likeness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import sound
from stages.artifacts import Turn
from stages.synthesize import matching
from stages.synthesize.matching import LogF0, Matching

Embed = Callable[[np.ndarray], np.ndarray]
"""float (n,) samples at 16 kHz -> unit vector (256,)."""
ReadAloud = Callable[[str], np.ndarray]
"""Voice -> float (n,) samples at 24 kHz of it reading the audition text; empty where that has no phones."""

_PITCH_BORDER_HZ = 165.0
"""Between the usual F0 of men and women (Titze 1989: about 125 and 210 Hz)."""
_CLEAR_PITCH = 0.12
"""Distance in ln F0 from the border beyond which only voices of the speaker's own pitch class are tried."""
_OTHER_CLASS_HANDICAP = 0.05
"""Nearer to it, a voice of the other class must be this much more alike."""
_COARSE_WARPS = (0.88, 1.0, 1.12)
_FINE_STEPS = (-0.08, -0.04, 0.04, 0.08)
_USUAL_F0_SPREAD = 0.16
"""Standard deviation of ln F0 of the synthesiser's voices."""
_REFERENCE_MS = 20_000
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


def _clearness(voice: Path, background: Path, turn: Turn) -> float:
    """Return the power ratio of voice and background in the turn's first 10 s."""
    end_ms = min(turn.end_ms, turn.start_ms + 10_000)
    speech = sound.read_span(voice, turn.start_ms, end_ms)
    rest = sound.read_span(background, turn.start_ms, end_ms)
    return float(np.mean(speech**2) / (np.mean(rest**2) + 1e-9))


def candidates(speaker_f0: LogF0, voice_pitch_hz: Mapping[str, float]) -> dict[str, float]:
    """Return the voices to try, each with its handicap: another pitch class only where the speaker's is not clear."""
    border = np.log(_PITCH_BORDER_HZ)
    is_low = speaker_f0.mean < border
    own = {voice: 0.0 for voice, pitch_hz in voice_pitch_hz.items() if (np.log(pitch_hz) < border) == is_low}
    if own and abs(speaker_f0.mean - border) > _CLEAR_PITCH:
        return own
    return {voice: 0.0 if voice in own else _OTHER_CLASS_HANDICAP for voice in voice_pitch_hz}


def cast_speaker(
    speaker: np.ndarray, voice_pitch_hz: Mapping[str, float], read_aloud: ReadAloud, embed: Embed, matched: bool
) -> Likeness:
    """Return the voice for a speaker.

    Args:
        speaker: float (n,) at 24 kHz of the speaker alone.
        voice_pitch_hz: the engine's voices and their usual F0.
        read_aloud: the voices, reading the same sentences.
        embed: the speaker encoder.
        matched: search for the best matching; else the voices stay as they are.
    """
    own_f0 = matching.log_f0(matching.analyse(speaker)) if len(speaker) else None
    first = next(iter(voice_pitch_hz))
    if own_f0 is None or not len(read_aloud(first)):
        unmeasured = matching.as_it_is(LogF0(float(np.log(voice_pitch_hz[first])), _USUAL_F0_SPREAD))
        return Likeness(first, unmeasured, 0.0, 0.0)
    search = _Search(speaker, own_f0, voice_pitch_hz, read_aloud, embed)
    return search.best_matched() if matched else search.best_as_it_is()


class _Search:
    """Everything that stays the same while voices and warps are tried for one speaker."""

    def __init__(
        self,
        speaker: np.ndarray,
        speaker_f0: LogF0,
        voice_pitch_hz: Mapping[str, float],
        read_aloud: ReadAloud,
        embed: Embed,
    ) -> None:
        self._embed = embed
        self._wanted = embed_24k(embed, speaker)
        self._spectrum = matching.long_term_spectrum(matching.analyse(speaker))
        self._f0 = speaker_f0
        self._handicaps = candidates(speaker_f0, voice_pitch_hz)
        self._auditions = {voice: matching.analyse(read_aloud(voice)) for voice in self._handicaps}
        self._unmatched = {voice: self._cosine(analysis.samples) for voice, analysis in self._auditions.items()}
        self._voice_f0 = {
            voice: matching.log_f0(analysis) or LogF0(float(np.log(voice_pitch_hz[voice])), _USUAL_F0_SPREAD)
            for voice, analysis in self._auditions.items()
        }

    def best_matched(self) -> Likeness:
        """Try every voice with a few warps, then finer warps of the best."""
        coarse = [self._tried(voice, warp) for voice in self._auditions for warp in _COARSE_WARPS]
        best = max(coarse, key=lambda likeness: likeness.matched - self._handicaps[likeness.voice])
        fine = [self._tried(best.voice, round(best.matching.warp + step, 2)) for step in _FINE_STEPS]
        return max([best, *fine], key=lambda likeness: likeness.matched)

    def best_as_it_is(self) -> Likeness:
        """Choose the most alike of the voices themselves."""
        voice = max(self._unmatched, key=lambda voice: self._unmatched[voice] - self._handicaps[voice])
        cosine = self._unmatched[voice]
        return Likeness(voice, matching.as_it_is(self._voice_f0[voice]), cosine, cosine)

    def _tried(self, voice: str, warp: float) -> Likeness:
        analysis = self._auditions[voice]
        lacking = matching.correction(self._spectrum, matching.long_term_spectrum(analysis, warp))
        settings = Matching(warp, self._voice_f0[voice], self._f0, lacking)
        cosine = self._cosine(matching.convert(analysis, settings))
        return Likeness(voice, settings, self._unmatched[voice], cosine)

    def _cosine(self, samples: np.ndarray) -> float:
        return float(embed_24k(self._embed, samples) @ self._wanted)


def embed_24k(embed: Embed, samples: np.ndarray) -> np.ndarray:
    """Return the speaker embedding of float (n,) samples at 24 kHz."""
    return embed(sound.resample(np.asarray(samples, np.float32), matching.RATE_HZ, sound.SPEECH_RATE_HZ))
