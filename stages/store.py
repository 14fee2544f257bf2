"""The content-addressed work folder: a killed run resumes, an edit redoes only what depends on it.

``<work>/<video sha12>/<stage>/[<language>/]<key12>/`` holds what a stage wrote, with ``manifest.json`` as the mark
that it is complete. The key is the SHA-256 of the stage's name and version, its configuration, the digests of its
inputs and those of its models. A stage writes into a temporary sibling that is renamed when it is done; one ``flock``
per key lets two runs share the folder (the kernel drops the lock when its holder dies). The empty ``.lock`` files stay:
one that is removed while another run waits for it would lock nothing.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import av.error
import soundfile

from stages import child, engines, models
from stages.artifacts import Artifact, Record, SourceVideo
from stages.devices import Turn, hold
from stages.engines import Engine
from stages.errors import InputError
from stages.limits import LimitsConfig
from stages.progress import Progress

_MANIFEST = "manifest.json"
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
_REFUSED_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG}
_NEARLY_FULL_BYTES = 1 << 20
_NEARLY_DONE = 0.99


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline as the store and the flow see it."""

    name: str
    title: str
    """What a progress bar says while it runs."""
    function: Callable[..., Artifact]
    """``(*inputs, config, out, progress) -> artifact``."""
    artifact: type[Artifact]
    version: int
    """Raised when the function's output changes for the same input."""
    config: str
    """Name of its section in the settings."""
    engine: str = ""
    """What does the work, for the report."""
    models: tuple[str, ...] = ()
    """Models that it needs whatever its engine."""
    engines: Mapping[str, Engine] = field(default_factory=dict)
    """Where its settings choose an engine: what there is to choose from."""
    borrows: Callable[[tuple[Any, ...]], tuple[Engine, Any]] | None = None
    """Its inputs -> another stage's engine that it uses, and the settings of that."""

    def numbered(self, number: int, count: int) -> Stage:
        """Return this stage as one of ``count`` runs of it, for whoever watches."""
        return replace(self, title=f"{self.title}, {number} of {count}")

    def worker(self, inputs: tuple[Any, ...], config: Any) -> tuple[Engine, Any] | None:
        """Return the engine that does the work, and its settings; None: there is nothing to choose."""
        if self.borrows is not None:
            return self.borrows(inputs)
        return (self.engines[config.engine], config) if self.engines else None

    def engine_for(self, config: Any) -> str:
        """Return the name of what does the work with these settings, for the report."""
        return config.engine if self.engines else self.engine

    def models_for(self, config: Any) -> tuple[str, ...]:
        """Return the models that it needs with these settings.

        Raises:
            InputError: there is no such engine.
            MissingEngineError: a package of the engine is not installed.
        """
        if not self.engines:
            return self.models
        engine = engines.chosen(self.engines, config.engine, f"{self.config}.engine")
        return tuple(dict.fromkeys((*self.models, *engine.models(config))))


class StageRun(Record):
    """How one stage went, for the report."""

    name: str
    language: str | None
    engine: str
    model_sha256: str | None
    seconds: float
    """Time the work took when it was done, also where this run found it in the store."""
    from_store: bool
    key: str
    """Under which the result lies in the store."""


