"""Where a subtitle may break: at sentences and clauses first, between words mostly, never inside a word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from language_packs import SubtitleRules

_SENTENCE_END = ".!?…。！？।؟።"
_CLAUSE_END = ",;:—–，、；：،؛"
_QUOTES = " \"'“”‘’«»„()[]¿¡"
_SENTENCE_GAIN, _CLAUSE_GAIN = 0.35, 0.2
"""How far from an even split (as a share of a cue) a better break may lie."""
_TORN = -0.5
"""What a break costs that sets a word apart from the one it belongs to, likewise."""
_LATIN = "a-zA-Z0-9\u00c0-\u02af"
_MARKS = (
    "\u0300-\u036f\u3099\u309a"  # general, kana
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"  # Thai, Lao
    "\u102b-\u103e\u17b4-\u17d3\u17dd"  # Burmese, Khmer
)
"""Signs above, below and after a letter."""
_STACKED = "[\u1039\u17d2]\\S|[\u1000-\u102a]\u103a"
"""A Burmese or Khmer consonant under the one before it, a Burmese one that ends its syllable."""
_SIGN = re.compile(rf"\s*(?:[{_LATIN}]+(?:[.,'’&:/-][{_LATIN}]+)*|\S(?:{_STACKED}|[{_MARKS}])*)")
"""A letter with its marks, or a number or word in Latin letters, with the spaces before it."""
WORD_BREAK = "\u200b"
"""Zero width space: where a word ends in a script that does not show it."""
_WORD = re.compile(rf"\s*[^\s{WORD_BREAK}]+")


def units(text: str, rules: SubtitleRules) -> list[str]:
    """Return the stretches of a text that no line break may cut, each with the space before it.

    They are words where the script sets words apart or the text marks them with zero width spaces, which are left
    out; else characters, together with those that may not begin the next line or end this one.
    """
    if rules.breaks == "spaces":
        return [f"{' ' * (number > 0)}{word}" for number, word in enumerate(text.split())]
    text = " ".join(text.split())
    marked = _WORD.findall(text) if WORD_BREAK in text else []
    is_marked = bool(marked) and max(map(len, marked)) <= rules.characters_per_line
    found: list[str] = []
    for sign in marked if is_marked else _SIGN.findall(text.replace(WORD_BREAK, "")):
        if found and (sign.lstrip()[0] in rules.no_break_before or found[-1][-1] in rules.no_break_after):
            found[-1] += sign
        else:
            found.append(sign)
    return found


def pieces(words: Sequence[str], rules: SubtitleRules) -> list[int]:
    """Return how many units go into each cue, as few cues as hold them."""
    if not words:
        return []
    for cues in range(1, len(words) + 1):
        counts = _even(words, cues, rules)
        if all(len(lines) <= rules.lines for lines in _wrapped(words, counts, rules)):
            return counts
    return [1] * len(words)


def broken(words: Sequence[str], rules: SubtitleRules) -> tuple[str, ...]:
    """Return the units in as few lines as hold them; two lines are of about equal length."""
    width = rules.characters_per_line
    greedy: list[str] = []
    for word in words:
        if greedy and len(greedy[-1]) + len(word) <= width:
            greedy[-1] += word
        else:
            greedy.append(word.lstrip())
    if len(greedy) != 2:
        return tuple(greedy)
    options = [("".join(words[:cut]).lstrip(), "".join(words[cut:]).lstrip(), cut) for cut in range(1, len(words))]
    fitting = [option for option in options if max(map(len, option[:2])) <= width]
    if not fitting:
        return tuple(greedy)
    first, second, _ = min(
        fitting,
        key=lambda option: abs(len(option[0]) - len(option[1])) - 2 * width * _gain(words, option[2], rules),
    )
    return first, second


def _wrapped(words: Sequence[str], counts: Sequence[int], rules: SubtitleRules) -> list[tuple[str, ...]]:
    wrapped, first = [], 0
    for count in counts:
        wrapped.append(broken(words[first : first + count], rules))
        first += count
    return wrapped


def _even(words: Sequence[str], cues: int, rules: SubtitleRules) -> list[int]:
    """Split into ``cues`` groups of about the same number of characters, preferring the ends of clauses."""
    ends = [len("".join(words[: number + 1]).lstrip()) for number in range(len(words))]
    share = ends[-1] / cues
    counts, first = [], 0
    for cue in range(1, cues):
        last = len(words) - (cues - cue)
        candidates = range(first + 1, last + 1)
        best = min(candidates, key=lambda cut: abs(ends[cut - 1] - cue * share) - _gain(words, cut, rules) * share)
        counts.append(best - first)
        first = best
    return [*counts, len(words) - first]


def _gain(words: Sequence[str], cut: int, rules: SubtitleRules) -> float:
    """Return how good a break before unit number ``cut`` is: after a clause good, between what goes together bad."""
    before, after = (
        words[cut - 1].strip(_QUOTES).lower(),
        words[cut].strip(_QUOTES + _SENTENCE_END + _CLAUSE_END).lower(),
    )
    if before in rules.no_break_after:  # titles with their full stop too
        return _TORN
    if before.endswith(tuple(_SENTENCE_END)):
        return _SENTENCE_GAIN
    is_phrase_end = rules.breaks == "characters" and words[cut].startswith(" ")
    if is_phrase_end or before.endswith(tuple(_CLAUSE_END)):
        return _CLAUSE_GAIN
    return _TORN if after in rules.no_break_before else 0.0
