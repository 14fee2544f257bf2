"""Videos that are given by URL, fetched once into the work folder.

``<work>/fetched/video/<key12>/NAME``, complete by its manifest like a stage's folder, so that ``prune`` removes it like
one. The key stands for the URL, the size and the ETag: what is put there later under the same name is fetched anew.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from stages import manifest
from stages.errors import InputError, PassingError
from stages.hostile import check_limit, printable
from stages.remote import RemoteFolder, check_url
from stages.work_folder import complete, disk_errors, locked, scratch_of

FOLDER = "fetched"
"""In the work folder."""


def fetch_video(url: str, work: Path, max_size_mb: float | None = None) -> Path:
    """Return the file of a URL, on this machine: whole, or not at all.

    Raises:
        InputError: there is no such file, it is larger than ``max_size_mb``, or the place refuses.
        PassingError: the place cannot be reached, or the file was changed meanwhile.
        MissingEngineError: a package for it is not installed.
    """
    check_url(url, "the video")
    root, _, name = url.rpartition("/")
    source = RemoteFolder(root)
    found = source.size_and_mark(name) if name else None
    if found is None:
        raise InputError(f"{printable(url)}: no such file. Check the name and the bucket.")
    size_bytes, mark = found
    if size_bytes == 0:
        raise InputError(f"{printable(url)} is empty (0 bytes); copy it again from where it came from.")
    if max_size_mb is not None:
        check_limit(url, "MB", size_bytes / 1e6, "size_mb", max_size_mb)
    key = manifest.digest([url, size_bytes, mark])
    place = work / FOLDER / "video" / key[:12]
    with disk_errors(work):
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.with_name(f"{place.name}.lock")):
            if complete(place, key) is None:
                with scratch_of(place) as scratch:
                    fetched_bytes = _fetch(source, name, scratch / name)
                    if fetched_bytes != size_bytes or source.size_and_mark(name) != found:
                        raise PassingError(f"{printable(url)} was changed while it was fetched; run it again.")
                    manifest.write(scratch, {"key": key, "url": url})
                    scratch.rename(place)
    return place / name


def _fetch(source: RemoteFolder, name: str, file: Path) -> int:
    """Return how many bytes were written; a file that is removed meanwhile has fewer than it had."""
    with file.open("wb") as out, suppress(FileNotFoundError):
        for block in source.blocks(name):
            out.write(block)
    return file.stat().st_size
