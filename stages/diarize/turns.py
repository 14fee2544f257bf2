"""From labelled windows of speech to turns: who speaks from when to when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stages.artifacts import Turn
from stages.diarize.voice_activity import CHUNK_MS, Span

_DIP_PER_WAY = 0.5
"""How much less likely speech must be for a border to move over the whole range that it may move in."""


@dataclass(frozen=True)
class Cell:
    """A part of a span of speech that has one speaker."""

    span: int
    start_ms: int
    end_ms: int


def cells_of(span: Span, index: int, cell_ms: int) -> list[Cell]:
    """Divide a span into equal cells of about ``cell_ms``, at least one."""
    count = max(1, round((span.end_ms - span.start_ms) / cell_ms))
    edges = [span.start_ms + (span.end_ms - span.start_ms) * number // count for number in range(count + 1)]
    return [Cell(index, start, end) for start, end in pairwise(edges)]


def join_cells(
    cells: Sequence[Cell], labels: Sequence[int], probabilities: np.ndarray, reach_ms: int, pause_ms: int
) -> tuple[Turn, ...]:
    """Join neighbouring cells of one speaker into turns ``S1``, ``S2`` ...

    Where the speaker changes inside a span, the border goes to the least likely speech within ``reach_ms``:
    people breathe before they take over.

    Args:
        cells: in order of time.
        labels: speaker number of each cell, from 0.
        probabilities: float32 (chunks,) of :func:`stages.diarize.voice_activity.speech_probabilities`.
        reach_ms: how far a border may move, to either side.
        pause_ms: spans of one speaker with a shorter pause between them are one turn.
    """
    turns: list[Turn] = []
    previous: Cell | None = None
    for cell, label in zip(cells, labels, strict=True):
        speaker = f"S{label + 1}"
        start_ms = cell.start_ms
        if previous is not None and turns[-1].speaker == speaker:
            if previous.span == cell.span or start_ms - previous.end_ms < pause_ms:
                start_ms = turns.pop().start_ms
        elif previous is not None and previous.span == cell.span:
            earliest = max(start_ms - reach_ms, turns[-1].start_ms + CHUNK_MS)
            latest = min(start_ms + reach_ms, cell.end_ms - CHUNK_MS)
            start_ms = _least_likely_ms(probabilities, earliest, latest, start_ms)
            turns[-1] = turns[-1].model_copy(update={"end_ms": start_ms})
        turns.append(Turn(speaker=speaker, start_ms=start_ms, end_ms=cell.end_ms))
        previous = cell
    return tuple(turns)


def _least_likely_ms(probabilities: np.ndarray, earliest_ms: int, latest_ms: int, otherwise_ms: int) -> int:
    first, last = -(-earliest_ms // CHUNK_MS), latest_ms // CHUNK_MS
    if last <= first:
        return otherwise_ms
    times_ms = np.arange(first, last) * CHUNK_MS
    # In speech without a dip the border stays about where the voices change.
    away = np.abs(times_ms - otherwise_ms) / max(latest_ms - earliest_ms, CHUNK_MS)
    return int(times_ms[np.argmin(probabilities[first:last] + _DIP_PER_WAY * away)])
