"""A folder of videos, each dubbed once: which files are there to stay, which were done, and which failed and why.

What is known lies in ``OUTBOX/.dubwright/``: one record a video, named by the SHA-256 of its content, and one ``flock``
beside it, so that two sweeps at once never do the same video. The inbox is only read: a video that cannot be dubbed
stays where it is, and ``OUTBOX/failed/NAME.reason.txt`` says why in one line. Removing that file lets the next sweep
try again.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from language_packs import PackError
from stages.artifacts import Record
from stages.errors import DubwrightError, InputError, MissingEngineError
from stages.languages import normalise_tag
from stages.media import printable

_LOG = logging.getLogger("flows")
_STATE = ".dubwright"
_SEEN = "seen.json"
SUFFIXES = frozenset(
    {".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob"}
    | {".webm", ".wmv"}
)
"""What a video's file name may end in; other files of the inbox are left alone, so are hidden ones and folders."""

RecordT = TypeVar("RecordT", bound=Record)
Dub = Callable[[Path, list[str], Path], object]
"""Dubs a video into languages, into an output folder that may hold an earlier attempt."""
What = Literal["dubbed", "failed", "known", "failed before", "not settled", "elsewhere"]


class _Look(Record):
    """A file as the file system shows it."""

    size_bytes: int
    changed_ns: int
    inode: int


class _Seen(Record):
    """A file whose content is known, so that it is not read again at every sweep."""

    look: _Look
    sha256: str


class _AllSeen(Record):
    files: dict[str, _Seen] = Field(default_factory=dict)


class Entry(Record):
    """What became of a video."""

    file: str
    """Its name when it was first met."""
    place: str
    """Its output folder is ``OUTBOX/PLACE.dub``: the name without its end, and of the content if that was taken."""
    dubbed: tuple[str, ...] = ()
    """Languages that are done."""


class Outcome(Record):
    """What a sweep did with a file of the inbox."""

    file: str
    what: What
    reason: str = ""


