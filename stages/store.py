"""The content-addressed work folder: a killed run resumes, an edit redoes only what depends on it.

``<work>/<video sha12>/<stage>/[<language>/]<key12>/`` holds what a stage wrote, with ``manifest.json`` as the mark
that it is complete. The key is the SHA-256 of the stage's name and version, its configuration, the digests of its
inputs and those of its models. A stage writes into a temporary sibling that is renamed when it is done; one ``flock``
per key lets two runs share the folder (the kernel drops the lock when its holder dies). The empty ``.lock`` files stay:
one that is removed while another run waits for it would lock nothing.

With a :class:`~stages.shared_store.SharedStore` a folder that another machine made is fetched, and what is made here is
put there.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from stages import child, engines, manifest, models
from stages.artifacts import Artifact, Record, SourceVideo
from stages.devices import Turn, hold
from stages.engines import Engine
from stages.errors import InputError
from stages.fetched import fetch_video
from stages.hostile import printable
from stages.limits import LimitsConfig
from stages.progress import Progress
from stages.shared_store import SharedStore
from stages.work_folder import complete, disk_errors, locked, scratch_of

ArtifactT = TypeVar("ArtifactT", bound=Artifact)
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
    shared: SharedStore | None = None
    """Where other machines find what was made here, and the other way round."""

    @property
    def folder(self) -> Path:
        """Where everything of this video lies."""
        return self.root / self.video.sha256[:12]

    def run(
        self, stage: Stage, inputs: tuple[Any, ...], config: Record, language: str | None, progress: Progress
    ) -> tuple[Artifact, StageRun]:
        """Return the stage's artifact, from the folder if it is there and whole, else from the shared store, else by
        running it.

        Raises:
            InputError: the disk is full, or the shared store refuses.
            PassingError: the shared store cannot be reached.
        """
        key = _key(stage, inputs, config)
        name = self._name(stage, language, key)
        with disk_errors(self.root), self._locked_place(name) as (place, lock):
            found = self._found(name, key)
            from_store = found is not None
            if found is None:
                found = self._produce(stage, inputs, config, place, key, lock, progress)
            if self.shared is not None and not (from_store and self.shared.has(name)):
                self.shared.put(name, place, found)
        progress(1.0)
        digests = [models.digest(model) for model in stage.models_for(config)]
        return _bound(stage.artifact, found, place), StageRun(
            name=stage.name,
            language=language,
            engine=stage.engine_for(config),
            model_sha256=",".join(digests) or None,
            seconds=found["seconds"],
            from_store=from_store,
            key=key,
        )

    def kept(self, stage: Stage, key: str, language: str | None) -> Artifact | None:
        """Return the artifact of an earlier run; None where it is gone or another version of the stage made it."""
        name = self._name(stage, language, key)
        if self.shared is None and not (self.root / name).is_dir():
            return None
        with disk_errors(self.root), self._locked_place(name) as (place, _):
            found = self._found(name, key)
        if found is None or found["version"] != stage.version:
            return None
        return _bound(stage.artifact, found, place)

    def brought(self, artifact: ArtifactT) -> ArtifactT:
        """Return an artifact of this video, made on any machine in any work folder, with its files on this one.

        Where its folder is here nothing is done; else it is looked for in this work folder and the shared store. An
        artifact that is bound to no folder has no files, and comes back as it is.

        Raises:
            InputError: it is nowhere to be found, or the shared store refuses.
            PassingError: the shared store cannot be reached.
        """
        made_in = artifact.folder
        if made_in is None or made_in.is_dir():
            return artifact
        return artifact.at(self._brought(made_in, artifact.files_digest), artifact.files_digest)

    def brought_video(self, video: SourceVideo) -> SourceVideo:
        """Return the video, or the clip made of it, with its file on this machine, and so the sound given to it.

        Where the file is here nothing is done; else it is fetched by its URL, or as a stage's result.

        Raises:
            InputError: it is nowhere to be found, or is another one now; a place refuses.
            PassingError: a place cannot be reached.
        """
        path, sound = video.path, video.sound and self.brought_video(video.sound)
        if path.is_file():
            return video.model_copy(update={"sound": sound})
        if video.url is not None:
            path = fetch_video(video.url, self.root)
        elif self.folder.name in path.parts:
            path = self._brought(path.parent, None) / path.name
        else:
            raise InputError(
                f"{printable(path)} is not on this machine; give the video by URL, or on a disk that all share."
            )
        if manifest.sha256(path) != video.sha256:
            raise InputError(f"{printable(video.url or path)} has changed since the run began; start it again.")
        return video.model_copy(update={"path": path, "sound": sound})

    def _brought(self, made_in: Path, files_digest: str | None) -> Path:
        """Return where a stage's folder of any work folder lies in this one."""
        parts, video = made_in.parts, self.folder.name
        if video not in parts:
            raise InputError(
                f"{printable(made_in)} was not made of this video ({video}), so it cannot be brought here."
            )
        name = "/".join(parts[len(parts) - 1 - parts[::-1].index(video) :])
        with disk_errors(self.root), self._locked_place(name) as (place, _):
            found = self._found(name, place.name)
        if found is not None and files_digest not in (None, manifest.files_digest(found)):
            raise InputError(
                f"{printable(place)} holds other files than {printable(made_in)} does where it was made: the machines' "
                "processors or libraries differ. Start the run again with --work OTHER, or on machines that are alike."
            )
        if found is None:
            raise InputError(
                f"{printable(made_in)} is not on this machine, nor is {name} in "
                + (f"the shared store {self.shared.url}" if self.shared else "a shared store, for none is set")
                + "; set shared_store to one place for all machines (docs/many-machines.md), or give them one work "
                "folder on a shared disk."
            )
        return place

    def _name(self, stage: Stage, language: str | None, key: str) -> str:
        """Return where a stage's folder lies, in any work folder and in the shared store."""
        return "/".join(part for part in (self.folder.name, stage.name, language, key[:12]) if part)

    @contextmanager
    def _locked_place(self, name: str) -> Iterator[tuple[Path, IO[str]]]:
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.with_name(f"{place.name}.lock")) as lock:
            yield place, lock

    def _found(self, name: str, key: str) -> dict[str, Any] | None:
        """Return the manifest of a finished folder that is here now: it was, or was fetched. Its lock is held."""
        place = self.root / name
        found = complete(place, key)
        if found is None and self.shared is not None:
            with scratch_of(place) as scratch:
                found = self.shared.fetch(name, key, scratch)
                if found is not None:
                    scratch.rename(place)
        return found

    def begin(self, out: Path, targets: tuple[str, ...]) -> None:
        """Mark that a job is at work: what it has delivered when it is cut off, the same job may replace.

        Raises:
            InputError: the disk is full, or the folder cannot be written to.
        """
        with disk_errors(self.root):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._mark(out, targets).touch()

    def is_begun(self, out: Path, targets: tuple[str, ...]) -> bool:
        """Return whether such a job was begun and has not come to its end."""
        return self._mark(out, targets).exists()

    def end(self, out: Path, targets: tuple[str, ...]) -> None:
        """Mark that a job is done."""
        self._mark(out, targets).unlink(missing_ok=True)

    def _mark(self, out: Path, targets: tuple[str, ...]) -> Path:
        return self.folder / f".begun-{manifest.digest([str(out.resolve()), *targets])[:12]}"

    @contextmanager
    def delivery(self, out: Path, target: str) -> Iterator[Path]:
        """Yield an empty folder inside ``out`` for files that are to appear there together; it is removed afterwards.

        One run at a time has it, and what a killed run left of it is removed.
        """
        name = manifest.digest([str(self.folder.resolve()), str(out.resolve()), target])[:12]
        lock, scratch = self.folder / "deliver" / target / f"{name}.lock", out / f".dubwright-{name}"
        with disk_errors(self.root):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock):
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
        started = time.perf_counter()
        with scratch_of(place) as scratch:
            artifact = self._work(stage, inputs, config, scratch, lock, progress)
            made = {
                "stage": stage.name,
                "version": stage.version,
                "key": key,
                "seconds": round(time.perf_counter() - started, 3),
                "artifact": artifact,
            }
            manifest.write(scratch, made)
            scratch.rename(place)
        return made

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
    with disk_errors(root):
        return function(*arguments)


def _key(stage: Stage, inputs: tuple[Any, ...], config: Record) -> str:
    parts = {
        "stage": stage.name,
        "version": stage.version,
        "config": config.model_dump(mode="json"),
        "inputs": [item.digest if hasattr(item, "digest") else item for item in inputs],
        "models": [models.digest(name) for name in stage.models_for(config)],
    }
    return manifest.digest(parts)


def _bound(kind: type[ArtifactT], found: dict[str, Any], place: Path) -> ArtifactT:
    return kind.model_validate(found["artifact"]).at(place, manifest.files_digest(found))
