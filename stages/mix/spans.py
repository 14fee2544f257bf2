"""Where the original voice stays and where it is taken away."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stages import sound
from stages.artifacts import Speech, Transcript

Span = tuple[int, int]
"""Start and end in ms."""

_STEP_MS = 20
_GROWTH_MS = 600
"""How far a line's voice may be heard beyond the times of its words: Whisper cuts final syllables short."""
_AUDIBLE_DB = 25.0
"""Below the line's own level the voice is breath, room or silence, and stays."""
_LEAD_MS, _TAIL_MS = 40, 100
"""A soft onset and the end of a decay lie below that."""
FARTHEST_MS = _GROWTH_MS + _TAIL_MS
"""How far from a line's words its voice may be taken away."""


def undubbed(transcript: Transcript, speech: Speech) -> tuple[Span, ...]:
    """Return the stretches whose speech stays: what was not processed, and lines without a dub.

    Where a dubbed line is heard, the original voice is not.
    """
    spoken = _spoken(speech)
    spans = [(span.start_ms, span.end_ms) for span in transcript.unprocessed]
    spans += [(line.start_ms, line.end_ms) for line in transcript.lines if line.id not in spoken]
    return _without(_joined(spans), _dub(speech))


def removed(transcript: Transcript, speech: Speech, voice: Path) -> tuple[Span, ...]:
    """Return the stretches without the original voice: dubbed lines as far as they are heard, and under the dub.

    Everything else - laughter, breath, speech that was not dubbed - stays as it was.

    Args:
        transcript: what is said.
        speech: what of it is dubbed.
        voice: mono sound file of the original voice, in which lines are followed to their last sound.
    """
    spoken = _spoken(speech)
    lines = [grown((line.start_ms, line.end_ms), voice) for line in transcript.lines if line.id in spoken]
    return _joined([*_without(_joined(lines), undubbed(transcript, speech)), *_dub(speech)])


def grown(span: Span, voice: Path) -> Span:
    """Return a line's span with what of its voice goes on beyond either end."""
    level = _power(sound.read_span(voice, *span))
    before = _power(sound.read_span(voice, max(0, span[0] - _GROWTH_MS), span[0]))
    after = _power(sound.read_span(voice, span[1], span[1] + _GROWTH_MS))
    loud = level[level > 0]
    if not len(loud):
        return span
    floor = loud[loud > loud.max() * 10 ** (-_AUDIBLE_DB / 10)].mean() * 10 ** (-_AUDIBLE_DB / 10)
    early_ms, late_ms = (_STEP_MS * _run(part > floor) for part in (before[::-1], after))
    return max(0, span[0] - early_ms - _LEAD_MS), span[1] + late_ms + _TAIL_MS


def _run(heard: np.ndarray) -> int:
    """Return how many leading values are true."""
    return len(heard) if heard.all() else int(np.argmin(heard))


def _power(samples: np.ndarray) -> np.ndarray:
    step = _STEP_MS * sound.SAMPLE_RATE_HZ // 1000
    return np.square(samples[: len(samples) // step * step].reshape(-1, step), dtype=np.float64).mean(axis=1)


def _spoken(speech: Speech) -> set[int]:
    return {line.id for line in speech.lines if line.is_dubbed}


def _dub(speech: Speech) -> list[Span]:
    return [(line.start_ms, line.end_ms) for line in speech.lines if line.is_dubbed]


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for start_ms, end_ms in sorted(spans):
        if joined and start_ms <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_ms))
        else:
            joined.append((start_ms, end_ms))
    return tuple(joined)


def _without(spans: Iterable[Span], holes: Iterable[Span]) -> tuple[Span, ...]:
    kept = list(spans)
    for hole in holes:
        kept = [
            piece
            for start_ms, end_ms in kept
            for piece in ((start_ms, min(end_ms, hole[0])), (max(start_ms, hole[1]), end_ms))
            if piece[0] < piece[1]
        ]
    return tuple(kept)
