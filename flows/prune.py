"""A disk budget for the work folder: what was not used for longest goes first, never what a run uses.

The store is a cache: a stage folder that is gone is made again when a run needs it.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ByteSize, TypeAdapter, ValidationError

from flows.in_use import unused
from stages.artifacts import Record
from stages.errors import InputError

_MANIFEST = "manifest.json"
_STAGE_DEPTHS = ("*/*/*", "*/*/*/*")
"""``VIDEO/STAGE/KEY`` and ``VIDEO/STAGE/LANGUAGE/KEY`` (:mod:`stages.store`)."""


class StageFolder(Record):
    """What one stage left: finished, or begun by a run that was killed."""

    path: Path
    video: Path
    """The folder of everything of its video."""
    lock: Path
    size_bytes: int
    used_ns: int
    """When its manifest was last read or written; most file systems note a reading only once a day. 0: not finished."""


class Pruned(Record):
    """What was done."""

    before_bytes: int
    after_bytes: int
    removed: tuple[Path, ...]
    in_use: tuple[Path, ...]
    """What would have gone, but a run uses it."""


def parse_size(text: str) -> int:
    """Return a size in bytes: ``20GB`` is 20e9, ``20GiB`` 20 * 2**30.

    Raises:
        InputError: it is no size.
    """
    try:
        return int(TypeAdapter(ByteSize).validate_python(text.replace(" ", "")))
    except ValidationError as error:
        raise InputError(f"{text!r} is no size; give for example 20GB.") from error


def prune(work: Path, keep_bytes: int) -> Pruned:
    """Remove stage folders until those that stay take at most ``keep_bytes``.

    Raises:
        InputError: there is no work folder.
    """
    if not work.is_dir():
        raise InputError(f"{work} is no folder; give the work folder with --work.")
    folders = sorted(stage_folders(work), key=lambda folder: (folder.used_ns, folder.path))
    before_bytes = left_bytes = sum(folder.size_bytes for folder in folders)
    removed, in_use = [], []
    for folder in folders:
        if left_bytes <= keep_bytes:
            break
        if _removed(folder):
            removed.append(folder.path)
            left_bytes -= folder.size_bytes
        else:
            in_use.append(folder.path)
    return Pruned(before_bytes=before_bytes, after_bytes=left_bytes, removed=tuple(removed), in_use=tuple(in_use))


def told(done: Pruned) -> str:
    """Return one line on what was done."""
    line = f"{done.before_bytes / 1e9:.2f} GB -> {done.after_bytes / 1e9:.2f} GB, {len(done.removed)} stages removed"
    return f"{line}, {len(done.in_use)} left because a run uses them." if done.in_use else f"{line}."


def stage_folders(work: Path) -> Iterator[StageFolder]:
    """Yield what the stages left in a work folder; nothing else is ever touched."""
    for depth in _STAGE_DEPTHS:
        for path in work.glob(depth):
            lock = path.with_name(f"{path.name.removeprefix('.').removesuffix('.tmp')}.lock")
            if not path.is_dir() or path.is_symlink() or not lock.is_file():
                continue
            yield StageFolder(
                path=path,
                video=work / path.relative_to(work).parts[0],
                lock=lock,
                size_bytes=_size_bytes(path),
                used_ns=_used_ns(path / _MANIFEST) if path.name == lock.stem else 0,
            )


def _used_ns(manifest: Path) -> int:
    try:
        status = manifest.stat()
    except FileNotFoundError:
        return 0
    return max(status.st_atime_ns, status.st_mtime_ns)


def _size_bytes(folder: Path) -> int:
    """Return what its files take on the disk; those that a run removes meanwhile take nothing."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def _removed(folder: StageFolder) -> bool:
    """Remove a folder unless a run uses its video or is working on it just now."""
    with unused(folder.video) as free, folder.lock.open("a") as handle:
        if not free:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            # Not finished any more, whatever comes: a folder that is half removed is nobody's result.
            (folder.path / _MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder.path)
        except OSError as error:
            raise InputError(f"{folder.path} cannot be removed ({error.strerror}); remove it as its owner.") from error
    return True
