"""Where a neural network runs, at which precision, and in how large batches: what stages with such engines share.

torch is imported only when a device is looked for: nothing here makes it a dependency of the core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from stages.artifacts import Record
from stages.errors import MissingEngineError

if TYPE_CHECKING:
    import torch

_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"
"""What torch's RuntimeError names where the machine's own memory does not suffice."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class DeviceConfig(Record):
    """Where an engine runs."""

    kind: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto``: a CUDA device where torch finds one, else the processor."""
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """``auto``: float32 on the processor; bfloat16 on a CUDA device that computes in it, else float32."""


@dataclass(frozen=True)
class Device:
    """A device that is here."""

    kind: Literal["cpu", "cuda"]
    dtype: torch.dtype


def device(config: DeviceConfig, setting: str) -> Device:
    """Return the device that the settings ask for.

    Args:
        config: what they ask for.
        setting: where they do, for the message: ``"translate.device"``.

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
    if precision == "auto":
        precision = "bfloat16" if kind == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return Device(kind, getattr(torch, precision))


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
            raise MissingEngineError(
                f"{what}: the memory does not suffice even for one at a time; choose a smaller model or another device."
            )
        size = len(batch) // 2
        _emptied_cache()
    return results


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of a device, or of this machine, did not suffice."""
    torch = sys.modules.get("torch")
    on_device = torch is not None and isinstance(error, torch.OutOfMemoryError)
    return on_device or isinstance(error, MemoryError) or _CPU_OUT_OF_MEMORY in str(error)


def _emptied_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
