"""Where a subtitle may break: at sentences and clauses first, between words always, never inside a word."""

from __future__ import annotations

from collections.abc import Sequence

from language_packs import SubtitleRules

_SENTENCE_END = ".!?…。！？"
_CLAUSE_END = ",;:—–，、；："
_SENTENCE_GAIN, _CLAUSE_GAIN = 0.35, 0.2
"""How far from an even split (as a share of a cue) a better break may lie."""


def pieces(words: Sequence[str], rules: SubtitleRules) -> list[int]:
    """Return how many words go into each cue, as few cues as hold the words."""
    if not words:
        return []
    for cues in range(1, len(words) + 1):
        counts = _even(words, cues)
        if all(len(lines) <= rules.lines for lines in _wrapped(words, counts, rules)):
            return counts
    return [1] * len(words)


def broken(words: Sequence[str], rules: SubtitleRules) -> tuple[str, ...]:
    """Return the words in as few lines as hold them; two lines are of about equal length."""
    return _best_lines(words, rules.characters_per_line)


def _wrapped(words: Sequence[str], counts: Sequence[int], rules: SubtitleRules) -> list[tuple[str, ...]]:
    wrapped, first = [], 0
    for count in counts:
        wrapped.append(broken(words[first : first + count], rules))
        first += count
    return wrapped


def _even(words: Sequence[str], cues: int) -> list[int]:
    """Split into ``cues`` groups of about the same number of characters, preferring the ends of clauses."""
    ends = [len(" ".join(words[: number + 1])) for number in range(len(words))]
    share = ends[-1] / cues
    counts, first = [], 0
    for cue in range(1, cues):
        last = len(words) - (cues - cue)
        candidates = range(first + 1, last + 1)
        best = min(candidates, key=lambda count: abs(ends[count - 1] - cue * share) - _gain(words[count - 1]) * share)
        counts.append(best - first)
        first = best
    return [*counts, len(words) - first]


def _gain(word: str) -> float:
    if word[-1:] in _SENTENCE_END:
        return _SENTENCE_GAIN
    return _CLAUSE_GAIN if word[-1:] in _CLAUSE_END else 0.0


def _best_lines(words: Sequence[str], width: int) -> tuple[str, ...]:
    greedy: list[str] = []
    for word in words:
        if greedy and len(greedy[-1]) + 1 + len(word) <= width:
            greedy[-1] += f" {word}"
        else:
            greedy.append(word)
    if len(greedy) != 2:
        return tuple(greedy)
    options = [(" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words))]
    fitting = [option for option in options if max(map(len, option)) <= width] or [(greedy[0], greedy[1])]
    return min(fitting, key=lambda option: abs(len(option[0]) - len(option[1])) - 2 * width * _gain(option[0]))
