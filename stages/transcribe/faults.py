"""What a recogniser gets wrong, and how it shows: pure functions over its words and what was measured beside them.

Whisper writes fluent text over whatever it is given: music, silence, a language that it was not told of. A fault is
named by the reason that the report lists, from the surest evidence to the least: repetition, level, rate, language.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import langcodes
import numpy as np

from stages.languages import language_name

REPEATS = "repeats"
SILENCE = "silence"
MUSIC = "music, no speech"
NOISE = "noise, no speech"
FOREIGN = "heard as another language"

_LOOP_TIMES = 4
_LOOP_WORDS = 8
_LONGEST_PHRASE_WORDS = 16
"""A text is a loop where up to 16 words come 4 times in a row and fill 8 words or more. Whisper's own test, the
compression ratio, takes rhetoric for one ("it was the best of times, it was ...")."""
_LOOP_LETTERS = 16
_LONGEST_PHRASE_LETTERS = 32
"""The same inside a word, for "Aaaaaa" and for scripts that write no spaces."""
_MARKS = " \t\n.,;:!?…-–—\"'“”‘’«»()[]。、！？"

_SILENT_BELOW_SPEECH_DB = 35.0
_SILENT_DBFS = -60.0
_UNHEARD_UNDER_BACKGROUND_DB = 20.0
"""Nobody makes out speech this far below music; what the separation leaves of music in the voice lies lower."""
_DOUBTED_NO_SPEECH = 0.6
_DOUBTED_LOG_PROBABILITY = -0.6
"""Whisper drops text itself at .6 and -1.0. Vowels sung by a synthesiser came as "Ah, ah, ah" at .78 and -.86, six
seconds of silence as "You" at .68 and -.82; the speech that was tried stayed at .41 or less, at twice its pace .52."""
_TONAL_FLATNESS = 0.1
"""Spectral flatness: white noise has .56, chords less than .01."""
_FRAME_MS = 50
_LOUD_SHARE = 4

_OWN_PROBABILITY = 0.1
_OTHER_PROBABILITY = 0.7
"""Spanish and German were heard as such at .97 and more with .02 or less for English; in a clip of accented English,
heard second by second, English kept .2 and no other language had more than .36."""
_SURE_PROBABILITY = 0.8
_RELATED_DISTANCE = 60
"""CLDR distance (``langcodes``) of languages that a recogniser mixes up: Croatian and Serbian have 59."""

_FASTEST_TIMES_USUAL = 2.0
_LEAST_PHONES = 12
"""Fewer phones say more about the borders of the speech than about its rate."""


@dataclass(frozen=True)
class Levels:
    """How loud a stretch is, by the louder quarter of its 50 ms frames."""

    voice_dbfs: float
    background_dbfs: float
    is_tonal: bool
    """The louder of the two is music rather than noise."""


@dataclass(frozen=True)
class Evidence:
    """What is known about a stretch of recognised text."""

    repeats: bool
    """It is part of a loop."""
    mean_log_probability: float
    """Of its tokens, natural logarithm."""
    no_speech_probability: float
    levels: Levels
    speaking_dbfs: float
    """Mean level of the speech in the clip."""
    other_language: str | None
    """In English, where it is not the language of the clip."""
    phones: int | None
    """None where nobody can read the language aloud."""
    speech_ms: int
    """Speech that the voice detector finds in it."""


def fault(evidence: Evidence, usual_phones_per_second: float | None) -> str | None:
    """Return why a text cannot be what was said, or None where nothing speaks against it.

    Args:
        evidence: what was measured.
        usual_phones_per_second: the language pack's; None where there is no pack and the rate is not judged.
    """
    if evidence.repeats:
        return REPEATS
    if (nothing := no_speech(evidence.levels, evidence.speaking_dbfs)) is not None:
        return nothing
    if (
        evidence.no_speech_probability >= _DOUBTED_NO_SPEECH
        and evidence.mean_log_probability <= _DOUBTED_LOG_PROBABILITY
    ):
        return MUSIC if evidence.levels.is_tonal else NOISE
    if (impossible := _impossible_rate(evidence, usual_phones_per_second)) is not None:
        return impossible
    if evidence.other_language is None:
        return None
    return f"{FOREIGN} ({evidence.other_language})" if evidence.other_language else FOREIGN


def no_speech(levels: Levels, speaking_dbfs: float) -> str | None:
    """Return what a stretch is whose voice is too soft to be anybody's, or None."""
    silent_dbfs = max(_SILENT_DBFS, speaking_dbfs - _SILENT_BELOW_SPEECH_DB)
    if max(levels.voice_dbfs, levels.background_dbfs) < silent_dbfs:
        return SILENCE
    if levels.voice_dbfs < levels.background_dbfs - _UNHEARD_UNDER_BACKGROUND_DB:
        return MUSIC if levels.is_tonal else NOISE
    return None


