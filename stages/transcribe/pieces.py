"""Cutting a clip's speech into pieces that a recogniser takes at once, in a pause where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from stages.artifacts import Turn
from stages.diarize.voice_activity import Span


def speech_spans(turns: Iterable[Turn]) -> list[Span]:
    """Return where anybody speaks, overlapping and touching turns joined, in order of time."""
    spans: list[Span] = []
    for turn in sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms)):
        if spans and turn.start_ms <= spans[-1].end_ms:
            spans[-1] = Span(spans[-1].start_ms, max(spans[-1].end_ms, turn.end_ms))
        else:
            spans.append(Span(turn.start_ms, turn.end_ms))
    return spans


def pieces(
    spans: Iterable[Span], longest_ms: int, widest_pause_ms: int, quietest: Callable[[int, int], int]
) -> list[Span]:
    """Group spans into pieces of at most ``longest_ms`` with no pause above ``widest_pause_ms`` inside.

    Args:
        spans: where somebody speaks, in order, apart from each other.
        longest_ms: what the recogniser sees at once.
        widest_pause_ms: recognisers invent words in long pauses.
        quietest: given the start and end of a stretch in ms, returns the best time in it for a cut through
            speech that goes on without a pause for longer than ``longest_ms``.
    """
    grouped: list[Span] = []
    for span in spans:
        start_ms = span.start_ms
        while span.end_ms - start_ms > longest_ms:
            cut_ms = quietest(start_ms + longest_ms * 2 // 3, start_ms + longest_ms)
            grouped.append(Span(start_ms, cut_ms))
            start_ms = cut_ms
        rest = Span(start_ms, span.end_ms)
        previous = grouped[-1] if grouped and start_ms == span.start_ms else None
        if (
            previous is not None
            and rest.start_ms - previous.end_ms <= widest_pause_ms
            and rest.end_ms - previous.start_ms <= longest_ms
        ):
            grouped[-1] = Span(previous.start_ms, rest.end_ms)
        else:
            grouped.append(rest)
    return grouped


def spread(items: list[Span], most: int) -> list[Span]:
    """Return at most ``most`` of the items, evenly spread over them."""
    if len(items) <= most:
        return items
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, most)]


def quietest_ms(samples: np.ndarray, rate_hz: int, frame_ms: int = 50) -> int:
    """Return the middle of the softest frame of float (n,) samples, in ms from their start."""
    frame = rate_hz * frame_ms // 1000
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return int(np.argmin(np.square(frames).mean(axis=1))) * frame_ms + frame_ms // 2
