"""From words to lines: sentences of one speaker, short enough to be translated, spoken and read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stages.artifacts import Line, Turn, Word
from stages.transcribe.heard import HeardWord

_FINAL = re.compile(r"[.!?…。！？।؟۔]+[\"'”’»)\]]*$")
_ELLIPSIS = re.compile(r"(?:\.{2,}|…)$")
_CLAUSE = re.compile(r"[,;:–—،、，；：][\"'”’»)\]]*$")
_ABBREVIATION = re.compile(
    r"^[\"'“‘«(\[]*(?:\w|(?:\w\.)+\w|mr|mrs|ms|dr|drs|prof|st|sr|sra|srta|jr|mme|hr|fr|vs|approx|inc|ltd|e\.g|i\.e|cf|ca)\.$",
    re.IGNORECASE,
)
_BORDER_SLIP_MS = 600
"""A speaker border found by voice can be this far from the end of the sentence that it belongs to."""
_CHANGE_MS = 200
"""A pause of this length is as good a place for a change of speakers as the end of a sentence."""
_COMMA_WORTH_MS = 400
"""A comma makes a place as good for a cut as a pause of this length."""


@dataclass(frozen=True)
class SpokenWord:
    """A recognised word and who said it."""

    word: HeardWord
    speaker: str


def with_speakers(words: Sequence[HeardWord], turns: Sequence[Turn]) -> list[SpokenWord]:
    """Give every word the speaker of the turn that it overlaps most (or is nearest to).

    Where the speaker changes just beside the end of a sentence or a pause, the change goes there.
    """
    if not turns:
        return []

    def overlap_ms(word: HeardWord, turn: Turn) -> int:
        return min(word.end_ms, turn.end_ms) - max(word.start_ms, turn.start_ms)

    spoken = [SpokenWord(word, max(turns, key=lambda turn: overlap_ms(word, turn)).speaker) for word in words]
    for at in range(1, len(spoken)):
        before, after = spoken[at - 1], spoken[at]
        if before.speaker == after.speaker or _may_change(spoken, at):
            continue
        border_ms = after.word.start_ms
        for end in _changes(spoken, at):
            moved = spoken[end:at] if end < at else spoken[at:end]
            first_ms = moved[0].word.start_ms
            if max(abs(first_ms - border_ms), abs(moved[-1].word.end_ms - border_ms)) <= _BORDER_SLIP_MS:
                speaker = after.speaker if end < at else before.speaker
                for index in range(min(end, at), max(end, at)):
                    spoken[index] = SpokenWord(spoken[index].word, speaker)
                break
    return spoken


def _may_change(spoken: Sequence[SpokenWord], at: int) -> bool:
    """Tell whether a sentence ends before a word, or a pause does."""
    before = spoken[at - 1].word
    return ends_sentence(before.text) or (at < len(spoken) and spoken[at].word.start_ms - before.end_ms >= _CHANGE_MS)


def _changes(spoken: Sequence[SpokenWord], at: int) -> list[int]:
    """Return indices at which the speaker may change, nearest to ``at`` first, within one speaker's words."""
    ends = []
    for distance in range(1, 4):
        if (later := at + distance) <= len(spoken) and _may_change(spoken, later):
            ends.append(later)
        if (earlier := at - distance) > 0 and _may_change(spoken, earlier):
            ends.append(earlier)
    return [
        end for end in ends if len({word.speaker for word in (spoken[at:end] if end > at else spoken[end:at])}) == 1
    ]


def ends_sentence(text: str) -> bool:
    """Tell whether a word carries final punctuation that is not an abbreviation's."""
    text = text.strip()
    return bool(_FINAL.search(text)) and not _ABBREVIATION.match(text)


def ends_phrase(text: str) -> bool:
    """Tell whether a word carries punctuation after which people pause."""
    return ends_sentence(text) or bool(_CLAUSE.search(text.strip()))


def cut_lines(spoken: Sequence[SpokenWord], pause_ms: int, longest_ms: int) -> tuple[Line, ...]:
    """Cut words into lines; every word lands in exactly one.

    Args:
        spoken: words in order.
        pause_ms: a pause at least this long ends a line.
        longest_ms: longer lines are cut again at commas and pauses, near their middle.
    """
    groups: list[list[SpokenWord]] = []
    for at, current in enumerate(spoken):
        if at == 0 or _line_ends(spoken[at - 1], current, pause_ms):
            groups.append([])
        groups[-1].append(current)
    return tuple(
        _line(number, part)
        for number, part in enumerate((part for group in groups for part in _shortened(group, longest_ms)), 1)
    )


def _line_ends(before: SpokenWord, after: SpokenWord, pause_ms: int) -> bool:
    return (
        before.speaker != after.speaker
        or after.word.start_ms - before.word.end_ms >= pause_ms
        or (
            ends_sentence(before.word.text)
            # "I was ... thinking" goes on.
            and not (_ELLIPSIS.search(before.word.text) and after.word.text.strip()[:1].islower())
        )
    )


def _shortened(group: list[SpokenWord], longest_ms: int) -> list[list[SpokenWord]]:
    """Halve a group at its best place until every part is short enough or a single word."""
    start_ms, end_ms = group[0].word.start_ms, group[-1].word.end_ms
    if end_ms - start_ms <= longest_ms or len(group) == 1:
        return [group]

    def worth_ms(at: int) -> float:
        before, after = group[at - 1].word, group[at].word
        pause = after.start_ms - before.end_ms + (_COMMA_WORTH_MS if _CLAUSE.search(before.text.strip()) else 0)
        off_middle = abs((before.end_ms + after.start_ms) - (start_ms + end_ms)) / (end_ms - start_ms)
        return pause - _COMMA_WORTH_MS * off_middle

    best = max(range(1, len(group)), key=worth_ms)
    return _shortened(group[:best], longest_ms) + _shortened(group[best:], longest_ms)


def _line(number: int, part: Sequence[SpokenWord]) -> Line:
    return Line(
        id=number,
        speaker=part[0].speaker,
        start_ms=part[0].word.start_ms,
        end_ms=part[-1].word.end_ms,
        # Whisper writes the space before a word where the script has spaces.
        text="".join(spoken.word.text for spoken in part).strip(),
        words=tuple(
            Word(
                text=spoken.word.text.strip(),
                start_ms=spoken.word.start_ms,
                end_ms=spoken.word.end_ms,
                probability=spoken.word.probability,
            )
            for spoken in part
        ),
    )
