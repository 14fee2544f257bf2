"""Packs of other people: found, preferred, explained when wrong, and never able to do harm."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from language_packs import PackError, Packs, available, load_pack
from language_packs.collection import MOST_BYTES

ROOT = Path(__file__).parents[1]
GOOD = """
schema = 1
tag = "qaa"
name = "Invented"
direction = "ltr"
phones_per_second = 13

[g2p]
code = "eo"
"""


def pack(root: Path, tag: str, text: str = GOOD, visemes: str = "") -> Path:
    folder = root / tag
    folder.mkdir(parents=True)
    (folder / "pack.toml").write_text(text.replace("qaa", tag) if text is GOOD else text, encoding="utf-8")
    if visemes:
        (folder / "visemes.toml").write_text(visemes, encoding="utf-8")
    return folder


def refusal(folder: Path, tag: str = "qaa") -> str:
    with pytest.raises(PackError) as error:
        Packs((folder,)).load(tag)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("named", ["", "qaa"], ids=["folder of packs", "one pack"])
def test_a_named_folder_adds_a_language(tmp_path: Path, named: str) -> None:
    pack(tmp_path, "qaa", visemes='["w"]\ntargets = { protrusion = 0.2 }\n')
    packs = Packs((tmp_path / named,))
    found = packs.load("qaa")
    assert (found.name, found.g2p.code, found.overrides["w"].targets) == ("Invented", "eo", {"protrusion": 0.2})
    assert set(packs.tags) == {*available(), "qaa"}


def test_a_named_pack_takes_the_place_of_the_built_in_one(tmp_path: Path) -> None:
    pack(tmp_path, "fr")
    assert Packs((tmp_path,)).load("fr").name == "Invented" != load_pack("fr").name
    assert Packs((tmp_path,)).load("fr").digest != load_pack("fr").digest


def test_a_named_pack_inherits_from_a_built_in_one(tmp_path: Path) -> None:
    pack(tmp_path, "fr-BE", 'tag = "fr-BE"\ninherits = "fr"\nname = "Belgian French"\n[g2p]\ncode = "fr-be"\n')
    found = Packs((tmp_path,)).load("fr-BE")
    assert (found.g2p.code, found.overrides) == ("fr-be", load_pack("fr").overrides)


def test_an_installed_package_adds_a_language_and_is_not_imported(tmp_path: Path) -> None:
    package = tmp_path / "my_packs"
    pack(package, "qaa")
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    record = tmp_path / "my_packs-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: my-packs\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[dubwright.language_packs]\nmine = my_packs\n")
    asked = "import language_packs; print(language_packs.load_pack('qaa').name)"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.stdout == "Invented\n", done.stderr


def test_a_folder_without_packs_is_said(tmp_path: Path) -> None:
    assert "no language pack" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('tag = "qaa"\nname = "x"\ndirection = "ltr"\nphones_per_second = 13\n', "g2p"),
        (GOOD + 'voice = "x"\n', "g2p.voice"),
        (GOOD.replace("schema = 1", "schema = 2"), "schema"),
        (GOOD.replace("schema = 1", "colour = 1"), "colour"),
        (GOOD.replace("13", "nan"), "phones_per_second"),
        (GOOD.replace("13", "-1"), "phones_per_second"),
        (GOOD.replace('"ltr"', '"up"'), "direction"),
        (GOOD.replace("qaa", "qab"), "'qab'"),
        (GOOD.replace("schema = 1", 'inherits = "../../../etc"'), "inherits"),
        (GOOD.replace("schema = 1", 'inherits = "zz-none"'), "inherits"),
        (GOOD.replace("schema = 1", 'inherits = "qaa"'), "circle"),
        ("tag = ", "pack.toml"),
        ("a = " + "[" * 100_000, "nested"),
    ],
    ids=[
        "missing table", "unknown key in a table", "later schema", "unknown key", "NaN", "below zero", "no direction",
        "another tag", "path traversal", "no such parent", "its own parent", "no TOML", "nested deeply",
    ],
)  # fmt: skip
def test_a_mistake_in_the_pack_is_named(tmp_path: Path, text: str, named: str) -> None:
    told = refusal(pack(tmp_path, "qaa", text))
    assert named in told and "pack.toml" in told.replace("in a circle", "pack.toml")


@pytest.mark.parametrize(
    ("visemes", "named"),
    [
        ('["p"]\ntargets = { jaw = 1.5 }', "p.targets.jaw"),
        ('["p"]\ntargets = { jaw = nan }', "p.targets.jaw"),
        ('["p"]\ntargets = { chin = 0.5 }', "p.targets.chin"),
        ('["p"]\ndominances = { jaw = inf }', "p.dominances.jaw"),
        ('["p"]\nlooks = "b"', "p.looks"),
        ('["p"]\ncontact = "kiss"', "p.contact"),
        ("p = 1", "p"),
        ("\n".join(f'["{chr(0x4E00 + number)}"]\nlike = "a"' for number in range(2000)), "1000"),
    ],
    ids=["above one", "NaN", "no parameter", "endless", "unknown key", "no contact", "no table", "2000 sounds"],
)
def test_a_mistake_in_the_visemes_is_named(tmp_path: Path, visemes: str, named: str) -> None:
    told = refusal(pack(tmp_path, "qaa", visemes=visemes))
    assert named in told and "visemes.toml" in told and len(told) < 400


def test_packs_that_inherit_in_a_circle_are_refused(tmp_path: Path) -> None:
    for tag, parent in (("qaa", "qab"), ("qab", "qac"), ("qac", "qaa")):
        pack(tmp_path, tag, f'tag = "{tag}"\ninherits = "{parent}"\n')
    assert "qaa -> qab -> qac -> qaa" in refusal(tmp_path)


def test_a_table_of_a_gigabyte_is_refused_unread(tmp_path: Path) -> None:
    folder = pack(tmp_path, "qaa")
    with (folder / "visemes.toml").open("wb") as file:
        file.truncate(1 << 30)  # takes no room on the disk
    started = time.perf_counter()
    assert "1024 MB" in refusal(folder)
    assert time.perf_counter() - started < 1
    assert MOST_BYTES < 1 << 30


def test_a_link_out_of_the_pack_is_not_followed(tmp_path: Path) -> None:
    folder = pack(tmp_path, "qaa")
    (tmp_path / "secret").write_text('["p"]\nlike = "a"')
    (folder / "visemes.toml").symlink_to(tmp_path / "secret")
    assert "link" in refusal(folder)


def test_a_rule_that_is_no_regular_expression_is_said(tmp_path: Path) -> None:
    folder = pack(tmp_path, "qaa")
    (folder / "shorten.toml").write_text('[[rule]]\nfind = "("\nsides = ["source"]\n')
    with pytest.raises(PackError, match=r"shorten\.toml: rule\.0\.find"):
        Packs((folder,)).shortening("qaa")


def test_translate_takes_the_named_pack_and_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    folder = pack(tmp_path, "pt-BR", 'tag = "pt-BR"\nspeed = 3\n')
    sample = ROOT / "data" / "samples" / "statement-en.mp4"
    options = ["--to", "pt-BR", "--out", str(tmp_path / "out"), "--pack", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "translate", str(sample), *options],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "pack.toml: speed" in done.stderr and not (tmp_path / "out").exists()
