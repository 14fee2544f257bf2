"""One store that many machines share: stage folders under a URL, beside every machine's own work folder.

``<url>/<video sha12>/<stage>/[<language>/]<key12>/`` holds what the work folder holds under that name. The manifest is
written last, so that a killed upload is never seen as complete; every file is checked against it when it is fetched.
There is no lock: one that a killed machine holds would stay. Two machines that make a stage at once make equal files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import manifest
from stages.remote import RemoteFolder, check_url

_MARK = "dubwright-store"
_MARKED = b"Stages that dubwright has finished. Any of them may be removed: it is made again.\n"


@dataclass(frozen=True)
class SharedStore:
    """A place that finished stage folders are fetched from and put to; see :class:`stages.remote.RemoteFolder`."""

    url: str

    @property
    def _root(self) -> RemoteFolder:
        return RemoteFolder(self.url)

    def has(self, name: str) -> bool:
        """Return whether a folder is there and was put there to its end."""
        return self._root.size_and_mark(f"{name}/{manifest.NAME}") is not None

    def put(self, name: str, folder: Path, made: dict[str, Any]) -> None:
        """Put a finished folder there, with its manifest ``made``."""
        for file in made["files"]:
            self._root.put(f"{name}/{file}", folder / file)
        self._root.put(f"{name}/{manifest.NAME}", folder / manifest.NAME)

    def fetch(self, name: str, key: str, folder: Path) -> dict[str, Any] | None:
        """Fetch a folder into an empty one and return its manifest; None where it is not there, or not whole.

        ``key`` is the stage's key or its beginning.
        """
        text = self._root.read(f"{name}/{manifest.NAME}")
        found = None if text is None else manifest.parsed(text, key)
        if text is None or found is None:
            return None
        for file, digest in found["files"].items():
            if not self._fetched(f"{name}/{file}", folder / file, digest):
                return None
        (folder / manifest.NAME).write_bytes(text)
        return found

    def _fetched(self, name: str, file: Path, digest: str) -> bool:
        file.parent.mkdir(parents=True, exist_ok=True)
        content = hashlib.sha256()
        try:
            with file.open("wb") as out:
                for block in self._root.blocks(name):
                    content.update(block)
                    out.write(block)
        except FileNotFoundError:
            return False
        return content.hexdigest() == digest


def open_shared(url: str | None) -> SharedStore | None:
    """Return the shared store of the setting; None where there is none."""
    return None if url is None else SharedStore(url.rstrip("/"))


def check_shared(url: str | None) -> None:
    """Check that the shared store of the setting, if there is one, can be read and written, before any work.

    Raises:
        InputError: it cannot be, or is no such URL.
        PassingError: it cannot be reached.
        MissingEngineError: a package for it is not installed.
    """
    if url is not None:
        check_url(url, "setting shared_store")
        place = RemoteFolder(url.rstrip("/"))
        place.write(_MARK, _MARKED)
        place.read(_MARK)
