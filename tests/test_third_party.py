"""Every pinned package is listed with a licence, and no pin names a registry."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

from stages import models

PINS = ("constraints.txt", "constraints-torchaudio.txt")


@pytest.mark.parametrize("file", PINS)
def test_every_package_has_its_licence(file: str) -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", (ROOT / "THIRD_PARTY.md").read_text(), re.MULTILINE)
    listed = {(name, version): licence.strip() for name, version, licence in rows}
    pins = re.findall(r"^([^#=\s]+)==(\S+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert len(pins) > 40
    assert all(listed[pin] for pin in pins)


def test_every_weight_has_its_licence() -> None:
    text = (ROOT / "THIRD_PARTY.md").read_text()
    assert all(f"| {name} |" in text for name in models.catalogue())


@pytest.mark.parametrize("file", PINS)
def test_no_pin_names_a_registry(file: str) -> None:
    assert not re.search(r"https?://|@ |file:", (ROOT / file).read_text())


def test_only_torch_and_triton_are_pinned_twice() -> None:
    names = [re.findall(r"^([^#=\s]+)==", (ROOT / file).read_text(), re.MULTILINE) for file in PINS]
    assert set(names[0]) & set(names[1]) == {"torch", "triton"}