def _impossible_rate(evidence: Evidence, usual_phones_per_second: float | None) -> str | None:
    if usual_phones_per_second is None or evidence.phones is None or evidence.phones < _LEAST_PHONES:
        return None
    rate = evidence.phones * 1000 / max(evidence.speech_ms, 1)
    if rate <= _FASTEST_TIMES_USUAL * usual_phones_per_second:
        return None
    return f"impossible rate: {rate:.0f} phones/s" if evidence.speech_ms else "text without speech"


def looping(words: Sequence[str]) -> frozenset[int]:
    """Return the indices of words in which a decoder got stuck: the same again and again, nothing in between."""
    plain = [word.strip(_MARKS).lower() for word in words]
    stuck = _stuck(plain, _LONGEST_PHRASE_WORDS, _LOOP_WORDS)
    return frozenset(stuck) | {
        at for at, word in enumerate(plain) if _stuck(list(word), _LONGEST_PHRASE_LETTERS, _LOOP_LETTERS)
    }


def is_loop(text: str) -> bool:
    """Tell whether a decoder got stuck somewhere in a text."""
    return bool(looping(text.split()))


def _stuck(units: Sequence[str], longest: int, least: int) -> set[int]:
    found: set[int] = set()
    for length in range(1, min(longest, len(units) // _LOOP_TIMES) + 1):
        same = 0
        for at in range(length, len(units)):
            same = same + 1 if units[at] == units[at - length] else 0
            if same >= max((_LOOP_TIMES - 1) * length, least - length):
                found.update(range(at - same - length + 1, at + 1))
    return found


def own_share(probabilities: Mapping[str, float], language: str) -> float:
    """Return the probability of a language together with those that are mixed up with it."""
    return sum(
        probability
        for tag, probability in probabilities.items()
        if langcodes.tag_distance(tag, language) <= _RELATED_DISTANCE
    )


def is_surely(probabilities: Mapping[str, float], language: str) -> bool:
    """Tell whether all of a stretch is in ``language``: where two languages alternate, neither reaches .8."""
    return own_share(probabilities, language) >= _SURE_PROBABILITY


def other_language(probabilities: Mapping[str, float], language: str) -> str | None:
    """Return the English name of the language that is spoken instead of ``language``, or None where that is unsure."""
    best = max(probabilities, key=lambda tag: (probabilities[tag], tag))
    if own_share(probabilities, language) > _OWN_PROBABILITY or probabilities[best] < _OTHER_PROBABILITY:
        return None
    return language_name(best)


def levels(voice: np.ndarray, background: np.ndarray, rate_hz: int) -> Levels:
    """Measure a stretch.

    Args:
        voice: float (n,) samples of the separated voice.
        background: float (n,) or (n, channels) samples of what the separation took away.
        rate_hz: of both.
    """
    background = background if background.ndim == 1 else background.mean(axis=1)
    voice_dbfs, background_dbfs = (_loud_dbfs(samples, rate_hz) for samples in (voice, background))
    louder = voice if voice_dbfs >= background_dbfs else background
    return Levels(voice_dbfs, background_dbfs, _flatness(louder, rate_hz) < _TONAL_FLATNESS)


def dbfs(mean_square: float) -> float:
    """Return a mean square as a level in dB below full scale; -120 for digital silence."""
    return 10 * math.log10(max(mean_square, 1e-12))


def _frames(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    frame = rate_hz * _FRAME_MS // 1000
    return np.pad(samples, (0, -len(samples) % frame)).reshape(-1, frame)


def _loud_dbfs(samples: np.ndarray, rate_hz: int) -> float:
    if len(samples) == 0:
        return dbfs(0)
    powers = np.sort(np.square(_frames(samples, rate_hz), dtype=float).mean(axis=1))
    return dbfs(float(powers[-max(1, len(powers) // _LOUD_SHARE) :].mean()))


def _flatness(samples: np.ndarray, rate_hz: int) -> float:
    """Return the median spectral flatness between 100 Hz and 6 kHz of the frames; 1 for no sound at all."""
    if not np.any(samples):
        return 1.0
    frames = _frames(samples, rate_hz)
    powers = np.square(np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), axis=1)))
    heard_hz = np.fft.rfftfreq(frames.shape[1], 1 / rate_hz)
    powers = powers[:, (heard_hz >= 100) & (heard_hz <= 6000)]
    powers = powers[powers.sum(axis=1) > 0] + 1e-20
    return float(np.median(np.exp(np.log(powers).mean(axis=1)) / powers.mean(axis=1)))
