"""What a person has corrected in what was heard: ``<stem>.transcript.toml`` in the output folder.

.. code-block:: toml

    [lines.3]
    text = "We met in Turin."
    speaker = "S2"

The number is the line's id. What is not given stays as it was heard.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from pathlib import Path

from pydantic import ConfigDict, Field, field_validator

from stages.artifacts import Diarization, Line, Media, Record, Transcript, Unprocessed, Word
from stages.edits import check_ids, read_lines, said
from stages.errors import InputError
from stages.progress import Progress
from stages.transcribe import TranscribeConfig

VERSION = 1
LEFT_OUT = "left out by a person"
_SIGN = re.compile(r"\w\W*")
"""Of a text without spaces: a sign with the punctuation after it."""
_KEYS = 'text = "...", speaker = "S1", start_ms, end_ms and leave_out = true'


class LineCorrection(Record):
    """What is corrected in one line."""

    model_config = ConfigDict(strict=True)

    text: str | None = None
    """What is said; any white space is one space."""
    speaker: str | None = None
    """Who says it, a number of the speakers' file."""
    start_ms: int | None = Field(default=None, ge=0)
    """When its first word begins."""
    end_ms: int | None = Field(default=None, gt=0)
    """When its last word has ended."""
    leave_out: bool = False
    """Nothing is said there, or nothing that is to be dubbed: the original is heard."""

    @field_validator("text")
    @classmethod
    def _has_words(cls, text: str | None) -> str | None:
        return None if text is None else said(text)


class Corrections(Record):
    """The corrections of one transcript."""

    lines: dict[int, LineCorrection] = Field(default_factory=dict)
    """By line id."""
    source: str = Field(default="", exclude=True)
    """The file they come from, for messages."""

    @property
    def digest(self) -> str:
        """What the key of a stage that takes them depends on."""
        return self.model_dump_json()

    def rewritten(self) -> list[int]:
        """Return the ids of the lines with another text."""
        return sorted(number for number, each in self.lines.items() if each.text is not None)


class _CorrectionsFile(Record):
    lines: dict[int, LineCorrection] = Field(default_factory=dict)


def corrections_file(folder: Path, stem: str) -> Path:
    """Return where the corrections of a transcript are looked for."""
    return folder / f"{stem}.transcript.toml"


def read_corrections(file: Path) -> Corrections:
    """Return the corrections in a file; none where there is no such file.

    Raises:
        InputError: it cannot be read, is not TOML, or says what cannot be done.
    """
    found, shown = read_lines(file, _CorrectionsFile, _KEYS)
    return Corrections(lines=found.lines if found is not None else {}, source=shown)


def correct(
    transcript: Transcript,
    diarization: Diarization,
    media: Media,
    corrections: Corrections,
    config: TranscribeConfig,
    out: Path,
    progress: Progress,
) -> Transcript:
    """Return the transcript as a person corrected it (a stage).

    Args:
        transcript: as it was heard.
        diarization: who the speakers are.
        media: for the clip's end.
        corrections: of its lines.
        config: not needed.
        out: not written to.
        progress: told when it is done.

    Raises:
        InputError: there is no such line or speaker, or a line's times are none or those of another line.
    """
    corrected = transcript.model_copy(
        update=corrected_lines(transcript, diarization.speakers, media.duration_ms, corrections)
    )
    progress(1.0)
    return corrected


