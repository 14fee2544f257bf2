"""Mending what Whisper's word times get wrong, with the voice detector's findings.

Whisper aligns words by its attention: a word next to a pause often swallows the pause, some words have no
length at all, and words can be invented where nobody speaks. The voice detector knows better where speech is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stages.diarize.voice_activity import Span
from stages.transcribe.heard import HeardWord

SHORTEST_WORD_MS = 40
"""Two phones at the fastest anybody speaks."""
NEAR_SPEECH_MS = 300
"""A word this far from any speech is still its first or last word; further away it is invented."""
SNAP_START_MS = 600
"""The first word after a pause starts with the speech if it is no further off than this."""
SNAP_END_MS = 800
"""The last word before a pause ends with the speech if no further off: Whisper cuts final syllables short."""


def mend(words: Sequence[HeardWord], spans: Sequence[Span]) -> tuple[list[HeardWord], list[HeardWord]]:
    """Return the words with times inside the speech, in order, none below 40 ms; and the invented ones.

    Args:
        words: in the order they were recognised, times on the clip's clock.
        spans: where somebody speaks, in order, apart from each other.
    """
    kept: list[HeardWord] = []
    homes: list[int] = []
    invented: list[HeardWord] = []
    for word in words:
        home = _home(word, spans)
        if home is None:
            invented.append(word)
        else:
            homes.append(max([home, *homes[-1:]]))  # The order of words is sure, their times are not.
            kept.append(word)
    return placed(kept, homes, spans), invented


def placed(words: Sequence[HeardWord], homes: Sequence[int], spans: Sequence[Span]) -> list[HeardWord]:
    """Return words with times inside their spans, in order; the first and the last word of a span reach its ends.

    Args:
        words: in the order they were recognised.
        homes: by word, the index of its span; not decreasing.
        spans: in order, apart from each other.
    """
    inside = [_inside(word, spans[home]) for word, home in zip(words, homes, strict=True)]
    return _snapped(_in_order(inside, homes, spans), homes, spans)


def _home(word: HeardWord, spans: Sequence[Span]) -> int | None:
    """Return the span that holds most of the word, or the nearest one; None where none is near."""
    if not spans:
        return None
    # Negative overlap is the distance to the span.
    overlaps = [min(word.end_ms, span.end_ms) - max(word.start_ms, span.start_ms) for span in spans]
    best = max(range(len(spans)), key=lambda index: overlaps[index])
    return best if overlaps[best] >= -NEAR_SPEECH_MS else None


def _inside(word: HeardWord, span: Span) -> HeardWord:
    start_ms = min(max(word.start_ms, span.start_ms), span.end_ms)
    return replace(word, start_ms=start_ms, end_ms=min(max(word.end_ms, start_ms), span.end_ms))


def _in_order(words: Sequence[HeardWord], homes: Sequence[int], spans: Sequence[Span]) -> list[HeardWord]:
    """Give every word of a span its shortest length: from free time after it, else from its neighbours."""
    result: list[HeardWord] = []
    for index in sorted(set(homes)):
        members = [word for word, home in zip(words, homes, strict=True) if home == index]
        span = spans[index]
        shortest_ms = min(SHORTEST_WORD_MS, (span.end_ms - span.start_ms) // len(members))
        latest_ms = span.end_ms
        starts: list[int] = []
        for word in reversed(members):
            latest_ms = min(word.start_ms, latest_ms - shortest_ms)
            starts.append(latest_ms)
        starts.reverse()
        earliest_ms = span.start_ms
        for word, start_ms, next_start_ms in zip(members, starts, [*starts[1:], span.end_ms], strict=True):
            start_ms = max(start_ms, earliest_ms)
            end_ms = max(min(word.end_ms, next_start_ms), start_ms + shortest_ms)
            result.append(replace(word, start_ms=start_ms, end_ms=end_ms))
            earliest_ms = end_ms
    return result


def _snapped(words: Sequence[HeardWord], homes: Sequence[int], spans: Sequence[Span]) -> list[HeardWord]:
    """Start the first word of each span and end its last one with the speech."""
    result = list(words)
    for at, home in enumerate(homes):
        span = spans[home]
        if (at == 0 or homes[at - 1] != home) and result[at].start_ms - span.start_ms <= SNAP_START_MS:
            result[at] = replace(result[at], start_ms=span.start_ms)
        if (at == len(homes) - 1 or homes[at + 1] != home) and span.end_ms - result[at].end_ms <= SNAP_END_MS:
            result[at] = replace(result[at], end_ms=span.end_ms)
    return result


def uncovered(spans: Sequence[Span], words: Sequence[HeardWord], at_least_ms: int) -> list[Span]:
    """Return stretches of speech in which no word was recognised: of ``at_least_ms``, or a whole span of any length."""
    gaps: list[Span] = []
    for span in spans:
        inside = [word for word in words if word.end_ms > span.start_ms and word.start_ms < span.end_ms]
        if not inside:
            gaps.append(span)
            continue
        starts = [span.start_ms, *(word.end_ms for word in inside)]
        ends = [*(word.start_ms for word in inside), span.end_ms]
        gaps += [Span(start, end) for start, end in zip(starts, ends, strict=True) if end - start >= at_least_ms]
    return gaps
