"""What the command shows while it works: bars on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flows.job import Watch
from stages.progress import Progress as Tell
from stages.store import Stage


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """Yield a watcher for the duration of a run."""
    if not console.is_terminal:
        yield lambda stage, language: _line(console, _label(stage, language))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:

        def watch(stage: Stage, language: str | None) -> Tell:
            bar = bars.add_task(_label(stage, language), total=1.0)
            return lambda share_done: bars.update(bar, completed=share_done)

        yield watch


def _label(stage: Stage, language: str | None) -> str:
    return f"{stage.title} ({language})" if language else stage.title


def _line(console: Console, label: str) -> Tell:
    started, done = time.monotonic(), False

    def tell(share_done: float) -> None:
        nonlocal done
        if share_done >= 1.0 and not done:
            done = True
            console.print(f"{label}: {time.monotonic() - started:.1f} s", highlight=False)

    return tell
