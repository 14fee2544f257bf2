"""What a process of its own costs and gives back: ``python -m bench.processes``.

Demucs, as large as the public ``htdemucs`` but with random weights, separates 12 s of noise through the store: in the
process of the run, and in one of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages import child, engines, pipeline, sound
from stages.artifacts import Media, Record, SourceVideo
from stages.progress import silent
from stages.separate import DemucsConfig, SeparateConfig
from stages.store import Store

_MEGABYTE = 1 << 20
_SECONDS = 12
_SEGMENT_S = 7.8


def main() -> None:
    """Print seconds and memory of both ways."""
    from bench.processes import nothing  # a child knows no functions of __main__

    print(f"an empty child process: {seconds_of(lambda: child.run(nothing, (), silent, 'nothing')):.2f} s")
    with tempfile.TemporaryDirectory() as name:
        random_model(Path(name))
        for where in ("run", "child"):
            subprocess.run([sys.executable, "-m", "bench.processes", where, name], check=True)


def nothing(_progress: object) -> Record:
    """Do nothing."""
    return Record()


def random_model(folder: Path) -> None:
    """Write a Demucs of the public size, and the noise, to a folder."""
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    arguments = {"sources": ["drums", "bass", "other", "vocals"], "channels": 48, "depth": 4, "bottom_channels": 512,
                 "t_layers": 5, "t_heads": 8, "segment": _SEGMENT_S, "samplerate": 44_100}  # fmt: skip
    weights = {key: value.contiguous() for key, value in HTDemucs(**arguments).state_dict().items()}
    told = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(arguments)}
    save_file(weights, folder / "random.safetensors", told)
    (folder / "large.yaml").write_text("models: [random]\n")
    noise = np.random.default_rng(0).normal(0, 0.1, (_SECONDS * sound.SAMPLE_RATE_HZ, 2))
    sound.write(folder / "mix.wav", noise, sound.SAMPLE_RATE_HZ)


def measure(where: str, folder: Path) -> None:
    """Print the figures of one way, in a fresh process."""
    if where == "run":
        engines.Engine.needs_own_process = lambda _self, _config: False
    media = Media.model_construct(mix="mix.wav").at(folder)
    store = Store(folder / where, SourceVideo(path=folder / "none.mp4", sha256="0" * 64))
    config = SeparateConfig(engine="demucs", demucs=DemucsConfig(model=str(folder)))
    before = memory("VmRSS")
    seconds = seconds_of(lambda: store.run(pipeline.SEPARATE, (media,), config, None, silent))
    # The peak is not ru_maxrss, which a process inherits from the one that started it.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / _MEGABYTE
    print(
        f"in the {where:<5}: {seconds:5.1f} s; memory of the run {before:.0f} MB before, "
        f"{memory('VmHWM'):.0f} at most, {memory('VmRSS'):.0f} after; of its children {children:.0f} at most",
        flush=True,
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def memory(what: str) -> float:
    """Return a figure of this process' memory in megabytes (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024 / _MEGABYTE


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        measure(sys.argv[1], Path(sys.argv[2]))