@dataclass(frozen=True)
class Store:
    """One video's part of the work folder."""

    root: Path
    video: SourceVideo
    models_per_gpu: int = 1
    """How many models, of all runs, may use a GPU at once."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    @property
    def folder(self) -> Path:
        """Where everything of this video lies."""
        return self.root / self.video.sha256[:12]

    def run(
        self, stage: Stage, inputs: tuple[Any, ...], config: Record, language: str | None, progress: Progress
    ) -> tuple[Artifact, StageRun]:
        """Return the stage's artifact, from the folder if it is there and whole, else by running it.

        Raises:
            InputError: the disk is full.
        """
        key = _key(stage, inputs, config)
        place = self.folder / stage.name / (language or "") / key[:12]
        with _disk_errors(self.root):
            place.parent.mkdir(parents=True, exist_ok=True)
            with _locked(place.with_name(f"{place.name}.lock")) as lock:
                manifest = _complete(place, key)
                from_store = manifest is not None
                if manifest is None:
                    manifest = self._produce(stage, inputs, config, place, key, lock, progress)
        progress(1.0)
        artifact = stage.artifact.model_validate(manifest["artifact"])
        digests = [models.digest(name) for name in stage.models_for(config)]
        return artifact.at(place, _files_digest(manifest)), StageRun(
            name=stage.name,
            language=language,
            engine=stage.engine_for(config),
            model_sha256=",".join(digests) or None,
            seconds=manifest["seconds"],
            from_store=from_store,
            key=key,
        )

    def kept(self, stage: Stage, key: str, language: str | None) -> Artifact | None:
        """Return the artifact of an earlier run; None where it is gone or another version of the stage made it."""
        place = self.folder / stage.name / (language or "") / key[:12]
        if not place.is_dir():
            return None
        with _locked(place.with_name(f"{place.name}.lock")):
            manifest = _complete(place, key)
        if manifest is None or manifest["version"] != stage.version:
            return None
        return stage.artifact.model_validate(manifest["artifact"]).at(place, _files_digest(manifest))

    def begin(self, out: Path, targets: tuple[str, ...]) -> None:
        """Mark that a job is at work: what it has delivered when it is cut off, the same job may replace.

        Raises:
            InputError: the disk is full, or the folder cannot be written to.
        """
        with _disk_errors(self.root):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._mark(out, targets).touch()

    def is_begun(self, out: Path, targets: tuple[str, ...]) -> bool:
        """Return whether such a job was begun and has not come to its end."""
        return self._mark(out, targets).exists()

    def end(self, out: Path, targets: tuple[str, ...]) -> None:
        """Mark that a job is done."""
        self._mark(out, targets).unlink(missing_ok=True)

    def _mark(self, out: Path, targets: tuple[str, ...]) -> Path:
        return self.folder / f".begun-{_digest([str(out.resolve()), *targets])[:12]}"

    @contextmanager
    def delivery(self, out: Path, target: str) -> Iterator[Path]:
        """Yield an empty folder inside ``out`` for files that are to appear there together; it is removed afterwards.

        One run at a time has it, and what a killed run left of it is removed.
        """
        name = _digest([str(self.folder.resolve()), str(out.resolve()), target])[:12]
        lock, scratch = self.folder / "deliver" / target / f"{name}.lock", out / f".dubwright-{name}"
        with _disk_errors(self.root):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with _locked(lock):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _produce(
        self,
        stage: Stage,
        inputs: tuple[Any, ...],
        config: Record,
        place: Path,
        key: str,
        lock: IO[str],
        progress: Progress,
    ) -> dict[str, Any]:
        scratch = place.with_name(f".{place.name}.tmp")
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left; the lock says nobody is writing it
        scratch.mkdir()
        started = time.perf_counter()
        try:
            artifact = self._work(stage, inputs, config, scratch, lock, progress)
            manifest = {
                "stage": stage.name,
                "version": stage.version,
                "key": key,
                "seconds": round(time.perf_counter() - started, 3),
                "artifact": artifact,
                "files": {
                    str(file.relative_to(scratch)): _sha256(file)
                    for file in sorted(scratch.rglob("*"))
                    if file.is_file()
                },
            }
            manifest["sha256"] = _digest(json.loads(json.dumps(manifest)))  # as it will be read
            (scratch / _MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
            scratch.rename(place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return manifest

    def _work(
        self, stage: Stage, inputs: tuple[Any, ...], config: Record, scratch: Path, lock: IO[str], progress: Progress
    ) -> dict[str, Any]:
        """Return the stage's artifact as data: made here, or in a process of its own where the engine is heavy, or the
        time is limited, for nothing else ends a library that hangs.
        """

        def tell(share_done: float) -> None:
            # Done is done only when the manifest lies there: a stage's own last word is held back.
            progress(min(share_done, _NEARLY_DONE))

        arguments = (*inputs, config, scratch)
        worker = stage.worker(inputs, config)
        limit_s = self.limits.time_limit_s(stage.name)
        wait, what = None, stage.title
        if worker is not None and worker[0].needs_own_process(worker[1]):
            engine, chosen = worker
            what = f"{stage.title} ({chosen.engine})"
            where, most = engine.device_config(chosen), self.limits.heavy_stages
            wait = functools.partial(hold, Turn(where, engine.finds_cuda, self.models_per_gpu, most, what))
        elif limit_s is None:
            return stage.function(*arguments, tell).model_dump(mode="json")
        work = functools.partial(_watching_disk, stage.function, self.root)
        # The child holds the lock as well: should this process die, nobody takes the folder before the child is gone.
        return child.run(work, arguments, tell, what, [lock.fileno()], limit_s, wait)


def _watching_disk(function: Callable[..., Record], root: Path, *arguments: Any) -> Record:
    """Do a stage's work in a child process."""
    with _disk_errors(root):
        return function(*arguments)


def _key(stage: Stage, inputs: tuple[Any, ...], config: Record) -> str:
    parts = {
        "stage": stage.name,
        "version": stage.version,
        "config": config.model_dump(mode="json"),
        "inputs": [item.digest if hasattr(item, "digest") else item for item in inputs],
        "models": [models.digest(name) for name in stage.models_for(config)],
    }
    return _digest(parts)


def _files_digest(manifest: dict[str, Any]) -> str:
    return _digest(manifest["files"])


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _complete(place: Path, key: str) -> dict[str, Any] | None:
    """Return the manifest of a finished, undamaged folder; anything else there is removed."""
    try:
        manifest = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
        own = manifest.pop("sha256")
        whole = own == _digest(manifest) and manifest["key"] == key
        if whole and all(_is_intact(place / name, digest) for name, digest in manifest["files"].items()):
            return manifest
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, AttributeError, TypeError):
        pass  # no manifest, or one that is damaged: as good as none
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    return None


def _is_intact(file: Path, digest: str) -> bool:
    return file.is_file() and _sha256(file) == digest


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _locked(file: Path) -> Iterator[IO[str]]:
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk, however a library reports it, or one that cannot be used, into one clear line."""
    try:
        yield
    except (OSError, av.error.FFmpegError, soundfile.LibsndfileError) as error:
        number = getattr(error, "errno", None)
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free_bytes = shutil.disk_usage(existing).free
        if number in _FULL_ERRNOS or free_bytes < _NEARLY_FULL_BYTES:
            raise InputError(
                f"the disk of the work folder {folder} is full; free some space (or use --work OTHER) and run the "
                "same command again: finished stages are kept."
            ) from error
        if number in _REFUSED_ERRNOS and str(getattr(error, "filename", None) or folder).startswith(str(folder)):
            raise InputError(
                f"the work folder {folder} cannot be used as it is: {error}. See to its permissions and limits, or use "
                "--work OTHER; finished stages are kept."
            ) from error
        raise
