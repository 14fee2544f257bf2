"""A run that waits for a person: what is to be looked at lies in the output folder, and so does what was approved.

``<stem>.transcript.approval.json``, ``<stem>.<tag>.translation.approval.json`` and ``<stem>.<tag>.dub.approval.json``
hold what was shown and the digest of what was approved, so that whatever changes it later asks again. What is changed
by hand stands in the files that every run takes over: :mod:`stages.corrections` and :mod:`stages.edits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from flows.asked import (
    Asked,
    AskedDub,
    AskedTranscript,
    AskedTranslation,
    asked_file,
    read_asked,
    write_asked,
    write_text,
)
from flows.options import Stop
from stages.artifacts import Diarization, Media, Script, Transcript
from stages.corrections import Corrections, corrections_file, read_corrections
from stages.deliver import Delivery
from stages.edits import Edits, edits_file, read_edits
from stages.errors import DubwrightError, InputError
from stages.media import printable
from stages.pipeline import Dub
from stages.review import Written
from stages.speakers import Speakers, speakers_file, write_speakers

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Question:
    """What a person is asked to look at."""

    asked: Asked
    folder: Path
    """The output folder."""

    @property
    def look_at(self) -> Path:
        """Where it lies."""
        return self.asked.look_at(self.folder)

    @property
    def is_text(self) -> bool:
        """Whether that is a file for changes."""
        return self.asked.template() is not None

    @property
    def about(self) -> str:
        """For people: ``translation into es``."""
        return self.asked.stop if self.asked.target is None else f"{self.asked.stop} into {self.asked.target}"

    def approve(self) -> None:
        """Record that a person agrees, with what is written in the files now.

        Raises:
            InputError: it cannot be taken over, or the record cannot be written.
        """
        write_asked(self.folder, self.asked.model_copy(update={"approved": self.asked.digest(self.folder)}))


class WaitingError(DubwrightError):
    """The run goes on when a person has approved."""

    exit_code = 4

    def __init__(self, questions: Iterable[Question]) -> None:
        self.questions = tuple(questions)
        first = self.questions[0]
        of_one = f" {first.asked.stop}" + (f" --to {first.asked.target}" if first.asked.target is not None else "")
        super().__init__(
            f"{' and '.join(f'the {each.about}' for each in self.questions)} "
            f"{'waits' if len(self.questions) == 1 else 'wait'} for you: look at "
            f"{' and '.join(printable(each.look_at) for each in self.questions)}; then run: dubwright approve "
            f"{printable(first.folder)}{of_one if len(self.questions) == 1 else ''}, and the same command again."
        )


def stop(question: Question) -> None:
    """Pause a run by ending it.

    Raises:
        WaitingError: always.
    """
    raise WaitingError([question])


@dataclass(frozen=True)
class Approvals:
    """Waits for a person where that was asked for (:class:`stages.review.Review`)."""

    folder: Path
    """The output folder."""
    stem: str
    stops: tuple[Stop, ...]
    written: Written
    """What is taken over where nobody is waited for."""
    speakers: Speakers
    """The speakers as a person left them."""
    pause: Callable[[Question], None] = stop
    """Comes back when the question is approved, or does not."""

    def transcript(
        self,
        heard: Transcript,
        diarization: Diarization,
        media: Media,
        corrected: Callable[[Corrections], Transcript],
    ) -> Transcript:
        """Return the transcript that a person has approved."""
        if Stop.TRANSCRIPT not in self.stops:
            return self.written.transcript(heard, diarization, media, corrected)
        write_speakers(speakers_file(self.folder, self.stem), self.speakers, diarization)
        asked = AskedTranscript(
            stem=self.stem, heard=heard, speakers=diarization.speakers, duration_ms=media.duration_ms
        )
        return self._agreed(
            lambda: corrected(read_corrections(corrections_file(self.folder, self.stem))), lambda made: asked
        )

    def translation(self, target: str, fitted: Callable[[Edits], Script]) -> Script:
        """Return the script that a person has approved."""
        if Stop.TRANSLATION not in self.stops:
            return self.written.translation(target, fitted)
        return self._agreed(
            lambda: fitted(read_edits(edits_file(self.folder, self.stem, target))),
            lambda made: AskedTranslation(stem=self.stem, target=target, lines=made.lines),
        )

    def delivered(self, target: str, dub: Dub, deliver_into: Callable[[Path], Delivery]) -> Delivery:
        """Return the dub in the output folder, once a person has approved the one that is shown below it."""
        if Stop.DUB not in self.stops:
            return deliver_into(self.folder)
        asked = AskedDub.of(self.stem, target, dub)
        self._agreed(lambda: asked, lambda made: made, lambda: self._shown(asked, deliver_into))
        delivery = deliver_into(self.folder)
        asked.clear(self.folder)
        return delivery

    def _shown(self, asked: AskedDub, deliver_into: Callable[[Path], Delivery]) -> None:
        asked.clear(self.folder)
        asked.shown_in(self.folder).mkdir(parents=True)
        deliver_into(asked.shown_in(self.folder))

    def _agreed(
        self, make: Callable[[], ResultT], about: Callable[[ResultT], Asked], show: Callable[[], None] = lambda: None
    ) -> ResultT:
        """Return what is made, as soon as a person has approved it."""
        while True:
            made = make()
            now = about(made)
            before = read_asked(asked_file(self.folder, self.stem, now.stop, now.target))
            if before is not None and before.approved == now.digest(self.folder):
                return made
            show()
            known = None if before is None else before.template_sha256
            now = now.model_copy(update={"template_sha256": _write_template(now, known, self.folder)})
            write_asked(self.folder, now)
            self.pause(Question(now, self.folder))


def _write_template(asked: Asked, known: str | None, folder: Path) -> str | None:
    """Write the file for changes, unless a person has; return the digest of what was written, now or before."""
    template, file = asked.template(), asked.look_at(folder)
    if template is None or (file.exists() and sha256(file.read_bytes()).hexdigest() != known):
        return known
    write_text(file, template)
    return sha256(template.encode()).hexdigest()


def was_agreed(folder: Path, stem: str, target: str) -> bool:
    """Return whether something of a dub was approved: then the same command has made it, and may make it anew."""
    of_it = [(Stop.TRANSCRIPT, None), (Stop.TRANSLATION, target), (Stop.DUB, target)]
    asked = [read_asked(asked_file(folder, stem, name, tag)) for name, tag in of_it]
    return any(each is not None and each.approved is not None for each in asked)


def collected(deliveries: Iterator[Delivery]) -> tuple[list[Delivery], WaitingError | None]:
    """Return the dubs that were delivered, and what waits for a person if anything does."""
    made: list[Delivery] = []
    try:
        for each in deliveries:
            made.append(each)
    except WaitingError as error:
        return made, error
    return made, None


def approve(place: Path, stop: Stop | None, target: str | None) -> list[Question]:
    """Approve what waits.

    Args:
        place: an output folder, or the video whose output folder is ``STEM.dub`` here.
        stop: what; None: all.
        target: in which language; None: all.

    Returns:
        What was approved.

    Raises:
        InputError: nothing that was asked for waits, or what was written by hand cannot be taken over.
    """
    folder = place if place.is_dir() else Path(f"{place.stem}.dub")
    found = [read_asked(file) for file in sorted(folder.glob("*.approval.json"))]
    waiting = [
        Question(each, folder)
        for each in found
        if each is not None and (place.is_dir() or each.stem == place.stem) and each.approved != each.digest(folder)
    ]
    chosen = [each for each in waiting if stop in (None, each.asked.stop) and target in (None, each.asked.target)]
    if not chosen:
        there = "; ".join(each.about for each in waiting) or "nothing"
        raise InputError(
            f"{printable(folder)}: nothing of that waits to be approved; what waits: {there}. A run waits "
            "where translate has --approve."
        )
    for each in chosen:
        each.approve()
    return chosen
