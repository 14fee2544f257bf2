"""Where the voice really sounds: the voice detector says where speech is, the voice's level where it begins and ends.

The detector's verdict is 32 ms coarse and late for soft consonants, and Whisper's word times are off by up to half a
second beside a pause. The level of the separated voice shows onsets to 10 ms, but does not know a breath from speech.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from scipy.ndimage import binary_closing, binary_dilation, binary_opening, maximum_filter1d, minimum_filter1d

from stages.diarize.voice_activity import CHUNK_MS, Span
from stages.sound import SPEECH_RATE_HZ

HOP_MS = 10
_SPEECH_PROBABILITY = 0.3
_DETECTOR_SLIP_MS = 100
"""How much later than the voice the detector may begin, and how much earlier it may end."""
_LOCAL_MS = 1500
"""How far around a moment its loudest speech and its noise are looked for."""
_DEEPEST_DB, _HIGHEST_DB = 40.0, 18.0
"""Between these below the loudest speech around lies the level from which sound is speech: where the noise allows it,
so low that soft consonants, 20-30 dB below a vowel, are heard."""
_SOFTEST_DB = 35.0
"""Where even the loudest sound around is this far below the loudest of the clip, nobody speaks."""
_ABOVE_NOISE_DB = 10.0
_CLOSURE_MS = 110
"""A shorter silence is the closure of a stop."""
_SHORTEST_SOUND_MS = 40
_DIGITAL_SILENCE_DB = -120.0
_BLOCK_MS = 10_000


def stretches(voice_16k: Path, probabilities: np.ndarray) -> tuple[Span, ...]:
    """Return where the voice sounds without a pause, in order, to 10 ms.

    Args:
        voice_16k: the separated voice, 16 kHz mono.
        probabilities: float32 (chunks,) of :func:`stages.diarize.voice_activity.speech_probabilities`.
    """
    level_db = levels_db(voice_16k)
    times_ms = np.arange(len(level_db)) * HOP_MS
    chunks = np.minimum(times_ms // CHUNK_MS, len(probabilities) - 1)
    is_speech = probabilities[chunks] >= _SPEECH_PROBABILITY
    sounds = audible(level_db) & _widened(is_speech, _DETECTOR_SLIP_MS)
    sounds = binary_closing(np.pad(sounds, _CLOSURE_MS // HOP_MS), _window(_CLOSURE_MS))
    sounds = binary_opening(sounds, _window(_SHORTEST_SOUND_MS))[_CLOSURE_MS // HOP_MS : -_CLOSURE_MS // HOP_MS]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sounds, [False]]).astype(np.int8)))
    return tuple(Span(int(start) * HOP_MS, int(end) * HOP_MS) for start, end in edges.reshape(-1, 2))


def levels_db(voice_16k: Path) -> np.ndarray:
    """Return float (n,): the power of every 10 ms of a 16 kHz mono file, in dBFS."""
    hop, levels = SPEECH_RATE_HZ * HOP_MS // 1000, [np.zeros(0)]
    with soundfile.SoundFile(voice_16k) as sound:
        while len(block := sound.read(_BLOCK_MS // HOP_MS * hop, dtype="float32")):
            frames = np.pad(block, (0, -len(block) % hop)).reshape(-1, hop)
            levels.append(10 * np.log10(np.square(frames, dtype=float).mean(axis=1) + 10 ** (_DIGITAL_SILENCE_DB / 10)))
    return np.concatenate(levels)


def audible(level_db: np.ndarray) -> np.ndarray:
    """Return bool (n,): which frames are speech by their level, next to the speech and the noise around them."""
    around = 2 * _LOCAL_MS // HOP_MS + 1
    loudest = maximum_filter1d(level_db, around)
    noise = minimum_filter1d(maximum_filter1d(level_db, _SHORTEST_SOUND_MS // HOP_MS), around)
    is_above = level_db > np.clip(noise + _ABOVE_NOISE_DB, loudest - _DEEPEST_DB, loudest - _HIGHEST_DB)
    return is_above & (loudest > level_db.max(initial=_DIGITAL_SILENCE_DB) - _SOFTEST_DB)


def _window(length_ms: int) -> np.ndarray:
    return np.ones(length_ms // HOP_MS, bool)


def _widened(mask: np.ndarray, by_ms: int) -> np.ndarray:
    return binary_dilation(mask, np.ones(2 * by_ms // HOP_MS + 1, bool))
