"""What a service needs and where it saturates first: arithmetic over the measured rates, and a simulation as a check.

Usage: python -m bench.scale [--hours-a-day H] [--minutes M] [--languages L] [--megapixels P] ...

Rates of the stages are those of ``flows/rates.yaml`` (``python -m bench.rates``); that of the server is what
``python bench/cluster.py`` prints. Prices, disks and networks are assumptions: options, printed with the answer. None
of it was measured on a GPU: ``--gpu-speed`` is how many cores of this machine one is assumed to be worth for the
stages whose engines can use it.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import simpy

from flows.estimates import rates
from flows.history import Task
from stages import pipeline

FRAMES_PER_S = 25
DAY_S = 86400.0
ON_GPU = ("separate", "transcribe", "cast", "read", "speak", "lipsync", "inspect", "measure", "diarize", "translate")
"""Stages whose engines of the neural profile run on a GPU."""
_CORES = 2
"""Of the machine that the rates were measured on."""


@dataclass(frozen=True)
class Service:
    """What is asked for and what there is."""

    hours_a_day: float
    minutes: float
    """Mean length of a video; lengths are drawn from an exponential distribution, at least half a minute."""
    languages: int
    megapixels: float
    cores: int
    """Of a machine; every two of them work on a video of their own, as they were measured."""
    server_tasks_per_s: float
    """Stages a second that the Prefect server can keep books of."""
    store_mb_per_s: float
    """Of the shared store, written and read."""
    peak: float
    """Most videos an hour over the mean: 1: they come evenly all day."""

    @property
    def videos_per_s(self) -> float:
        """Mean rate at which videos come."""
        return self.hours_a_day * 60 / self.minutes / DAY_S


@dataclass(frozen=True)
class Cost:
    """What something takes."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    """On two cores."""
    store_mb: float = 0.0
    stages: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cpu_s + other.cpu_s,
            self.wall_s + other.wall_s,
            self.store_mb + other.store_mb,
            self.stages + other.stages,
        )

    def times(self, number: int) -> Cost:
        """Return what so many of it take."""
        return Cost(self.cpu_s * number, self.wall_s * number, self.store_mb * number, self.stages * number)


def task(minutes: float, megapixels: float) -> Task:
    """Return a video's size."""
    return Task(seconds=60 * minutes, frames=round(60 * minutes * FRAMES_PER_S), megapixels=megapixels)


def of_stages(names: tuple[str, ...], size: Task) -> dict[str, Cost]:
    """Return what stages take, by name; those that have no rate take nothing worth the name."""
    units, found = size.units(), {}
    for name in names:
        for rate in list(rates().get(name, {}).values())[:1]:
            cpu_s = _sum(rate.cpu_s, units)
            found[name] = Cost(cpu_s, cpu_s / min(rate.cores, _CORES), _sum(rate.disk_mb, units), 1)
    return found


def _sum(parts: Mapping[str, float], units: Mapping[str, float]) -> float:
    return sum(amount * units[unit] for unit, amount in parts.items())


SHARED = tuple(stage.name for stage in pipeline.SHARED_STAGES if stage is not pipeline.COMPOSE)
EACH = tuple(stage.name for stage in pipeline.LANGUAGE_STAGES)


def cost(minutes: float, service: Service) -> tuple[Cost, Cost]:
    """Return what a video takes once, and for each language."""
    size = task(minutes, service.megapixels)
    parts = (of_stages(names, size).values() for names in (SHARED, EACH))
    once, each = (sum(part, Cost()) for part in parts)
    return once, each


def on_paper(service: Service) -> dict[str, float]:
    """Return how much of each thing is needed, by the means alone."""
    once, each = cost(service.minutes, service)
    whole = once + each.times(service.languages)
    rate = service.videos_per_s * service.peak
    return {
        "workers": rate * whole.wall_s,
        "server": rate * whole.stages / service.server_tasks_per_s,
        "store": rate * whole.store_mb / service.store_mb_per_s,
    }


@dataclass
class Simulated:
    """What a simulated day showed."""

    waited_s: list[float] = field(default_factory=list)
    """For a worker, a video."""
    took_ratio: list[float] = field(default_factory=list)
    """From its arrival to its last dub, in lengths of the video."""
    busy: dict[str, float] = field(default_factory=dict)
    """Share of the time that workers, server and store were at work."""
    unfinished: int = 0


