"""Prints what a run into three languages takes as a flow: its stages done here, and spread over a Dask cluster.

Usage: python bench/spread.py [CLIP] [--workers N] [--profile P]. CLIP (the sample when not given) is dubbed into
Brazilian Portuguese, Spanish and French from an empty work folder, with a server running: once with every stage in the
flow's process, and once with ``spread.task_runner`` dask and a cluster of N processes that is started for the run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import run

from flows.serve import server

PORT = 4279
TARGETS = ("pt-BR", "es", "fr")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=run.SAMPLE)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--profile", default="draft")
    options = parser.parse_args()
    others = [word for tag in TARGETS[1:] for word in ("--to", tag)]
    print(f"{options.clip.name} -> {', '.join(TARGETS)}; {options.profile}; {os.cpu_count()} cores", flush=True)
    os.environ["DUBWRIGHT_SPREAD__WORKERS"] = str(options.workers)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFECT_HOME"] = str(Path(folder, "prefect"))
        with server(PORT) as url:
            os.environ["PREFECT_API_URL"] = url
            for name in ("here", "dask"):
                os.environ["DUBWRIGHT_SPREAD__TASK_RUNNER"] = name
                out, work, load = Path(folder, f"out-{name}"), Path(folder, f"work-{name}"), os.getloadavg()[0]
                measured = run.dub(
                    options.clip.absolute(),
                    out,
                    work,
                    *others,
                    "--profile",
                    options.profile,
                    "--prefect",
                    to=TARGETS[0],
                )
                reports = [json.loads(file.read_text()) for file in sorted(out.glob("*.report.json"))]
                stages = {
                    (each["name"], each["language"]): each["seconds"] for one in reports for each in one["stages"]
                }
                in_all_s = sum(stages.values())
                print(
                    f"  {name}: {measured.seconds:.1f} s; its stages together {in_all_s:.1f} s; load {load:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
