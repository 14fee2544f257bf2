"""Subtitles of what is said, in the source and in the target language, by the rules of the language pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from language_packs import SubtitleRules
from stages.artifacts import Record, Script, Speech, Transcript
from stages.subtitles.breaking import WORD_BREAK, broken, pieces, units

if TYPE_CHECKING:
    from pysubs2 import SSAFile

_VTT_ENTITIES = MappingProxyType(str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"}))


class TimedWord(Record):
    """A word as it is read, with the space before it if it has one, and when it sounds."""

    text: str
    start_ms: int
    end_ms: int


class Cue(Record):
    """One subtitle: what is on the screen at once."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines, joined by line breaks."""
        return "\n".join(self.lines)


def source_cues(transcript: Transcript, rules: SubtitleRules) -> tuple[Cue, ...]:
    """Return subtitles of the source, at the recognised words' times."""
    lines = [
        tuple(TimedWord(text=word.text, start_ms=word.start_ms, end_ms=word.end_ms) for word in line.words)
        for line in transcript.lines
    ]
    return cues_for(lines, rules)


def dub_cues(script: Script, speech: Speech, rules: SubtitleRules) -> tuple[Cue, ...]:
    """Return subtitles of the dub; a word's share of its line's phones follows from its letters."""
    texts: Mapping[int, str] = {line.id: line.text for line in script.lines}
    lines = [
        _spread(units(texts[line.id], rules), [phone.start_ms for phone in line.phones], line.start_ms, line.end_ms)
        for line in speech.lines
    ]
    return _cues(lines, rules)


def script_cues(script: Script, rules: SubtitleRules) -> tuple[Cue, ...]:
    """Return subtitles of a translation that nobody speaks: a word's share of its slot follows from its letters."""
    return _cues([_spread(units(line.text, rules), (), line.start_ms, line.end_ms) for line in script.lines], rules)


def cues_for(lines: Sequence[Sequence[TimedWord]], rules: SubtitleRules) -> tuple[Cue, ...]:
    """Return the cues for lines of words.

    A line too long for one cue is split where a sentence or clause ends, else between words, into cues of
    about the same length. A cue begins with its first word. It stays until its last word has ended and
    longer, as far as the reading speed and the shortest time ask for it and the next cue allows it; at most
    ``max_ms``.
    """
    return _cues([_timed_units(line, rules) for line in lines], rules)


def _cues(lines: Sequence[Sequence[TimedWord]], rules: SubtitleRules) -> tuple[Cue, ...]:
    """Return the cues for lines of what no line break may cut."""
    groups = [(group, text) for line in lines if line for group, text in _split(line, rules)]
    groups.sort(key=lambda entry: entry[0][0].start_ms)
    cues = []
    for number, (group, text) in enumerate(groups):
        start_ms, spoken_until_ms = group[0].start_ms, group[-1].end_ms
        readable_ms = round(1000 * sum(map(len, text)) / rules.characters_per_second)
        end_ms = max(spoken_until_ms, start_ms + max(rules.min_ms, readable_ms))
        if number + 1 < len(groups):
            end_ms = min(end_ms, max(groups[number + 1][0][0].start_ms, start_ms + 1))
        cues.append(Cue(start_ms=start_ms, end_ms=min(end_ms, start_ms + rules.max_ms), lines=text))
    return tuple(cues)


def write_srt(path: Path, cues: Sequence[Cue]) -> None:
    """Write SubRip, UTF-8."""
    _subtitles(cues).save(str(path), encoding="utf-8", format_="srt")


def write_vtt(path: Path, cues: Sequence[Cue]) -> None:
    """Write WebVTT, UTF-8."""
    _subtitles(cues, _VTT_ENTITIES).save(str(path), encoding="utf-8", format_="vtt")


def write_ass(path: Path, cues: Sequence[Cue]) -> None:
    """Write Advanced SubStation Alpha, UTF-8, in pysubs2's default style."""
    _subtitles(cues).save(str(path), encoding="utf-8", format_="ass")


def _subtitles(cues: Sequence[Cue], entities: Mapping[int, str] = MappingProxyType({})) -> SSAFile:
    from pysubs2 import SSAEvent, SSAFile

    subtitles = SSAFile()
    for cue in cues:
        text = r"\N".join(_literal(line).translate(entities) for line in cue.lines)
        subtitles.append(SSAEvent(start=cue.start_ms, end=cue.end_ms, text=text))
    return subtitles


def _literal(text: str) -> str:
    """Keep text from being read as markup: braces open style overrides, a backslash a line break.

    Look-alikes stand in for them, as no subtitle format has an escape that every player knows.
    """
    return " ".join(text.translate({ord("{"): "(", ord("}"): ")", ord("\\"): "/"}).split())


def _split(line: Sequence[TimedWord], rules: SubtitleRules) -> list[tuple[Sequence[TimedWord], tuple[str, ...]]]:
    texts = [unit.text for unit in line]
    groups = []
    first = 0
    for count in pieces(texts, rules):
        groups.append((line[first : first + count], broken(texts[first : first + count], rules)))
        first += count
    return groups


def _timed_units(words: Sequence[TimedWord], rules: SubtitleRules) -> Sequence[TimedWord]:
    """Return what no line break may cut, with its times: a character's share of its word is as long as any other's."""
    if rules.breaks == "spaces":
        return [word.model_copy(update={"text": f" {word.text.strip()}"}) for word in words if word.text.strip()]
    stretches = [(word, _signs(word.text)) for word in words]
    starts_ms = [
        word.start_ms + (word.end_ms - word.start_ms) * number / count
        for word, count in stretches
        for number in range(count)
    ]
    timed = []
    first = 0
    for text in units("".join(word.text for word in words), rules):
        last = first + _signs(text)
        end_ms = starts_ms[last] if last < len(starts_ms) else words[-1].end_ms
        timed.append(TimedWord(text=text, start_ms=round(starts_ms[first]), end_ms=round(end_ms)))
        first = last
    return timed


def _signs(text: str) -> int:
    return len("".join(text.replace(WORD_BREAK, "").split()))


def _spread(words: Sequence[str], phone_starts_ms: Sequence[int], start_ms: int, end_ms: int) -> tuple[TimedWord, ...]:
    """Give every word its share of the phones in proportion to its letters."""
    letters = [max(1, sum(character.isalnum() for character in word)) for word in words]
    edges_ms = [*phone_starts_ms, end_ms] if phone_starts_ms else [start_ms, end_ms]
    shares = [sum(letters[:number]) / sum(letters) for number in range(len(words) + 1)] if words else []
    times_ms = [_at_share(edges_ms, share) for share in shares]
    return tuple(
        TimedWord(text=word, start_ms=since, end_ms=until)
        for word, since, until in zip(words, times_ms[:-1], times_ms[1:], strict=True)
    )


def _at_share(edges_ms: Sequence[int], share: float) -> int:
    position = share * (len(edges_ms) - 1)
    index = min(int(position), len(edges_ms) - 2)
    return round(edges_ms[index] + (position - index) * (edges_ms[index + 1] - edges_ms[index]))
