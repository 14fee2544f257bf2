"""Who the speakers are: ``<stem>.speakers.toml`` in the output folder, written by the first run and kept once edited.

.. code-block:: toml

    [speakers.S2]
    name = "Anna"

A speaker is known again by the voice: the file holds the unit vector of each, so a name stays with its voice where
another diarization numbers them otherwise.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, Field, ValidationError, field_validator

from stages.artifacts import Diarization, Record, Turn
from stages.diarize import DiarizeConfig
from stages.errors import InputError
from stages.media import printable
from stages.progress import Progress

VERSION = 1
_LONGEST_NAME = 60
_DIMENSIONS = 256
_STEPS = 255
_ID = re.compile(r"S[1-9][0-9]{0,3}")
_HEAD = """\
# The speakers that were found, by their voices. Edit what is said here; the next translate takes it over. As long as
# nobody has changed this file every run writes it anew; after that only speakers that are new are added at its end.
#   name = "Anna"    shown instead of the number; nothing is made anew for it.
#   same_as = "S1"   add this line where two entries are one person; what depends on it is made anew.
# first_heard_s and speech_s tell where to listen; the voice is what a speaker is known by in later runs: leave it.
# Too many or too few people: run translate again with --speakers N.
"""


class Speaker(Record):
    """One entry of the file."""

    model_config = ConfigDict(strict=True)

    name: str = ""
    """Shown for the speaker; empty: the number is."""
    same_as: str | None = None
    """Number of the speaker who is the same person."""
    first_heard_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    speech_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    voice: str
    """Base64 of the speaker's unit vector, 256 values from 0 (as 0) to its largest (as 255)."""

    @field_validator("name")
    @classmethod
    def _is_one_line(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("a name is one line without control characters")
        if len(name) > _LONGEST_NAME:
            raise ValueError(f"a name has at most {_LONGEST_NAME} characters")
        return " ".join(name.split())

    @field_validator("voice")
    @classmethod
    def _is_a_vector(cls, voice: str) -> str:
        try:
            steps = base64.b64decode(voice, validate=True)
        except (binascii.Error, ValueError):
            steps = b""
        if len(steps) != _DIMENSIONS or not any(steps):
            raise ValueError("the voice is damaged; put it back as it was written, or remove the speaker's entry")
        return voice

    def vector(self) -> np.ndarray:
        """Return the voice's unit vector, float32 (256,)."""
        steps = np.frombuffer(base64.b64decode(self.voice), np.uint8).astype(np.float32)
        return steps / np.linalg.norm(steps)


class Speakers(Record):
    """The speakers of one video as a person left them; none where nobody has edited the file."""

    speakers: dict[str, Speaker] = Field(default_factory=dict)
    """By number, ``S1`` ..."""

    @property
    def digest(self) -> str:
        """What the key of a stage that takes them depends on: voices and who is the same, not the names."""
        return json.dumps({number: (each.voice, each.same_as) for number, each in self.speakers.items()})

    def name(self, number: str) -> str:
        """Return what a speaker is called: the name, else the number."""
        known = self.speakers.get(number)
        return known.name if known is not None and known.name else number

    def merged(self) -> dict[str, str]:
        """Return, for each speaker who is the same as another, the number that stands for both."""
        return {number: self._root(number) for number, each in self.speakers.items() if each.same_as is not None}

    def _root(self, number: str) -> str:
        same_as = self.speakers[number].same_as
        return number if same_as is None else self._root(same_as)


class _SpeakersFile(Record):
    speakers: dict[str, Speaker] = Field(default_factory=dict)


def speakers_file(folder: Path, stem: str) -> Path:
    """Return where the speakers of a video are written and looked for."""
    return folder / f"{stem}.speakers.toml"


def read_speakers(file: Path) -> Speakers:
    """Return the speakers in a file that a person has edited; none where there is no file or nobody has.

    Raises:
        InputError: it cannot be read, is not TOML, or says what cannot be done.
    """
    text = _text(file)
    if text is None:
        return Speakers()
    found = _parsed(text, printable(file))
    untouched = {number: each.model_copy(update={"name": "", "same_as": None}) for number, each in found.items()}
    return Speakers() if text == _HEAD + _entries(untouched) else Speakers(speakers=found)


def write_speakers(file: Path, known: Speakers, diarization: Diarization) -> None:
    """Write the speakers of a diarization that :func:`identify` made; to an edited file only new ones are added.

    Raises:
        InputError: the file cannot be written.
    """
    fresh: dict[str, Speaker] = {}
    with np.load(diarization.file(diarization.embeddings)) as vectors:
        for number in diarization.speakers:
            if number not in known.speakers:
                own = [turn for turn in diarization.turns if turn.speaker == number]
                fresh[number] = Speaker(
                    first_heard_s=round(own[0].start_ms / 1000, 1),
                    speech_s=round(sum(turn.end_ms - turn.start_ms for turn in own) / 1000, 1),
                    voice=_encoded(vectors[number]),
                )
    if known.speakers and not fresh:
        return
    before = _HEAD
    if known.speakers:
        before = _text(file) or _HEAD
        before += "" if before.endswith("\n") else "\n"
    scratch = file.with_name(f".{file.name}.tmp")
    try:
        scratch.write_text(before + _entries(fresh), encoding="utf-8")
        scratch.replace(file)
    except OSError as error:
        raise InputError(f"{printable(file)} cannot be written ({error.strerror}); make room for it.") from error


def identify(
    diarization: Diarization, known: Speakers, config: DiarizeConfig, out: Path, progress: Progress
) -> Diarization:
    """Give the speakers of a diarization the numbers that they are known by, and join those who are one person.

    A known speaker is who is likest in the assignment with the highest sum of cosines, if at least
    ``config.same_voice``; the others get the lowest free numbers.

    Args:
        diarization: of :func:`stages.diarize.diarize`.
        known: from the file; none leaves everything as it is.
        config: see :class:`stages.diarize.DiarizeConfig`.
        out: folder to write ``embeddings.npz`` to.
        progress: told when it is done.
    """
    with np.load(diarization.file(diarization.embeddings)) as stored:
        vectors = {number: stored[number] for number in diarization.speakers}
    numbers = _numbers(vectors, known.speakers, config.same_voice)
    merged = known.merged()
    who = {number: merged.get(own, own) for number, own in numbers.items()}
    turns = tuple(turn.model_copy(update={"speaker": who[turn.speaker]}) for turn in diarization.turns)
    speakers = tuple(dict.fromkeys(who[turn.speaker] for turn in diarization.turns))
    embeddings = {
        speaker: _joined([number for number in vectors if who[number] == speaker], vectors, diarization.turns)
        for speaker in speakers
    }
    np.savez(out / diarization.embeddings, allow_pickle=False, **embeddings)
    progress(1.0)
    return Diarization(turns=turns, speakers=speakers)


def _numbers(vectors: Mapping[str, np.ndarray], known: Mapping[str, Speaker], same_voice: float) -> dict[str, str]:
    """Return the number that each speaker is known by."""
    from scipy.optimize import linear_sum_assignment

    found: dict[str, str] = {}
    if known and vectors:
        likeness = np.stack(list(vectors.values())) @ np.stack([each.vector() for each in known.values()]).T
        for row, column in zip(*linear_sum_assignment(-likeness), strict=True):
            if likeness[row, column] >= same_voice:
                found[list(vectors)[row]] = list(known)[column]
    free = (f"S{number}" for number in range(1, len(vectors) + len(known) + 1) if f"S{number}" not in known)
    return {number: found[number] if number in found else next(free) for number in vectors}


def _joined(numbers: Sequence[str], vectors: Mapping[str, np.ndarray], turns: Sequence[Turn]) -> np.ndarray:
    """Return the unit vector of speakers who are one person, each weighed by the time of speech."""
    if len(numbers) == 1:
        return vectors[numbers[0]]
    times_ms = [sum(turn.end_ms - turn.start_ms for turn in turns if turn.speaker == number) for number in numbers]
    total = np.average([vectors[number] for number in numbers], axis=0, weights=times_ms)
    return (total / np.linalg.norm(total)).astype(np.float32)


def _encoded(vector: np.ndarray) -> str:
    # The network ends in a ReLU: no value is below 0.
    return base64.b64encode(np.rint(vector / vector.max() * _STEPS).astype(np.uint8).tobytes()).decode()


def _entries(speakers: Mapping[str, Speaker]) -> str:
    return "".join(
        f'\n[speakers.{number}]\nname = ""\nfirst_heard_s = {each.first_heard_s:.1f}\nspeech_s = {each.speech_s:.1f}\n'
        f'voice = "{each.voice}"\n'
        for number, each in speakers.items()
    )


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{printable(file)} cannot be read ({error.__class__.__name__}); it must be a UTF-8 text file."
        ) from error


