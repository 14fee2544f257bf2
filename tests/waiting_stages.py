"""The stages of :mod:`waiting_flow`, in a module that a child process can import."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from stages.artifacts import Artifact, Script, ScriptLine
from stages.edits import Edits, taken_over
from stages.errors import PassingError
from stages.mix import MixConfig
from stages.progress import Progress

SLOW_S = 120


def script(edits: Edits, config: MixConfig, out: Path, progress: Progress) -> Script:
    line = ScriptLine(id=1, speaker="S1", start_ms=0, end_ms=900, source_text="A line.", text="Uma linha.")
    made = taken_over(line, edits.texts()[1]) if 1 in edits.lines else line
    return Script(source="en", target="pt-BR", route=("x",), lines=(made,))


def busy_twice(folder: str, config: MixConfig, out: Path, progress: Progress) -> Artifact:
    with Path(folder, "tries").open("a") as tries:
        tries.write("x")
    if len(Path(folder, "tries").read_text()) < 3:
        raise PassingError("the server is busy.")
    return Artifact()


def slow_at_first(folder: str, config: MixConfig, out: Path, progress: Progress) -> Artifact:
    if not Path(folder, "pids").exists():
        other = subprocess.Popen(["sleep", str(SLOW_S)])
        (out / "half.txt").write_text("half")
        Path(folder, "pids.tmp").write_text(f"{other.pid}")
        Path(folder, "pids.tmp").rename(Path(folder, "pids"))
        time.sleep(SLOW_S)
    (out / "whole.txt").write_text("whole")
    return Artifact()
