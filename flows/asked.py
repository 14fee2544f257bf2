"""What a person was asked to look at, as it is kept in the output folder, and the file to change it in."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from stages.artifacts import Record, ScriptLine, Transcript
from stages.corrections import corrected_lines, corrections_file, read_corrections
from stages.edits import edits_file, read_edits, taken_over
from stages.errors import InputError
from stages.media import printable
from stages.pipeline import Dub

REVIEW = "review"
"""Folder in the output folder for dubs that wait to be approved."""
_DELETE = 0x7F
"""The one sign that JSON writes as it is and TOML does not take."""
_HEAD = """\
# {title}, line by line. To change a line, take the "# " away before its [lines.N] and before what you change:
{keys}
# Every run takes this file over, and none writes to it once it was changed. When all is well: dubwright approve
"""
_TRANSCRIPT_KEYS = """\
#   text = what is said, speaker = who says it (a number of the speakers' file), start_ms and end_ms = when.
#   leave_out = true   add this line where nothing is to be dubbed: there the original is heard."""
_TRANSLATION_KEYS = """\
#   text = what will be said, as it is written here."""


class AskedTranscript(Record):
    """What was heard."""

    stop: Literal["transcript"] = "transcript"
    stem: str
    target: None = None
    heard: Transcript
    """Without corrections."""
    speakers: tuple[str, ...]
    duration_ms: int
    template_sha256: str | None = None
    """Of the file for changes as it was written last: while that is what lies there, nobody has changed it."""
    approved: str | None = None
    """Digest of what a person agreed to; None: nobody has."""

    def look_at(self, folder: Path) -> Path:
        """Return the file to look at and to change."""
        return corrections_file(folder, self.stem)

    def digest(self, folder: Path) -> str:
        """Return the digest of the transcript with the corrections that are written now.

        Raises:
            InputError: they cannot be taken over.
        """
        corrections = read_corrections(self.look_at(folder))
        lines = corrected_lines(self.heard, self.speakers, self.duration_ms, corrections)["lines"]
        return _digest([line.model_dump(mode="json", exclude={"words"}) for line in lines])

    def template(self) -> str | None:
        """Return the file for changes, with nothing changed."""
        return _HEAD.format(title="What was heard", keys=_TRANSCRIPT_KEYS) + "".join(
            f"\n# [lines.{line.id}]\n# text = {_quoted(line.text)}\n# speaker = {_quoted(line.speaker)}\n"
            f"# start_ms = {line.start_ms}\n# end_ms = {line.end_ms}\n"
            for line in self.heard.lines
        )


class AskedTranslation(Record):
    """What will be said."""

    stop: Literal["translation"] = "translation"
    stem: str
    target: str
    lines: tuple[ScriptLine, ...]
    """With the edits that there were."""
    template_sha256: str | None = None
    approved: str | None = None

    def look_at(self, folder: Path) -> Path:
        """Return the file to look at and to change."""
        return edits_file(folder, self.stem, self.target)

    def digest(self, folder: Path) -> str:
        """Return the digest of the lines with the edits that are written now.

        Raises:
            InputError: they cannot be taken over.
        """
        edits = read_edits(self.look_at(folder))
        edits.check([line.id for line in self.lines])
        texts = edits.texts()
        lines = [taken_over(line, texts[line.id]) if line.id in texts else line for line in self.lines]
        said = {"id", "speaker", "start_ms", "end_ms", "source_text", "text"}
        return _digest([line.model_dump(mode="json", include=said) for line in lines])

    def template(self) -> str | None:
        """Return the file for changes, with nothing changed."""
        return _HEAD.format(title="What will be said", keys=_TRANSLATION_KEYS) + "".join(
            f"\n# [lines.{line.id}]  # {line.speaker}, {line.start_ms / 1000:.1f}-{line.end_ms / 1000:.1f} s: "
            f"{_quoted(line.source_text)}\n# text = {_quoted(line.text)}\n"
            + "".join(f"#   look at this: {_quoted(flag)}\n" for flag in line.flags)
            for line in self.lines
        )


class AskedDub(Record):
    """What is to be delivered."""

    stop: Literal["dub"] = "dub"
    stem: str
    target: str
    made: str
    """Digest of picture and sound."""
    template_sha256: None = None
    approved: str | None = None

    @classmethod
    def of(cls, stem: str, target: str, dub: Dub) -> Self:
        """Return the question about a dub."""
        parts = dub.script, dub.speech, dub.picture, dub.mixdown
        return cls(stem=stem, target=target, made=_digest([part.digest for part in parts]))

    def look_at(self, folder: Path) -> Path:
        """Return the video to look at."""
        return self.shown_in(folder) / f"{self.stem}.{self.target}.mp4"

    def shown_in(self, folder: Path) -> Path:
        """Return where the dub lies until it is approved."""
        return folder / REVIEW / self.target

    def clear(self, folder: Path) -> None:
        """Remove what was shown."""
        shutil.rmtree(self.shown_in(folder), ignore_errors=True)
        preview = folder / REVIEW
        if preview.is_dir() and not any(preview.iterdir()):
            preview.rmdir()

    def digest(self, folder: Path) -> str:
        """Return the digest of what was made; edits that came later are in another dub."""
        return self.made

    def template(self) -> str | None:
        """Return None: a dub is changed by its edits."""
        return None


Asked = AskedTranscript | AskedTranslation | AskedDub
_ADAPTER: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="stop")])


def asked_file(folder: Path, stem: str, stop: str, target: str | None) -> Path:
    """Return where a question is kept."""
    return folder / ".".join([stem, *([] if target is None else [target]), stop, "approval", "json"])


def read_asked(file: Path) -> Asked | None:
    """Return the question in a file; None where there is none.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return _ADAPTER.validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{printable(file)} cannot be read ({error.__class__.__name__}); remove it, and translate asks again."
        ) from None


def write_asked(folder: Path, asked: Asked) -> None:
    """Keep a question in the output folder.

    Raises:
        InputError: it cannot be written.
    """
    write_text(asked_file(folder, asked.stem, asked.stop, asked.target), asked.model_dump_json(indent=1) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file whole, or not at all.

    Raises:
        InputError: it cannot be written.
    """
    scratch = file.with_name(f".{file.name}.tmp")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(file)
    except OSError as error:
        raise InputError(f"{printable(file)} cannot be written ({error.strerror}); make room for it.") from error


def _digest(content: object) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _quoted(text: str) -> str:
    """Return a text as TOML's basic string, which is JSON's but for one sign."""
    return json.dumps(text, ensure_ascii=False).replace(chr(_DELETE), f"\\u{_DELETE:04x}")