def _parsed(text: str, shown: str) -> dict[str, Speaker]:
    try:
        found = _SpeakersFile.model_validate(tomllib.loads(text)).speakers
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{shown}: {place}: {_reason(first['type'], first['msg'])}.") from error
    except (ValueError, RecursionError) as error:  # the latter: brackets in brackets in ...
        raise InputError(
            f'{shown} is not TOML: {error}. Write for example name = "Anna" below [speakers.S1].'
        ) from error
    for number, each in found.items():
        if not _ID.fullmatch(number):
            raise InputError(f"{shown}: speakers.{printable(Path(number))}: speakers are called S1, S2, ...")
        path = [number]
        while (same_as := found[path[-1]].same_as) is not None:
            if same_as not in found:
                raise InputError(
                    f"{shown}: speakers.{path[-1]}.same_as: there is no speaker {printable(Path(same_as))}; there are: "
                    f"{', '.join(found)}."
                )
            if same_as in path:
                raise InputError(f"{shown}: speakers.{number}.same_as: leads back to {same_as}; remove one same_as.")
            path.append(same_as)
        if each.same_as is not None and each.name:
            raise InputError(f"{shown}: speakers.{number}: has a name and same_as; write the name at {path[-1]} only.")
        twins = [other for other in found if other < number and each.name and found[other].name == each.name]
        if twins:
            raise InputError(
                f"{shown}: {twins[0]} and {number} are both called {each.name}; if they are one person, write same_as "
                f'= "{twins[0]}" at {number} instead of the name.'
            )
    return found


def _reason(kind: str, message: str) -> str:
    known = {
        "extra_forbidden": 'there is no such key; what can be said is name = "..." and same_as = "..."',
        "missing": "is missing; put it back as it was written, or remove the speaker's entry",
        "string_type": 'must be text in quotes, for example "Anna"',
    }
    return known.get(kind, message.removeprefix("Value error, "))
