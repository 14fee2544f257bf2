"""What the engines that run in torch share: where they run, and reading weights that cannot run code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.devices import device
from stages.errors import MissingEngineError
from stages.synthesize.config import SynthesizeConfig


def device_of(config: SynthesizeConfig) -> str:
    """Return torch's name of the device.

    Raises:
        MissingEngineError: there is no such device.
    """
    return device(config.device, "synthesize.device").kind


def file_of(folder: Path, name: str, title: str) -> Path:
    """Return a file of a model's folder.

    Raises:
        MissingEngineError: it is not there.
    """
    if not (folder / name).is_file():
        beside = sorted(file.name for file in folder.iterdir() if file.suffix in (".bin", ".ckpt", ".pt", ".pth"))
        pickled = f" ({', '.join(beside)}: a pickle, which is not read)" if beside else ""
        raise MissingEngineError(f"{folder} is no model of {title}: it holds no {name}{pickled}.")
    return folder / name


@contextmanager
def seeded(seed: int, where: str) -> Iterator[None]:
    """Let torch draw the same numbers for the same seed, and leave the numbers of others alone."""
    import torch

    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if where == "cuda" else []):
        torch.manual_seed(seed)
        yield
