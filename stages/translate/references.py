"""What a user gives the translator beside the speech: read and checked before any work, an input by content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from stages.artifacts import Record
from stages.translate.glossary import Glossary, read_glossary
from stages.translate.memory import Memory, check_memories, read_memory


class References(Record):
    """What a translation into one language is to keep to."""

    glossary: Glossary = Glossary()
    memory: Memory = Memory()
    bound: tuple[str, ...] = ()
    """Words of the target language that belong to the next one: no line ends with one."""
    phones_per_second: float | None = None
    """Typical rate of speech in the target language: how much fits into a line's time."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that they say."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def check_references(
    glossary: Path | None, memories: Sequence[Path], source: str | None, targets: Sequence[str]
) -> None:
    """Check the user's files for a run; ``source`` None: the language of the speech is not known yet.

    Raises:
        InputError: a file cannot be read or does not serve the languages.
    """
    if glossary is not None:
        read_glossary(glossary, targets)
    check_memories(memories, source, targets)


def read_references(
    glossary: Path | None,
    memories: Sequence[Path],
    source: str,
    target: str,
    bound: Sequence[str],
    phones_per_second: float | None = None,
) -> References:
    """Return what the user's files say for one pair of languages.

    Args:
        glossary: a CSV file.
        memories: TMX or XLIFF files; of several translations of a text the last one counts.
        source: language of the speech.
        target: language of the translation.
        bound: words of the target language that belong to the next one.
        phones_per_second: typical rate of speech in the target language.

    Raises:
        InputError: a file cannot be read.
    """
    return References(
        glossary=Glossary() if glossary is None else read_glossary(glossary, (target,))[target],
        memory=read_memory(memories, source, target),
        bound=tuple(bound),
        phones_per_second=phones_per_second,
    )
