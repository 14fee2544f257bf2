"""Which videos' parts of the work folder a run needs: a shared ``flock`` that the kernel drops when the run dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stages import fetched
from stages.artifacts import SourceVideo
from stages.errors import InputError
from stages.media import printable
from stages.store import Store

NAME = "in-use.lock"


@contextmanager
def in_use(work: Path, video: SourceVideo) -> Iterator[None]:
    """Keep everything that the work folder holds of ``video`` for as long as a run goes on, also between its stages.

    Of videos that were fetched by URL it keeps all.

    Raises:
        InputError: the work folder cannot be written to.
    """
    folders = [Store(work, video).folder, *([] if video.url is None else [work / fetched.FOLDER])]
    with ExitStack() as held:
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                handle = held.enter_context((folder / NAME).open("a"))
            except OSError as error:
                shown = printable(work)
                raise InputError(
                    f"the work folder {shown} cannot be written to ({error.strerror}); use --work OTHER."
                ) from error
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Yield whether no run uses a video's folder; until the end of the block none begins to."""
    with (folder / NAME).open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
