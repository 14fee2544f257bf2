"""Two pretended machines share a server on PostgreSQL, an S3 bucket and a Dask cluster, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not list(Path("/usr/lib/postgresql").glob("*/bin")), reason="PostgreSQL: make cluster-tools")
def test_every_file_is_as_a_plain_run_makes_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(0o755)  # the database is another user's
    command = [sys.executable, "bench/cluster.py", "--videos", "1", "--to", "pt-BR", "pt-PT"]
    done = subprocess.run(
        [*command, "--folder", tmp_path / "cluster"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all files of 1 videos equal the plain runs'" in done.stdout
    work = [
        set(each.name for each in (tmp_path / "cluster" / name / "work").iterdir())
        for name in ("machine-1", "machine-2")
    ]
    assert all(work), "each machine did something of it"