@dataclass(frozen=True)
class Inbox:
    """A folder of videos and where their dubs go."""

    inbox: Path
    outbox: Path
    targets: tuple[str, ...]

    def sweep(self, dub: Dub, quiet_s: float) -> Iterator[Outcome]:
        """Dub every video that is there to stay and was not dubbed, and yield what became of every one.

        Stable is a file whose size and time of change stay the same for ``quiet_s`` seconds, and which nobody has open
        for writing, as far as this machine can tell.

        Raises:
            InputError: the folders cannot be used.
            MissingEngineError: a model or an engine is missing, which is no video's fault.
        """
        self._check()
        known, unsettled = self._contents(quiet_s)
        for file in unsettled:
            yield Outcome(file=printable(Path(file)), what="not settled", reason="it is still being written")
        for name, sha256 in sorted(known.items()):
            what, reason = self._do(name, sha256, dub)
            if what in ("dubbed", "failed"):
                _LOG.info("%s: %s %s", printable(Path(name)), what, reason)
            yield Outcome(file=printable(Path(name)), what=what, reason=reason)

    def _check(self) -> None:
        if not self.inbox.is_dir():
            raise InputError(f"{printable(self.inbox)} is no folder; give the folder that the videos are put into.")
        if self.inbox.resolve() == self.outbox.resolve():
            raise InputError("the inbox and the outbox are the same folder; give two.")
        if not self.targets:
            raise InputError("no target language was given.")
        try:
            self._state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{printable(self.outbox)} cannot be written to ({error.strerror}).") from error

    @property
    def _state(self) -> Path:
        return self.outbox / _STATE

    def _contents(self, quiet_s: float) -> tuple[dict[str, str], list[str]]:
        """Return the settled files with their SHA-256, and those that are not settled."""
        seen = _read(self._state / _SEEN, _AllSeen) or _AllSeen()
        looks = self._looks()
        new = {name for name, look in looks.items() if name not in seen.files or seen.files[name].look != look}
        if new:
            time.sleep(quiet_s)
        later = self._looks() if new else looks
        known, unsettled = {}, []
        for name in looks.keys() & later.keys():
            if name not in new:
                known[name] = seen.files[name]
            elif looks[name] != later[name] or is_written(self.inbox / name):
                unsettled.append(name)
            else:
                with (self.inbox / name).open("rb") as stream:
                    known[name] = _Seen(look=later[name], sha256=hashlib.file_digest(stream, "sha256").hexdigest())
        _write(self._state / _SEEN, _AllSeen(files=known))
        return {name: each.sha256 for name, each in known.items()}, sorted(unsettled)

    def _looks(self) -> dict[str, _Look]:
        looks = {}
        for file in self.inbox.iterdir():
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file():
                status = file.stat()
                looks[file.name] = _Look(size_bytes=status.st_size, changed_ns=status.st_mtime_ns, inode=status.st_ino)
        return looks

    def _do(self, name: str, sha256: str, dub: Dub) -> tuple[What, str]:
        record = self._state / f"{sha256}.json"
        with _claimed(record.with_suffix(".lock")) as mine:
            if not mine:
                return "elsewhere", "another sweep is at it"
            entry = _read(record, Entry) or self._new_entry(name, sha256)
            if not (missing := [tag for tag in self.targets if tag not in entry.dubbed]):
                return "known", entry.place
            refused = self.outbox / "failed" / f"{entry.place}{Path(entry.file).suffix}.reason.txt"
            if refused.exists():
                return "failed before", refused.read_text(encoding="utf-8").strip()
            out = self.outbox / f"{entry.place}.dub"
            try:
                dub(self.inbox / name, missing, out)
            except MissingEngineError:
                raise
            except (DubwrightError, PackError) as error:
                reason = str(error)
            except Exception as error:
                _LOG.exception("%s", printable(Path(name)))
                reason = (
                    f"unexpected {type(error).__name__}: {' '.join(str(error).split())} (its traceback is in the log)"
                )
            else:
                _write(record, entry.model_copy(update={"dubbed": (*entry.dubbed, *missing)}))
                return "dubbed", out.name
            if out.is_dir() and not any(out.iterdir()):
                out.rmdir()
            refused.parent.mkdir(exist_ok=True)
            _replace(refused, f"{' '.join(reason.split())}\n")
            return "failed", reason

    def _new_entry(self, name: str, sha256: str) -> Entry:
        """Give a video a place of its own, whatever other videos of its name there were."""
        with (self._state / "places.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            others = (_read(file, Entry) for file in self._state.glob("*.json") if file.name != _SEEN)
            taken = {other.place for other in others if other is not None}
            stem = Path(name).stem
            free = stem not in taken and not (self.outbox / f"{stem}.dub").exists()
            entry = Entry(file=name, place=stem if free else f"{stem}-{sha256[:8]}")
            _write(self._state / f"{sha256}.json", entry)
        return entry


def sweep(inbox: Path, outbox: Path, target_languages: Sequence[str], dub: Dub, quiet_s: float = 10.0) -> list[Outcome]:
    """Sweep an inbox once (:meth:`Inbox.sweep`)."""
    targets = tuple(dict.fromkeys(normalise_tag(tag) for tag in target_languages))
    return list(Inbox(inbox, outbox, targets).sweep(dub, quiet_s))


def is_written(file: Path) -> bool:
    """Return whether a process has the file open for writing, as far as can be told.

    Linux grants a read lease only on a file that nobody has open for writing (fcntl(2), F_SETLEASE). Where it grants
    none at all (another system, another user's file, a network drive) nothing can be told: False.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    with file.open("rb") as stream:
        # Who opens the file for writing in just this moment makes the kernel send us a signal: one that does nothing.
        fcntl.fcntl(stream, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


@contextmanager
def _claimed(lock: Path) -> Iterator[bool]:
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _read(file: Path, kind: type[RecordT]) -> RecordT | None:
    """Return a record; None where there is none or it is damaged: then it is found out anew."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write(file: Path, record: Record) -> None:
    _replace(file, record.model_dump_json(indent=1))


def _replace(file: Path, text: str) -> None:
    """Write a file that is whole whenever it is read."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(file)
