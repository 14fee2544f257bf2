"""Every pinned package is listed with a licence, and no pin names a registry."""

from __future__ import annotations

import re

from conftest import ROOT

from stages import models


def test_every_package_has_its_licence() -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", (ROOT / "THIRD_PARTY.md").read_text(), re.MULTILINE)
    listed = {name: (version, licence) for name, version, licence in rows}
    pins = re.findall(r"^([^#=\s]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert len(pins) > 100
    for name, version in pins:
        assert listed[name][0] == version and listed[name][1].strip(), name


def test_every_weight_has_its_licence() -> None:
    text = (ROOT / "THIRD_PARTY.md").read_text()
    assert all(f"| {name} |" in text for name in models.catalogue())


def test_no_pin_names_a_registry() -> None:
    assert not re.search(r"https?://|@ |file:", (ROOT / "constraints.txt").read_text())
