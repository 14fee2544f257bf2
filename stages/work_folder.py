"""Folders of the work folder: locked, written beside and renamed when done, complete by their manifest."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import av.error
import soundfile

from stages import manifest
from stages.errors import InputError

_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
_REFUSED_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG}
_NEARLY_FULL_BYTES = 1 << 20


@contextmanager
def scratch_of(place: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``place``, whose lock is held, to be renamed to it; else it is removed."""
    scratch = place.with_name(f".{place.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left; the lock says nobody is writing it
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def complete(place: Path, key: str) -> dict[str, Any] | None:
    """Return the manifest of a finished, undamaged folder; anything else there is removed."""
    try:
        found = manifest.parsed((place / manifest.NAME).read_bytes(), key)
    except (FileNotFoundError, NotADirectoryError):
        found = None
    if found is not None and all(_is_intact(place / name, digest) for name, digest in found["files"].items()):
        return found
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    return None


def _is_intact(file: Path, digest: str) -> bool:
    return file.is_file() and manifest.sha256(file) == digest


@contextmanager
def locked(file: Path) -> Iterator[IO[str]]:
    """Hold the ``flock`` of a file, which the kernel drops when this process dies."""
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk, however a library reports it, or one that cannot be used, into one clear line."""
    try:
        yield
    except (OSError, av.error.FFmpegError, soundfile.LibsndfileError) as error:
        number = getattr(error, "errno", None)
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free_bytes = shutil.disk_usage(existing).free
        if number in _FULL_ERRNOS or free_bytes < _NEARLY_FULL_BYTES:
            raise InputError(
                f"the disk of the work folder {folder} is full; free some space (or use --work OTHER) and run the "
                "same command again: finished stages are kept."
            ) from error
        if number in _REFUSED_ERRNOS and str(getattr(error, "filename", None) or folder).startswith(str(folder)):
            raise InputError(
                f"the work folder {folder} cannot be used as it is: {error}. See to its permissions and limits, or use "
                "--work OTHER; finished stages are kept."
            ) from error
        raise
