"""What was heard in the source: who speaks when, and which words."""

from __future__ import annotations

from stages.artifacts.base import Artifact, Record


class Turn(Record):
    """One speaker's stretch of speech."""

    speaker: str
    start_ms: int
    end_ms: int


class Diarization(Artifact):
    """Who spoke when. Speakers are named ``S1``, ``S2`` ... in order of first appearance."""

    turns: tuple[Turn, ...]
    speakers: tuple[str, ...]
    embeddings: str = "embeddings.npz"
    """One float32 (256,) unit vector per speaker name."""


class Word(Record):
    """One recognised word with its times."""

    text: str
    start_ms: int
    end_ms: int
    probability: float


class Line(Record):
    """A sentence (or part of one) by one speaker: the unit that is translated, spoken and reported."""

    id: int
    speaker: str
    start_ms: int
    end_ms: int
    text: str
    words: tuple[Word, ...]


class Unprocessed(Record):
    """A stretch that was left as it is, and why."""

    start_ms: int
    end_ms: int
    reason: str


class Transcript(Artifact):
    """What was said, in the source language. Line ids count from 1."""

    language: str
    """BCP-47 tag of the source language."""
    language_probability: float
    """1.0 when the user named the language."""
    lines: tuple[Line, ...]
    unprocessed: tuple[Unprocessed, ...]
