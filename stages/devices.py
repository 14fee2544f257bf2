"""Where a neural network runs, at which precision, and in how large batches: what stages with such engines share.

torch is imported only when a device is looked for: nothing here makes it a dependency of the core.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import platformdirs

from stages.artifacts import Record
from stages.errors import MissingEngineError, PassingError

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger("stages")
_LOOK_S = 0.25
"""How often it is looked whether a GPU is free."""
_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"
"""What torch's RuntimeError names where the machine's own memory does not suffice."""
_BUSY = "busy or unavailable"
"""What CUDA says (cudaErrorDevicesUnavailable) where another program has the GPU for itself."""
_CONTEXT_BYTES = 1 << 30
"""Of a GPU's memory that torch has not reserved, what may be this process's own: CUDA's context."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class DeviceConfig(Record):
    """Where an engine runs."""

    kind: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto``: a CUDA device where torch finds one, else the processor."""
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """``auto``: float32 on the processor; bfloat16 on a CUDA device that computes in it, else float32."""


class Float32Config(DeviceConfig):
    """Where an engine runs that computes in one precision only."""

    precision: Literal["auto", "float32"] = "auto"
    """It is float32."""


@dataclass(frozen=True)
class Device:
    """A device that is here."""

    kind: Literal["cpu", "cuda"]
    dtype: torch.dtype


def device(config: DeviceConfig, setting: str, auto_on_cuda: Literal["float32", "bfloat16"] = "bfloat16") -> Device:
    """Return the device that the settings ask for.

    Args:
        config: what they ask for.
        setting: where they do, for the message: ``"translate.device"``.
        auto_on_cuda: precision ``auto`` on a CUDA device that computes in it.

    Raises:
        MissingEngineError: a CUDA device is asked for and torch finds none.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if config.kind == "cuda" and not has_cuda:
        raise MissingEngineError(
            f"{setting}.kind is cuda, and torch {torch.__version__} finds no CUDA device here; choose cpu or auto."
        )
    kind: Literal["cpu", "cuda"] = "cuda" if has_cuda and config.kind != "cpu" else "cpu"
    precision = config.precision
    if isinstance(config, Float32Config):
        precision = "float32"
    elif precision == "auto":
        precision = auto_on_cuda if kind == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return Device(kind, getattr(torch, precision))


def torch_finds_cuda() -> bool:
    """Return whether torch finds a CUDA device; False where it is not installed."""
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()


def ctranslate2_finds_cuda() -> bool:
    """Return whether CTranslate2, by which faster-whisper computes, finds a CUDA device."""
    import ctranslate2

    return ctranslate2.get_cuda_device_count() > 0


@dataclass(frozen=True)
class Turn:
    """A heavy engine's turn: on the GPU, which it must not share with more models than it is told, and in memory."""

    config: DeviceConfig | None
    """Where it runs; None: on the processor."""
    finds_cuda: Callable[[], bool]
    """Whether its library finds a CUDA device."""
    models_per_gpu: int
    """How many of all runs of this user may use the GPU at once."""
    heavy_stages: int | None
    """How many of them may be at work at once, wherever; None: any number."""
    who: str
    """For the message: ``"separate.engine demucs"``."""


def hold(turn: Turn) -> None:
    """Wait for all that a turn needs and hold it until this process ends, for its memory is not free before.

    Each thing that few may use has as many files as may use it, one of whose locks is taken: the kernel drops it when
    its holder dies. Who waits for one thing holds no other. The files lie in the user's cache folder
    (``DUBWRIGHT_LOCKS``: elsewhere).
    """
    folder = Path(os.environ.get("DUBWRIGHT_LOCKS") or Path(platformdirs.user_cache_dir("dubwright")) / "locks")
    needed: list[tuple[str, list[Path]]] = []
    if turn.heavy_stages is not None:
        files = [folder / f"heavy.{number}.lock" for number in range(turn.heavy_stages)]
        needed.append((f"memory: limits.heavy_stages is {turn.heavy_stages}", files))
    if turn.config is not None and turn.config.kind != "cpu" and turn.finds_cuda():
        gpu = re.sub(r"[^\w-]", "_", os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0])
        files = [folder / f"gpu-{gpu}.{number}.lock" for number in range(turn.models_per_gpu)]
        needed.append(("the GPU: another model uses it", files))
    if needed:
        folder.mkdir(parents=True, exist_ok=True)
    is_told = False
    while (lacking := _lacking(needed)) is not None:
        if not is_told:
            _LOG.warning("%s is waiting for %s.", turn.who, lacking)
        is_told = True
        time.sleep(_LOOK_S)


def _lacking(needed: Sequence[tuple[str, Sequence[Path]]]) -> str | None:
    """Take a lock of each thing until this process ends; where one has none that is free, take none and name it."""
    held: list[int] = []
    for what, files in needed:
        descriptor = next((found for found in map(_held, files) if found is not None), None)
        if descriptor is None:
            for each in held:
                os.close(each)
            return what
        held.append(descriptor)
    return None


def _held(file: Path) -> int | None:
    """Try to take a file's lock, without waiting for it; return the descriptor that holds it."""
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """Turn an out-of-memory error of what cannot be made smaller into one clear line.

    Args:
        what: who does what, for the message: ``"separate.engine demucs"``.

    Raises:
        MissingEngineError: the memory does not suffice.
        PassingError: other programs hold the GPU, or much of its memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if _BUSY in str(error):
            raise PassingError(f"{what}: the GPU is busy: another program uses it alone.") from None
        if not is_out_of_memory(error):
            raise
        raise _does_not_fit(what, "") from None


def in_batches(
    items: Sequence[Item], size: int, work: Callable[[Sequence[Item]], Sequence[Result]], what: str
) -> list[Result]:
    """Return the results of ``work`` on batches of the items; where the memory does not suffice, on half as large ones.

    Args:
        items: in order.
        size: how many at once, at least 1.
        work: returns one result an item.
        what: who works, for the message: ``"translate.engine nllb"``.

    Raises:
        MissingEngineError: the memory does not suffice for one item.
        PassingError: nor would it have to, for other programs hold much of the GPU's.
    """
    results: list[Result] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size]
        try:
            results += work(batch)
            continue
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler: the exception's traceback holds the tensors that did not fit.
        if len(batch) == 1:
            raise _does_not_fit(what, " even for one at a time")
        size = len(batch) // 2
        _emptied_cache()
    return results


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of a device, or of this machine, did not suffice."""
    torch = sys.modules.get("torch")
    on_device = torch is not None and isinstance(error, torch.OutOfMemoryError)
    return on_device or isinstance(error, MemoryError) or _CPU_OUT_OF_MEMORY in str(error)


def _does_not_fit(what: str, even: str) -> MissingEngineError:
    """Return the error for memory that does not suffice, by whose fault that is."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        free_bytes, all_bytes = torch.cuda.mem_get_info()
        of_others = all_bytes - free_bytes - torch.cuda.memory_reserved()
        if of_others > _CONTEXT_BYTES:
            return PassingError(
                f"{what}: the memory does not suffice{even}: other programs hold {of_others / 2**30:.1f} of the GPU's "
                f"{all_bytes / 2**30:.1f} GB; wait for them, or choose a smaller model or another device."
            )
    return MissingEngineError(f"{what}: the memory does not suffice{even}; choose a smaller model or another device.")


def _emptied_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
