"""The stages of :mod:`spread_flow`, in a module that a worker can import."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from stages.artifacts import Artifact
from stages.errors import InputError, PassingError
from stages.mix import MixConfig
from stages.progress import Progress

LONG_S = 120
PATIENCE_S = 60


class Met(Artifact):
    """Who did it, and in which process."""

    name: str
    pid: int


def meet(folder: str, name: str, others: tuple[str, ...], config: MixConfig, out: Path, progress: Progress) -> Met:
    """End only when all the others have begun: one after the other they never would."""
    Path(folder, f"{name}.met").touch()
    ends_at = time.monotonic() + PATIENCE_S
    while not all(Path(folder, f"{other}.met").exists() for other in others):
        if time.monotonic() > ends_at:
            raise InputError(f"{name} is alone.")
        time.sleep(0.1)
    (out / "name.txt").write_text(name)
    return Met(name=name, pid=os.getpid())


def read_name(met: Met, config: MixConfig, out: Path, progress: Progress) -> Met:
    (out / "name.txt").write_text(met.file("name.txt").read_text())
    return Met(name=(out / "name.txt").read_text(), pid=os.getpid())


def refuse(folder: str, config: MixConfig, out: Path, progress: Progress) -> Artifact:
    with Path(folder, "tries").open("a") as tries:
        tries.write("x")
    if len(Path(folder, "tries").read_text()) < 3:
        raise PassingError("the server is busy.")
    raise InputError("nothing can be made of this.")


def long_at_first(folder: str, config: MixConfig, out: Path, progress: Progress) -> Artifact:
    if not Path(folder, "pids").exists():
        other = subprocess.Popen(["sleep", str(LONG_S)])
        Path(folder, "pids.tmp").write_text(f"{os.getpid()} {other.pid}")
        Path(folder, "pids.tmp").rename(Path(folder, "pids"))
        time.sleep(LONG_S)
    return Artifact()


def some_seconds(folder: str, name: str, config: MixConfig, out: Path, progress: Progress) -> Artifact:
    Path(folder, f"{name}.begun").touch()
    time.sleep(5)
    Path(folder, f"{name}.done").touch()
    return Artifact()


def die(config: MixConfig, out: Path, progress: Progress) -> Artifact:
    os.kill(os.getpid(), signal.SIGKILL)
    return Artifact()
