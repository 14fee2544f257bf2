"""Where each speaker's voice is heard in the source, so that the dub is heard there too: level, side, room."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from stages import sound
from stages.artifacts import Line, Place, Speech, SpokenLine
from stages.mix.room import matched_room

LineT = TypeVar("LineT", Line, SpokenLine)

_WINDOW_MS = 20
_RANGE_DB = 30.0
"""Windows further than this below the loudest are pauses, and do not count for a voice's level."""
_ENOUGH_MS = 180_000
"""Of a speaker's lines; the rest of a long video tells nothing new, and would have to be held in memory."""


def places(lines: Sequence[Line], speech: Speech, source: Path, bed: Path, match_room: bool) -> dict[str, Place]:
    """Return a place for every speaker of the dub.

    Args:
        lines: what is said in the source, and when.
        speech: the dub; its voices are dry.
        source: the source's sound, 48 kHz stereo.
        bed: the same without the voice of these lines: the difference is the voice, with its room.
        match_room: whether the dub is put into it.
    """
    found = {}
    for speaker in sorted({line.speaker for line in speech.lines}):
        own = [_voice(source, bed, line) for line in _enough(lines, speaker)]
        said = np.concatenate([sound.read(speech.file(line.sound))[0] for line in _enough(speech.lines, speaker)])
        place = _place(np.concatenate([np.zeros((0, 2)), *own]), said, speech.rate_hz)
        found[speaker] = place if match_room else place.model_copy(update={"room": None})
    return found


def _place(own: np.ndarray, said: np.ndarray, rate_hz: int) -> Place:
    mono = own.mean(axis=1)
    own_db, said_db = active_level_db([mono], sound.SAMPLE_RATE_HZ), active_level_db([said], rate_hz)
    if not (math.isfinite(own_db) and math.isfinite(said_db)):
        return Place(gain_db=0.0)
    left, right = np.sqrt(np.mean(np.square(own), axis=0))
    return Place(
        gain_db=own_db - said_db,
        left=float(2 * left / (left + right)),
        right=float(2 * right / (left + right)),
        room=matched_room(mono, sound.SAMPLE_RATE_HZ, said, rate_hz),
    )


def _enough(lines: Sequence[LineT], speaker: str) -> list[LineT]:
    """Return the speaker's first lines, at least one."""
    chosen: list[LineT] = []
    heard_ms = 0
    for line in lines:
        if line.speaker == speaker and heard_ms < _ENOUGH_MS:
            chosen.append(line)
            heard_ms += line.end_ms - line.start_ms
    return chosen


def active_level_db(pieces: Iterable[np.ndarray], rate_hz: int) -> float:
    """Return the RMS level of the windows that are not pauses, in dBFS; minus infinity for silence."""
    window = _WINDOW_MS * rate_hz // 1000
    powers = np.concatenate([np.zeros(1), *(_window_powers(piece, window) for piece in pieces)])
    if powers.max() == 0:
        return -math.inf
    return 10 * math.log10(float(powers[powers > powers.max() * 10 ** (-_RANGE_DB / 10)].mean()))


def _window_powers(samples: np.ndarray, window: int) -> np.ndarray:
    whole = len(samples) // window * window
    return np.mean(np.square(samples[:whole].reshape(-1, window)), axis=1)


def _voice(source: Path, bed: Path, line: Line) -> np.ndarray:
    return sound.read_span(source, line.start_ms, line.end_ms) - sound.read_span(bed, line.start_ms, line.end_ms)
