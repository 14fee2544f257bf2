"""Sentences that were cut into several lines: joined before they are translated, cut back over the lines after.

A pure part of the stage: which lines belong to one sentence, and where its translation is best cut.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stages.artifacts import Line
from stages.transcribe.lines import ends_sentence

_CLAUSE_END = tuple(",;:—–!?….")
_QUOTES = "\"'“”‘’«»()[]"
_CLAUSE_GAIN, _PHRASE_GAIN, _TORN = 0.2, 0.1, -0.3
"""How much farther from its share, as a part of the whole, a cut may lie: after a clause, before a conjunction or
preposition, after one (then two words that belong together would be torn apart)."""


def sentences(lines: Sequence[Line], longest_pause_ms: int, longest_ms: int) -> list[list[Line]]:
    """Group consecutive lines that make one sentence; every line is in exactly one group.

    A line goes on in the next one where it does not end with final punctuation and the same speaker speaks on.

    Args:
        lines: in order.
        longest_pause_ms: a longer pause ends the sentence whatever its punctuation says.
        longest_ms: a sentence is not joined beyond this length.
    """
    groups: list[list[Line]] = []
    for line in lines:
        if groups and _goes_on(groups[-1], line, longest_pause_ms, longest_ms):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _goes_on(group: Sequence[Line], line: Line, longest_pause_ms: int, longest_ms: int) -> bool:
    before = group[-1]
    return (
        before.speaker == line.speaker
        and bool(before.text.strip())
        and bool(line.text.strip())
        and line.start_ms - before.end_ms <= longest_pause_ms
        and line.end_ms - group[0].start_ms <= longest_ms
        and not ends_sentence(before.text.split()[-1])
    )


def joined(texts: Sequence[str]) -> str:
    """Return one text of several."""
    return " ".join(text.strip() for text in texts if text.strip())


def cut(text: str, shares: Sequence[int], bound: Collection[str]) -> list[str] | None:
    """Cut a translation into one part a line, between words; None where it has fewer words than there are lines.

    Every cut lies near the share of the text that its line has of the source, rather after punctuation and before a
    conjunction or preposition than elsewhere, and not between one of those and the word after it.

    Args:
        text: the translation of the whole sentence.
        shares: the lengths of the source lines in characters, none below 1.
        bound: words in lower case that belong to the next one (a pack's ``no_break_after``).
    """
    words = text.split()
    if len(words) < len(shares):
        return None
    ends = [len(" ".join(words[: number + 1])) / len(text) for number in range(len(words))]
    whole = sum(shares)
    parts, first, share = [], 0, 0.0
    for number, length in enumerate(shares[:-1], start=1):
        share += length / whole
        last = len(words) - (len(shares) - number)

        def cost(at: int, share: float = share) -> float:
            return abs(ends[at - 1] - share) - _gain(words[at - 1], words[at], bound)

        best = min(range(first + 1, last + 1), key=cost)
        parts.append(" ".join(words[first:best]))
        first = best
    return [*parts, " ".join(words[first:])]


def _gain(before: str, after: str, bound: Collection[str]) -> float:
    if before.strip(_QUOTES).lower() in bound:
        return _TORN
    if before.rstrip(_QUOTES).endswith(_CLAUSE_END):
        return _CLAUSE_GAIN
    return _PHRASE_GAIN if after.strip(_QUOTES).lower() in bound else 0.0
