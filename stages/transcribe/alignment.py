"""Which stretch of the voice each recognised word belongs to, and with that the true times of words beside a pause.

The order of the words is sure and their times are about right; pauses are where the voice is silent, mostly after
punctuation. The assignment that disagrees least with all of that is found by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Sequence

from stages.diarize.voice_activity import Span
from stages.transcribe.heard import HeardWord
from stages.transcribe.lines import ends_phrase
from stages.transcribe.word_times import placed

_REACH_MS = 800
"""A word is no farther from its place than this, unless no voice is nearer."""
_TORN_MS = 120
"""A pause after a word without punctuation is as unlikely as a word that is this far off."""
_SKIPPED = 0.5
"""What a millisecond of voice without a word counts of a millisecond that a word is off: breaths have no words."""


def aligned(words: Sequence[HeardWord], stretches: Sequence[Span]) -> tuple[HeardWord, ...]:
    """Return the words with times inside the voice: the first of a stretch begins and the last one ends with it.

    Args:
        words: in order, with times that are about right.
        stretches: where the voice sounds without a pause (:func:`stages.transcribe.onsets.stretches`).
    """
    if not stretches:
        return tuple(words)
    return tuple(placed(words, _homes(words, stretches), stretches))


def _homes(words: Sequence[HeardWord], stretches: Sequence[Span]) -> list[int]:
    """Return the index of every word's stretch, not decreasing, at the least cost."""
    empty_ms = [0.0]
    for stretch in stretches:
        empty_ms.append(empty_ms[-1] + _SKIPPED * (stretch.end_ms - stretch.start_ms))
    steps: list[dict[int, tuple[float, int]]] = []
    best: dict[int, float] = {-1: 0.0}
    for number, word in enumerate(words):
        torn_ms = 0 if number == 0 or ends_phrase(words[number - 1].text) else _TORN_MS
        first = min(best)
        step: dict[int, tuple[float, int]] = {}
        for home in _candidates(word, stretches, first):
            ways = (
                (cost + (0.0 if before == home else torn_ms + empty_ms[home] - empty_ms[before + 1]), before)
                for before, cost in best.items()
                if before <= home
            )
            cost, before = min(ways)
            step[home] = (cost + _outside_ms(word, stretches[home]), before)
        steps.append(step)
        best = {home: cost for home, (cost, _) in step.items()}
    homes: list[int] = []
    if steps:
        homes.append(min(best, key=lambda home: (best[home] + empty_ms[-1] - empty_ms[home + 1], home)))
        for step in reversed(steps[1:]):
            homes.append(step[homes[-1]][1])
    return homes[::-1]


def _candidates(word: HeardWord, stretches: Sequence[Span], first: int) -> list[int]:
    """Return the stretches near a word, from ``first`` on: those within reach, else the nearest."""
    indices = range(max(first, 0), len(stretches))
    near = [index for index in indices if _distance_ms(word, stretches[index]) <= _REACH_MS]
    return near or [min(indices, key=lambda index: (_distance_ms(word, stretches[index]), index))]


def _distance_ms(word: HeardWord, stretch: Span) -> int:
    return max(0, stretch.start_ms - word.end_ms, word.start_ms - stretch.end_ms)


def _outside_ms(word: HeardWord, stretch: Span) -> int:
    """Return how much of a word sticks out of a stretch, and how far away it is."""
    inside_ms = max(0, min(word.end_ms, stretch.end_ms) - max(word.start_ms, stretch.start_ms))
    return word.end_ms - word.start_ms - inside_ms + _distance_ms(word, stretch)
