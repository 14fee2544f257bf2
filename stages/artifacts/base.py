"""What every record of the pipeline is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Record(BaseModel):
    """A frozen, strict record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Record):
    """What a stage returns. Paths in it are relative to the folder it was written to."""

    _folder: Path | None = PrivateAttr(default=None)
    _files_digest: str = PrivateAttr(default="")

    def at(self, folder: Path, files_digest: str = "") -> Self:
        """Return this artifact bound to ``folder``; ``files_digest`` stands for the content of its files."""
        bound = self.model_copy()
        bound._folder = folder
        bound._files_digest = files_digest
        return bound

    @property
    def folder(self) -> Path | None:
        """The folder it is bound to, of the machine that made it."""
        return self._folder

    @property
    def files_digest(self) -> str:
        """What stands for the content of its files."""
        return self._files_digest

    def file(self, relative: str) -> Path:
        """Return the absolute path of one of this artifact's files."""
        if self._folder is None:
            raise RuntimeError(f"{type(self).__name__} is not bound to a folder")
        return self._folder / relative

    @property
    def digest(self) -> str:
        """SHA-256 over the metadata and the files: what a later stage's key depends on."""
        return hashlib.sha256((self.model_dump_json() + self._files_digest).encode()).hexdigest()
