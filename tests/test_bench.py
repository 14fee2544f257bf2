"""The benchmarks are not run by the tests; but what they take from the project must be there."""

from __future__ import annotations

import importlib

import pytest
from conftest import ROOT


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "bench").glob("*.py")))
def test_a_benchmark_finds_what_it_needs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    importlib.import_module(f"bench.{name}")  # raises where something was moved or renamed
