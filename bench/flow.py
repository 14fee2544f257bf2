"""Prints what the Prefect flow costs over the plain run, with a server running.

Usage: python bench/flow.py [CLIP] [--seconds S] [--turns N]. CLIP (talker-b where it is there, else the sample as it
is) is repeated to S seconds and dubbed into Brazilian Portuguese, each time from an empty work folder: plainly and as a
flow, in turns, so that other load on the machine meets both. Beside the times of the whole commands it prints what of
them was outside the stages: the stages' own scatter is the machine's and not the flow's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import run
from looping import looped

from flows.serve import server

TALKER = run.CLIPS / "talker-b.mp4"
PORT = 4278
GOAL = 0.10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found = TALKER.is_file()
    parser.add_argument("clip", nargs="?", type=Path, default=TALKER if found else run.SAMPLE)
    parser.add_argument("--seconds", type=float, default=60.0 if found else 1.0)
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        os.environ["PREFECT_HOME"] = str(scratch / "prefect")
        clip = looped(options.clip, scratch / "clip.mp4", options.seconds)
        with server(PORT) as url:
            os.environ["PREFECT_API_URL"] = url
            turns = [
                (_dub(clip, scratch, turn), _dub(clip, scratch, turn, "--prefect")) for turn in range(options.turns)
            ]
    length_s = turns[0][0].report["source"]["duration_ms"] / 1000
    print(f"{options.clip.name}: {length_s:.0f} s, {options.turns} turns, load {os.getloadavg()[0]:.1f}")
    for plain, flow in turns:
        print(f"  plain {_shown(plain)}\n  flow  {_shown(flow)}")
    more = statistics.median(_outside(flow) - _outside(plain) for plain, flow in turns)
    whole = statistics.median(plain.seconds for plain, _ in turns)
    print(
        f"outside the stages the flow takes {more:.1f} s more: {more / whole:.1%} of the plain run (goal <= {GOAL:.0%})"
    )
    ratio = statistics.median(flow.seconds / plain.seconds for plain, flow in turns)
    print(f"whole command: {ratio - 1:+.1%}")


def _dub(clip: Path, scratch: Path, turn: int, *options: str) -> run.Measured:
    name = f"{turn}{''.join(options)}"
    return run.dub(clip, scratch / f"out{name}", scratch / f"work{name}", *options)


def _outside(measured: run.Measured) -> float:
    """Return the seconds that no stage worked: start, store, Prefect, delivery."""
    return measured.seconds - sum(stage["seconds"] for stage in measured.report["stages"])


def _shown(measured: run.Measured) -> str:
    return f"{measured.seconds:6.1f} s, of which {_outside(measured):5.1f} s outside the stages"


if __name__ == "__main__":
    main()
