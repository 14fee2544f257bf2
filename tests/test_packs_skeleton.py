"""A new pack: usable as it stands, and every line that it offers is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from language_packs import PackError, Packs
from language_packs.derive import SEGMENTS, articulations
from language_packs.skeleton import write_skeleton


def test_a_new_pack_can_be_used_and_changes_nothing_yet(tmp_path: Path) -> None:
    assert write_skeleton(tmp_path, "oc", "espeak", "ca") == tmp_path / "oc"
    pack = Packs((tmp_path,)).load("oc")
    assert (pack.name, pack.g2p.code, pack.overrides) == ("Occitan", "ca", {})


def test_the_table_that_it_offers_is_the_derived_one(tmp_path: Path) -> None:
    offered = (write_skeleton(tmp_path, "oc", "espeak", "ca") / "visemes.toml").read_text(encoding="utf-8")
    table = offered.split("\n\n", 1)[1]
    place = write_skeleton(tmp_path, "ht", "espeak", "ht")
    (place / "visemes.toml").write_text(table.replace("# ", ""), encoding="utf-8")
    taken = Packs((place,)).load("ht").overrides
    assert len(taken) == len(set(SEGMENTS))
    for segment in SEGMENTS:
        (derived,), (said,) = articulations(segment), articulations(segment, taken)
        assert said.contact == derived.contact
        assert said.targets == pytest.approx(derived.targets, abs=0.001)


@pytest.mark.parametrize("tag", ["../up", "a b", ""])
def test_a_tag_that_is_none_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(PackError, match="language tag"):
        write_skeleton(tmp_path / "packs", tag, "espeak", "ca")
    assert not (tmp_path / "packs").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_skeleton(tmp_path, "oc", "espeak", "ca")
    with pytest.raises(PackError, match="already"):
        write_skeleton(tmp_path, "oc", "espeak", "es")
