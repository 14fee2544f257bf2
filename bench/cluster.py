"""Dubs videos on several pretended machines and compares every file with a plain run's. ``make cluster``.

A Prefect server on PostgreSQL, an S3 server as the store, a Dask scheduler, and machines with homes and work folders of
their own: each runs a worker of the work pool and a process of the Dask cluster. ``--store folder`` is the other way:
one work folder that all machines mount, and no S3. Prints jobs per hour; with ``--kill`` one machine is killed with
everything on it (SIGKILL) in the middle of its work, and how long it takes until its video is worked on again is
printed as well. Exit code 1: a file differs from the plain run's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
import httpx
import psutil
import s3fs
import yaml
from machines import ROOT, Machine, dask_scheduler, free_port, is_pretended, postgres, s3, until
from soak import SAMPLE, content

from flows.serve import server
from stages import models

POOL = "dubwright"
BUCKET = KEY = "dubwright"
HEARTBEAT_S = 30
"""The least that Prefect takes."""
LOST_S = 75
"""Without a sign of life for so long a run counts as lost: two and a half heartbeats, so that the bench need not wait
as long as the automations of configs/prefect/lost-runs.yaml do."""
_CUT_S = 0.12
_FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_PATIENCE_S = 5400.0


def variants(folder: Path, number: int, source: Path = SAMPLE) -> list[Path]:
    """Write ``number`` different videos: the source with a little less of its end each, nothing encoded again."""
    folder.mkdir(parents=True)
    made = []
    for index in range(number):
        target = folder / f"talk-{index + 1}.mp4"
        with av.open(str(source)) as whole, av.open(str(target), "w") as out:
            ends_s = float((whole.duration or 0) / av.time_base) - index * _CUT_S
            streams = {stream.index: out.add_stream_from_template(stream) for stream in whole.streams}
            for packet in whole.demux():
                if packet.pts is not None and packet.time_base is not None and packet.pts * packet.time_base < ends_s:
                    packet.stream = streams[packet.stream_index]
                    out.mux(packet)
        made.append(target)
    return made


def plain(videos: Sequence[Path], targets: Sequence[str], profile: str, folder: Path) -> float:
    """Dub the videos one after another by the command, and return the seconds it took."""
    started = time.monotonic()
    to = [part for target in targets for part in ("--to", target)]
    for video in videos:
        command = [sys.executable, "-m", "flows.cli", "translate", str(video), "--from", "en", *to]
        command += ["--profile", profile, "--work", str(folder / "work"), "--out", str(folder / f"{video.stem}.dub")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{video.name}: {done.stderr}")
    return time.monotonic() - started


class Storage(Protocol):
    """Where machines find videos and finished stages, and leave dubs."""

    environment: dict[str, str]
    """What a machine must be told."""

    def put(self, video: Path) -> str:
        """Make a video known to all machines and return how they name it."""

    def out(self, video: Path) -> str:
        """Return how machines name a video's output folder."""

    def fetch(self, video: Path, target: Path) -> Path:
        """Return a folder with what was delivered; ``target`` may be it."""


