"""Where dubs go: a folder, or a URL that a local folder stands for while a run is at work.

What a person wrote there (``STEM.*.toml``), reports and approvals are fetched first. What a run makes is put there when
a language is delivered, the report last.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from stages import manifest
from stages.deliver import Delivery
from stages.errors import DubwrightError
from stages.fetched import fetch_video
from stages.limits import LimitsConfig
from stages.remote import RemoteFolder, check_url, is_url, scheme_of
from stages.work_folder import disk_errors, locked

Place = Path | str
"""A path, or a URL of one of ``limits.url_schemes``; a path as text is a path."""

_FETCHED_ENDINGS = (".toml", ".json")
_SCRATCH = "outputs"


def is_remote(place: Place, limits: LimitsConfig) -> bool:
    """Return whether a video or an output folder is given by a URL that is allowed."""
    return isinstance(place, str) and is_url(place) and scheme_of(place) in limits.url_schemes


def local_video(place: Place, work: Path, limits: LimitsConfig, max_size_mb: float) -> tuple[Path, str | None]:
    """Return a video's file on this machine, and its URL where it is given by one.

    Raises:
        InputError: see :func:`stages.fetched.fetch_video`.
        PassingError: see there.
    """
    if not is_remote(place, limits):
        return Path(place), None
    return fetch_video(str(place), work, max_size_mb), str(place)


@contextmanager
def naming(local: Path, url: str | None) -> Iterator[None]:
    """Name in messages what a local file or folder stands for."""
    try:
        yield
    except DubwrightError as error:
        if url is not None:
            error.args = (str(error).replace(str(local), url),)
        raise


@dataclass
class Output:
    """An output folder."""

    folder: Path
    """Where a run reads and writes."""
    url: str | None = None
    """What it stands for."""
    names: frozenset[str] = frozenset()
    """What lay there at the beginning."""
    sent: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files that lie there as they lie here."""

    def shown(self, file: Path) -> str:
        """Return where one of its files lies."""
        return str(file) if self.url is None else f"{self.url}/{file.relative_to(self.folder).as_posix()}"

    def begin(self, mark: str) -> None:
        """Mark there that a job is at work.

        Raises:
            InputError: it cannot be written to.
            PassingError: it cannot be reached.
        """
        if self.url is not None:
            RemoteFolder(self.url).write(mark, b"")

    def is_begun(self, mark: str) -> bool:
        """Return whether such a job was begun, here or on another machine, and has not come to its end."""
        return mark in self.names

    def put(self) -> None:
        """Put what is new or changed there, the report of a language after its other files.

        Raises:
            InputError: it cannot be written to.
            PassingError: it cannot be reached.
        """
        if self.url is None:
            return
        place = RemoteFolder(self.url)
        files = {file.relative_to(self.folder).as_posix(): file for file in self.folder.rglob("*") if file.is_file()}
        for name in sorted(files, key=lambda name: (name.endswith(".report.json"), name.endswith(".mp4"), name)):
            digest = manifest.sha256(files[name])
            if self.sent.get(name) != digest:
                place.put(name, files[name])
                self.sent[name] = digest
        for name in self.sent.keys() - files.keys():
            place.remove(name)
            del self.sent[name]

    def end(self, mark: str, shown: tuple[str, ...] = ()) -> None:
        """Put the rest there, remove the mark, and what below the folders ``shown`` is no more."""
        if self.url is None:
            return
        self.put()
        place = RemoteFolder(self.url)
        gone = [name for name in self.names - self.sent.keys() if name.startswith(shown)] if shown else []
        for name in (*gone, mark):
            place.remove(name)

    def delivered(self, delivery: Delivery) -> Delivery:
        """Put a language's files there and return where they lie."""
        self.put()
        return delivery if self.url is None else delivery.model_copy(update={"url": self.url})


def open_output(place: Place, stem: str | None, work: Path, limits: LimitsConfig) -> Output:
    """Return an output folder; for a URL with the small files of a video's name (None: of all) that lie there.

    The local folder that stands for a URL is gone when the result is no longer held.

    Raises:
        InputError: the URL is none, or the place refuses.
        PassingError: the place cannot be reached.
        MissingEngineError: a package for it is not installed.
    """
    if not is_remote(place, limits):
        return Output(Path(place))
    url = str(place).rstrip("/")
    check_url(url, "the output folder")
    source = RemoteFolder(url)
    names = frozenset(source.names())
    with disk_errors(work):
        scratch, lock = _scratch(work / _SCRATCH)
        output = Output(scratch / "dub", url, names)
        weakref.finalize(output, _remove, scratch, lock)
        output.folder.mkdir()
        for name in names:
            of_it = "/" not in name and (stem is None or name.startswith(f"{stem}."))
            if of_it and name.endswith(_FETCHED_ENDINGS) and (content := source.read(name)) is not None:
                file = output.folder / name
                file.write_bytes(content)
                output.sent[name] = manifest.sha256(file)
    return output


def _scratch(base: Path) -> tuple[Path, IO[str]]:
    """Return a new folder and its lock, held, and remove those that killed runs left."""
    base.mkdir(parents=True, exist_ok=True)
    with locked(base / "lock"):
        for left in base.iterdir():
            if left.is_dir() and _is_left(left):
                shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(dir=base))
        lock = (made / "lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return made, lock


def _is_left(folder: Path) -> bool:
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _remove(folder: Path, lock: IO[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