def simulate(service: Service, workers: int, seed: int, day_s: float = DAY_S) -> Simulated:
    """Simulate a day: each video takes one worker; its stages are booked by the server and lie in the store.

    Arrivals are a Poisson process whose rate swings sinusoidally between its mean and ``peak`` times that.
    """
    rng, world, seen = random.Random(seed), simpy.Environment(), Simulated()
    places = {
        "workers": simpy.Resource(world, workers),
        "server": simpy.Resource(world, 1),
        "store": simpy.Resource(world, 1),
    }
    work = dict.fromkeys(places, 0.0)

    def use(name: str, seconds: float) -> Iterator[simpy.Event]:
        with places[name].request() as turn:
            yield turn
            yield world.timeout(seconds)
        work[name] += seconds

    def video(minutes: float) -> Iterator[simpy.Event]:
        arrived = world.now
        once, each = cost(minutes, service)
        whole = once + each.times(service.languages)
        with places["workers"].request() as worker:
            yield worker
            seen.waited_s.append(world.now - arrived)
            begun = world.now
            for _ in range(whole.stages):  # a stage computes, is written to the store, and is booked
                yield world.timeout(whole.wall_s / whole.stages)
                yield from use("store", whole.store_mb / whole.stages / service.store_mb_per_s)
                yield from use("server", 1 / service.server_tasks_per_s)
        work["workers"] += world.now - begun
        seen.took_ratio.append((world.now - arrived) / (60 * minutes))

    def arrivals() -> Iterator[simpy.Event]:
        most = service.videos_per_s * service.peak
        while True:
            yield world.timeout(rng.expovariate(most))
            swing = (service.peak - 1) * math.sin(2 * math.pi * world.now / DAY_S)
            if rng.random() * service.peak <= 1 + swing:
                minutes = max(0.5, rng.expovariate(1 / service.minutes))
                world.process(video(minutes))

    world.process(arrivals())
    world.run(day_s)
    seen.busy = {name: work[name] / day_s / places[name].capacity for name in places}
    seen.unfinished = len(places["workers"].queue)
    return seen


def bill(service: Service, core_hour: float, gpu_hour: float, gpu_speed: float) -> Iterator[str]:
    """Yield what an hour of video costs, on processors and with an assumed GPU."""
    size = task(60, service.megapixels)
    once, each = (of_stages(names, size) for names in (SHARED, EACH))
    for title, part in (("once", once), ("each language", each)):
        cpu_h = sum(one.cpu_s for one in part.values()) / 3600
        gpu_h = sum(one.cpu_s for name, one in part.items() if name in ON_GPU) / 3600 / gpu_speed
        rest_h = sum(one.cpu_s for name, one in part.items() if name not in ON_GPU) / 3600
        store_gb = sum(one.store_mb for one in part.values()) / 1000
        yield (
            f"{title:<14} {cpu_h:6.1f} core-hours = {cpu_h * core_hour:6.2f}; store {store_gb:6.1f} GB; "
            f"if a GPU is {gpu_speed:g} cores: {gpu_h:.2f} GPU-hours + {rest_h:.1f} core-hours = "
            f"{gpu_h * gpu_hour + rest_h * core_hour:.2f}"
        )
    most = sorted(((one.cpu_s / 3600, name) for part in (once, each) for name, one in part.items()), reverse=True)[:5]
    yield "most of it: " + ", ".join(f"{name} {hours:.2f}" for hours, name in most) + " core-hours"


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours-a-day", type=float, default=10_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--languages", type=int, default=3)
    parser.add_argument("--megapixels", type=float, default=0.92, help="of a frame; 0.92 is 1280x720")
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--server-tasks", type=float, default=30, help="stages a second that the server can book")
    parser.add_argument("--store", type=float, default=2500, help="MB/s of the shared store")
    parser.add_argument("--peak", type=float, default=1.5, help="busiest moment of the day over the mean")
    parser.add_argument("--core-hour", type=float, default=0.04, help="assumed price")
    parser.add_argument("--gpu-hour", type=float, default=1.0, help="assumed price")
    parser.add_argument("--gpu-speed", type=float, default=20, help="cores that a GPU is assumed to be worth")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    service = Service(
        given.hours_a_day, given.minutes, given.languages, given.megapixels, given.cores, given.server_tasks,
        given.store, given.peak,
    )  # fmt: skip
    print(f"an hour of video at {given.megapixels} megapixels, {FRAMES_PER_S} frames/s:")
    for line in bill(service, given.core_hour, given.gpu_hour, given.gpu_speed):
        print(f"  {line}")
    paper = on_paper(service)
    workers = math.ceil(paper["workers"] / 0.9)
    print(
        f"{given.hours_a_day:g} hours a day in {given.minutes:g}-minute videos into {given.languages} languages, peak "
        f"{given.peak:g} x the mean: {math.ceil(workers * _CORES / given.cores)} machines of {given.cores} cores at "
        f"90 % ({workers} workers of {_CORES}); at the peak the server is at {paper['server']:.0%} of "
        f"{given.server_tasks:g} stages/s, the store at {paper['store']:.0%} of {given.store:g} MB/s"
    )
    print("simulated day, with these machines for any load:")
    for share in (0.25, 0.5, 0.75, 1.0, 1.25):
        asked = Service(**{**service.__dict__, "hours_a_day": service.hours_a_day * share})
        day = simulate(asked, workers, given.seed)
        expected = on_paper(Service(**{**asked.__dict__, "peak": 1.0}))
        busy = ", ".join(
            f"{name} {day.busy[name]:.0%} (paper {expected[name] / (workers if name == 'workers' else 1):.0%})"
            for name in day.busy
        )
        waits = statistics.quantiles(day.waited_s, n=20)
        print(
            f"  {share:5.0%}: busy {busy}; waited {waits[9]:.0f} s median, {waits[18]:.0f} s 95th percentile; done "
            f"after {statistics.median(day.took_ratio):.1f} lengths; {day.unfinished} wait at midnight"
        )


if __name__ == "__main__":
    main()
