"""What this machine has free: memory and room on its disks."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path("/")


@dataclass(frozen=True)
class _Limits:
    """How one version of Linux's control groups writes down the memory of a group."""

    mount: str
    limit: str
    used: str
    cached: tuple[str, str]
    """Keys of ``memory.stat``: the files that are cached, and what of these is shared memory and stays."""


_VERSION_1 = _Limits(
    "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_cache", "total_shmem")
)
_VERSION_2 = _Limits("sys/fs/cgroup", "memory.max", "memory.current", ("file", "shmem"))
"""https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html beside it."""


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes(root: Path = _ROOT) -> int:
    """Return how much memory can be had: the machine's or the container's, whichever is less, and free swap.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    free = min([psutil.virtual_memory().available, *_left_by_groups(root)])
    return max(0, free) + psutil.swap_memory().free


def _left_by_groups(root: Path) -> list[int]:
    """Return what every control group that this process is in leaves; empty where there are no limits."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        limits = _VERSION_1 if controllers else _VERSION_2
        mount, group = root / limits.mount, Path(path.lstrip("/"))
        # In a container the path is often the host's, and the group itself lies at the mount.
        left += [found for part in (group, *group.parents) if (found := _left(mount / part, limits)) is not None]
    return left


def _left(group: Path, limits: _Limits) -> int | None:
    """Return what one group leaves; None where it has no limit."""
    try:
        limit = (group / limits.limit).read_text(encoding="utf-8").strip()
        if limit == "max":
            return None
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        used = int((group / limits.used).read_text(encoding="utf-8"))
    except OSError:  # the root group has no limit; a group of the host is not seen from a container
        return None
    cached, shared = (int(stat.get(key, 0)) for key in limits.cached)
    return int(limit) - used + cached - shared


@dataclass(frozen=True)
class Disk:
    """The file system that a folder is, or will be, on."""

    device: int
    """Equal for folders that share it."""
    free_bytes: int


def disk(folder: Path) -> Disk:
    """Return the disk of a folder that need not be there yet."""
    folder = folder.absolute()
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    return Disk(existing.stat().st_dev, shutil.disk_usage(existing).free)


def megabytes(amount_bytes: int) -> str:
    """Return an amount for people: ``"640 MB"``, ``"2.1 GB"`` (decimal units, as disks are sold)."""
    return f"{amount_bytes / 1e9:.1f} GB" if amount_bytes >= 1e9 else f"{amount_bytes / 1e6:.0f} MB"