@dataclass(frozen=True)
class Bucket:
    """S3: machines share nothing but a bucket."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a machine must be told."""
        return {
            "DUBWRIGHT_SHARED_STORE": f"s3://{BUCKET}/store",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, video: Path) -> str:
        """Upload a video."""
        files = self._files()
        files.makedirs(BUCKET, exist_ok=True)
        files.put(str(video), f"{BUCKET}/in/{video.name}")
        return f"s3://{BUCKET}/in/{video.name}"

    def out(self, video: Path) -> str:
        """Return the URL of the output folder."""
        return f"s3://{BUCKET}/out/{video.stem}.dub"

    def fetch(self, video: Path, target: Path) -> Path:
        """Download what was delivered."""
        self._files().get(f"{BUCKET}/out/{video.stem}.dub/", f"{target}/", recursive=True)
        return target

    def _files(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(endpoint_url=self.url, key=KEY, secret=KEY, skip_instance_cache=True)


@dataclass(frozen=True)
class Mounted:
    """A folder that all machines mount."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a machine must be told."""
        return {"DUBWRIGHT_WORK": str(self.folder / "work")}

    def put(self, video: Path) -> str:
        """Return where the video is: there."""
        return str(video)

    def out(self, video: Path) -> str:
        """Return the output folder."""
        return str(self.folder / "out" / f"{video.stem}.dub")

    def fetch(self, video: Path, target: Path) -> Path:
        """Return the output folder: it is here."""
        return Path(self.out(video))


@contextmanager
def storage(kind: str, folder: Path) -> Iterator[Storage]:
    """Have what machines share."""
    if kind == "folder":
        (folder / "shared" / "out").mkdir(parents=True)
        yield Mounted(folder / "shared")
        return
    with s3(folder / "s3") as url:
        yield Bucket(url)


@dataclass(frozen=True)
class Cluster:
    """Servers that run, and machines that work for them."""

    api: str
    folder: Path
    environment: dict[str, str]
    storage: Storage
    machines: tuple[Machine, ...]
    database: Machine

    def booked(self) -> tuple[float, float, int]:
        """Return the processor time of the Prefect server and of its database, s, and the stages they know of."""
        ours = psutil.Process().children(recursive=True)
        server_s, database_s = (
            sum(sum(each.cpu_times()[:2]) for each in processes)
            for processes in ([each for each in ours if not is_pretended(each)], self.database.processes())
        )
        return server_s, database_s, self.ask("task_runs/count")

    def prefect(self, *arguments: str) -> None:
        """Run a command of Prefect against the server."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        environment = os.environ | self.environment | {"PREFECT_HOME": str(self.folder / "prefect")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"prefect {' '.join(arguments)}: {done.stdout}{done.stderr}")

    def ask(self, path: str, **body: Any) -> Any:
        """Post to the server and return its answer."""
        answer = httpx.post(f"{self.api}/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the runs by their ids."""
        return {run["id"]: run for run in self.ask("flow_runs/filter", sort="START_TIME_ASC")}

    def work(self, machine: Machine) -> None:
        """Start what a machine does."""
        machine.start(sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--limit", "1")
        address = self.environment.get("DUBWRIGHT_SPREAD__ADDRESS")
        if address:
            threads = ("--nworkers", "1", "--nthreads", "1", "--no-dashboard")
            machine.start(sys.executable, "-m", "distributed.cli.dask_worker", address, *threads)

    def submit(self, videos: Sequence[Path], targets: Sequence[str], profile: str) -> list[str]:
        """Start a run for every video, and return their ids."""
        name = "translate_video/on-demand"
        deployment = httpx.get(f"{self.api}/deployments/name/{name}", timeout=60).json()["id"]
        ids = []
        for video in videos:
            spoken = {"transcribe": {"language": "en"}}
            options = {"profile": profile, "out": self.storage.out(video), "overrides": spoken}
            chosen = {"video": self.storage.put(video), "target_languages": list(targets), "options": options}
            ids.append(self.ask(f"deployments/{deployment}/create_flow_run", parameters=chosen)["id"])
        return ids


@contextmanager
def cluster(folder: Path, names: Sequence[str], store: str, spread: bool) -> Iterator[Cluster]:
    """Run all servers, with machines that do nothing yet."""
    with ExitStack() as stack:
        url, database = stack.enter_context(postgres(folder / "postgres"))
        shared = stack.enter_context(storage(store, folder))
        port = free_port()
        os.environ |= {"PREFECT_API_DATABASE_CONNECTION_URL": url, "PREFECT_HOME": str(folder / "server")}
        api = stack.enter_context(server(port))
        environment = {
            "PREFECT_API_URL": api,
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PYTHONPATH": str(ROOT),
            "DUBWRIGHT_MODELS": str(models.folder()),
        }
        if spread:
            address = stack.enter_context(dask_scheduler(folder / "dask"))
            environment |= {"DUBWRIGHT_SPREAD__TASK_RUNNER": "dask", "DUBWRIGHT_SPREAD__ADDRESS": address}
        machines = tuple(
            Machine(
                name, folder / name,
                {"DUBWRIGHT_WORK": str(folder / name / "work"), **environment, **shared.environment},
            )
            for name in names
        )  # fmt: skip
        it = Cluster(api, folder, environment, shared, machines, database)
        it.prefect("work-pool", "create", POOL, "--type", "process")
        it.prefect("deploy", "--prefect-file", "configs/prefect.yaml", "--name", "on-demand")
        it.prefect("automation", "create", "--from-file", str(_quick(folder)))
        try:
            yield it
        finally:
            for machine in machines:
                machine.stop()


def _quick(folder: Path) -> Path:
    """Write the automations for lost runs with shorter times."""
    automations = yaml.safe_load((ROOT / "configs" / "prefect" / "lost-runs.yaml").read_text())
    automations["automations"][0]["trigger"]["within"] = LOST_S
    file = folder / "lost-runs.yaml"
    file.write_text(yaml.safe_dump(automations))
    return file


def finished(it: Cluster, ids: Sequence[str], also: Any = None) -> dict[str, dict[str, Any]]:
    """Wait until all runs are completed, and return them.

    A crashed run is waited for: it is scheduled again. ``also`` is called at every look.
    """

    def look() -> dict[str, dict[str, Any]] | None:
        runs = {key: run for key, run in it.runs().items() if key in ids}
        if also is not None:
            also(runs)
        bad = [run for run in runs.values() if run["state_type"] in ("FAILED", "CANCELLED")]
        if bad:
            raise SystemExit("\n".join(f"{run['name']}: {run['state']['message']}" for run in bad))
        return runs if all(run["state_type"] == "COMPLETED" for run in runs.values()) else None

    return until(look, "the runs", _PATIENCE_S)


@dataclass
class Killer:
    """Kills a machine while it works, and sees when its run is at work again."""

    it: Cluster
    victim: Machine
    after_s: float
    """How long it may work on its first video."""
    busy_since: float | None = None
    killed_at: float | None = None
    lost: str | None = None
    again_after_s: float | None = None

    def __call__(self, runs: dict[str, dict[str, Any]]) -> None:
        """Look at the runs once."""
        if self.killed_at is None:
            mine = [key for key, run in runs.items() if run["state_type"] == "RUNNING" and self._works_on(run)]
            if not mine:
                return
            self.busy_since = self.busy_since or time.monotonic()
            if time.monotonic() - self.busy_since < self.after_s:
                return
            processes = self.victim.kill()
            self.killed_at, self.lost = time.monotonic(), mine[0]
            print(f"{self.victim.name} killed with {processes} processes at {runs[mine[0]]['name']}", flush=True)
        elif self.again_after_s is None and self.lost is not None:
            run = runs[self.lost]
            if run["state_type"] in ("RUNNING", "COMPLETED") and run["run_count"] > 1:
                self.again_after_s = time.monotonic() - self.killed_at

    def _works_on(self, run: dict[str, Any]) -> bool:
        """Return whether a run is the victim's: a worker gives the id to the process that it starts for it."""
        return any(run["id"] in " ".join(_environment(process)) for process in self.victim.processes())


def _environment(process: Any) -> Iterator[str]:
    try:
        yield from process.environ().values()
    except psutil.Error:  # it has ended just now
        return


def differences(it: Cluster, reference: Path, videos: Sequence[Path], folder: Path) -> Iterator[str]:
    """Yield every file that is not as the plain run made it."""
    for video in videos:
        name = f"{video.stem}.dub"
        here = it.storage.fetch(video, folder / name)
        names = [sorted(each.name for each in one.iterdir()) for one in (reference / name, here)]
        if names[0] != names[1]:
            yield f"{name}: files differ: {sorted(set(names[0]) ^ set(names[1]))}"
        for each in sorted(set(names[0]) & set(names[1])):
            if _content(reference / name / each) != _content(here / each):
                yield f"{name}/{each} differs"


def _content(file: Path) -> Any:
    """Return what must be equal in a file of two machines: where they keep things may differ."""
    found = content(file)
    if file.name.endswith(".report.json"):
        for name in ("work", "shared_store", "spread"):
            found["settings"].pop(name, None)
        found["source"].pop("path")
    return found


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--to", nargs="+", default=["pt-BR", "pt-PT", "es"])
    parser.add_argument("--profile", default="draft")
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--kill", type=float, metavar="S", help="kill the second machine S seconds into its work")
    parser.add_argument("--store", choices=("s3", "folder"), default="s3")
    parser.add_argument("--here", action="store_true", help="every stage in the worker's own process: no Dask")
    parser.add_argument("--folder", type=Path, help="where to work, and leave everything [a temporary folder]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster-") as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # another user, postgres, must get in
        videos = variants(folder / "in", given.videos)
        alone_s = plain(videos, given.to, given.profile, folder / "plain")
        jobs = len(videos) * len(given.to)
        print(f"{len(videos)} videos x {len(given.to)} languages, load {os.getloadavg()[0]:.1f}")
        print(f"plain commands in turn: {alone_s:.0f} s = {jobs / alone_s * 3600:.0f} dubs an hour", flush=True)
        names = [f"machine-{number + 1}" for number in range(given.machines)]
        with cluster(folder, names, given.store, not given.here) as it:
            for machine in it.machines:
                it.work(machine)
            killer = None if given.kill is None else Killer(it, it.machines[-1], given.kill)
            before, started = it.booked(), time.monotonic()
            runs = finished(it, it.submit(videos, given.to, given.profile), killer)
            took_s = time.monotonic() - started
            server_s, database_s, stages = (now - then for now, then in zip(it.booked(), before, strict=True))
            found = list(differences(it, folder / "plain", videos, folder / "fetched"))
        print(f"{len(names)} machines: {took_s:.0f} s = {jobs / took_s * 3600:.0f} dubs an hour")
        print(
            f"the Prefect server took {server_s / stages:.2f} s of a core for each of {stages} stages, its database "
            f"{database_s / stages:.2f} s: a core each books {stages / max(server_s, database_s):.0f} stages/s"
        )
        if killer is not None:
            counts = [run["run_count"] for run in runs.values()]
            print(f"at work again {killer.again_after_s or float('nan'):.0f} s after the kill; starts: {counts}")
        print("\n".join(found) or f"all files of {len(videos)} videos equal the plain runs'")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