def corrected_lines(
    transcript: Transcript, speakers: Sequence[str], duration_ms: int, corrections: Corrections
) -> dict[str, tuple[Record, ...]]:
    """Return the fields of a transcript that corrections change: ``lines``, and ``unprocessed`` with those left out.

    Raises:
        InputError: as :func:`correct`.
    """
    check_ids(corrections.lines, [line.id for line in transcript.lines], corrections.source)
    lines: list[Line] = []
    left_out: list[Unprocessed] = []
    for line in transcript.lines:
        correction = corrections.lines.get(line.id, LineCorrection())
        if correction.leave_out:
            left_out.append(Unprocessed(start_ms=line.start_ms, end_ms=line.end_ms, reason=LEFT_OUT))
            continue
        place = f"{corrections.source}: lines.{line.id}"
        if correction.speaker is not None and correction.speaker not in speakers:
            raise InputError(
                f"{place}.speaker: there is no speaker {correction.speaker!r}; there are: {', '.join(speakers)}."
            )
        lines.append(_corrected(line, correction))
    for line in lines:
        correction = corrections.lines.get(line.id, LineCorrection())
        if correction.start_ms is None and correction.end_ms is None:
            continue
        place, times = f"{corrections.source}: lines.{line.id}", f"{line.start_ms} to {line.end_ms} ms"
        if not line.start_ms < line.end_ms <= duration_ms:
            raise InputError(
                f"{place}: {times} is no stretch of this video, which lasts {duration_ms} ms; correct start_ms or "
                "end_ms."
            )
        for other in lines:
            if other.id != line.id and line.start_ms < other.end_ms and other.start_ms < line.end_ms:
                raise InputError(
                    f"{place}: {times} overlaps line {other.id} ({other.start_ms} to {other.end_ms} ms); correct "
                    "start_ms or end_ms of either."
                )
    if not lines:
        raise InputError(f"{corrections.source}: every line is left out, so there is nothing to translate.")
    return {
        "lines": tuple(sorted(lines, key=lambda line: (line.start_ms, line.id))),
        "unprocessed": tuple(sorted([*transcript.unprocessed, *left_out], key=lambda each: each.start_ms)),
    }


def _corrected(line: Line, correction: LineCorrection) -> Line:
    start_ms = line.start_ms if correction.start_ms is None else correction.start_ms
    end_ms = line.end_ms if correction.end_ms is None else correction.end_ms
    words = _clipped(line.words, start_ms, end_ms)
    if correction.text is not None and correction.text != line.text:
        is_spaced = " " in line.text or len(words) < 2
        texts = correction.text.split() if is_spaced else _SIGN.findall(correction.text)
        words = _reworded(words, texts, start_ms, end_ms)
    return line.model_copy(
        update={
            "speaker": correction.speaker or line.speaker,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "text": line.text if correction.text is None else correction.text,
            "words": words,
        }
    )


def _clipped(words: Sequence[Word], start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """Return words that stay where they were heard as far as that is inside the line, and reach from end to end."""
    if not words or end_ms <= start_ms:
        return tuple(words)
    if any(each.end_ms <= start_ms or each.start_ms >= end_ms for each in words):
        return _spread(words, start_ms, end_ms)
    starts = [start_ms, *(each.start_ms for each in words[1:])]
    ends = [*(each.end_ms for each in words[:-1]), end_ms]
    return tuple(
        word.model_copy(update={"start_ms": start, "end_ms": end})
        for word, start, end in zip(words, starts, ends, strict=True)
    )


def _reworded(words: Sequence[Word], texts: Sequence[str], start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """Return words with other texts: those that were heard keep their times, the others share what is between them.

    The longest common runs of words are found as by :class:`difflib.SequenceMatcher`, letter case and punctuation
    apart.
    """
    matcher = SequenceMatcher(None, [_plain(each.text) for each in words], [_plain(each) for each in texts], False)
    made: list[Word] = []
    blocks = matcher.get_matching_blocks()
    for number, block in enumerate(blocks):
        before = blocks[number - 1] if number else None
        first = before.b + before.size if before is not None else 0
        from_ms = made[-1].end_ms if made else start_ms
        to_ms = words[block.a].start_ms if block.size else end_ms
        fresh = [Word(text=text, start_ms=0, end_ms=0, probability=1.0) for text in texts[first : block.b]]
        made += _spread(fresh, from_ms, max(from_ms, to_ms))
        made += (
            words[block.a + at].model_copy(update={"text": texts[block.b + at], "probability": 1.0})
            for at in range(block.size)
        )
    if any(word.end_ms <= word.start_ms for word in made):  # put between words without a pause
        return _spread(made, start_ms, end_ms)
    return tuple(made)


def _spread(words: Sequence[Word], start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """Return words that share a time by their letters."""
    sizes = [0, *accumulate(max(1, len(_plain(word.text))) for word in words)]
    edges = [start_ms + (end_ms - start_ms) * size // max(1, sizes[-1]) for size in sizes]
    return tuple(
        word.model_copy(update={"start_ms": edges[at], "end_ms": edges[at + 1]}) for at, word in enumerate(words)
    )


def _plain(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())
