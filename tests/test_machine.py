"""How much memory and room there is, also inside a container: made control groups of both versions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from flows import machine

GB = 10**9


@pytest.fixture(autouse=True)
def _readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GB))
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=0))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def version_2(group: str, limit: str, used: int, file: int, shmem: int = 0) -> dict[str, str]:
    at = f"sys/fs/cgroup/{group}"
    return {
        f"{at}/memory.max": f"{limit}\n",
        f"{at}/memory.current": f"{used}\n",
        f"{at}/memory.stat": f"anon {used - file}\nfile {file}\nshmem {shmem}\n",
    }


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert machine.memory_bytes(tmp_path) == 8 * GB


def test_a_container_s_limit_counts_and_its_cached_files_are_free(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", **version_2("", str(3 * GB), 2 * GB, GB, shmem=GB // 2)}
    assert machine.memory_bytes(write(tmp_path, files)) == 3 * GB - 2 * GB + GB // 2


def test_the_narrowest_of_the_groups_around_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/user/app\n",
        **version_2("user", str(2 * GB), GB, 0),
        **version_2("user/app", "max", GB, 0),
    }
    assert machine.memory_bytes(write(tmp_path, files)) == GB


def test_the_machine_counts_where_the_group_may_have_more(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", **version_2("", str(64 * GB), 0, 0)}
    assert machine.memory_bytes(write(tmp_path, files)) == 8 * GB


def test_version_1_whose_path_is_the_hosts(tmp_path: Path) -> None:
    at = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n",
        f"{at}/memory.limit_in_bytes": f"{GB}\n",
        f"{at}/memory.usage_in_bytes": f"{GB // 2}\n",
        f"{at}/memory.stat": "cache 0\ntotal_cache 1000\ntotal_shmem 0\n",
    }
    assert machine.memory_bytes(write(tmp_path, files)) == GB // 2 + 1000


def test_free_swap_is_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=GB))
    assert machine.memory_bytes(tmp_path) == 9 * GB


def test_a_folder_that_is_not_there_yet_has_the_disk_of_its_parent(tmp_path: Path) -> None:
    there, yet = machine.disk(tmp_path), machine.disk(tmp_path / "a" / "b")
    assert there.device == yet.device == tmp_path.stat().st_dev
    assert not (tmp_path / "a").exists()


def test_amounts_for_people() -> None:
    assert [machine.megabytes(amount) for amount in (0, 999_600, 640 * 10**6, 2_140_000_000)] == [
        "0 MB", "1 MB", "640 MB", "2.1 GB",
    ]  # fmt: skip
