"""Sweeps a full inbox: so many short videos, each dubbed once, as the flow ``translate_folder`` on a real server.

Usage: python bench/inbox.py [--files N]. A tenth of the files have the content of another, and a twentieth are no
videos at all. Prints what became of them, videos an hour, and the memory of the flow's process on its way. Exit code 1:
something is not as it must be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import av
import psutil
from machines import free_port
from soak import SAMPLE

from flows.serve import server

SECONDS = 2.0
_LOOK_S = 5.0


def fill(inbox: Path, files: int) -> Counter[str]:
    """Put ``files`` files into an inbox and return what must become of them."""
    inbox.mkdir()
    expected: Counter[str] = Counter()
    for index in range(files):
        target = inbox / f"talk-{index:03}.mp4"
        if index % 20 == 19:
            target.write_bytes(b"no video" * index)
            expected["failed"] += 1
        elif index % 10 == 5:
            shutil.copy(inbox / f"talk-{index - 1:03}.mp4", target)
            expected["known"] += 1
        else:
            _write(target, title=str(index))
            expected["dubbed"] += 1
    return expected


def _write(target: Path, title: str) -> None:
    """Write the beginning of the sample, with a title of its own, so that no two are the same."""
    with av.open(str(SAMPLE)) as whole, av.open(str(target), "w") as out:
        out.metadata["title"] = title
        streams = {stream.index: out.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.pts is not None and packet.time_base is not None and packet.pts * packet.time_base < SECONDS:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inbox-") as folder:
        base = Path(folder)
        os.environ |= {"PREFECT_HOME": str(base / "prefect"), "DUBWRIGHT_WORK": str(base / "work")}
        expected = fill(base / "in", given.files)
        with server(free_port()) as url:
            os.environ["PREFECT_API_URL"] = url
            found = _sweep(base, given.files)
    if found != expected:
        print(f"expected {dict(expected)}")
    sys.exit(0 if found == expected else 1)


def _sweep(base: Path, files: int) -> Counter[str]:
    from flows.forms import Choices
    from flows.translate_folder import translate_folder

    memory: list[tuple[int, float]] = []
    is_done = threading.Event()

    def look() -> None:
        while not is_done.wait(_LOOK_S):
            done = len(list((base / "out").glob("*.dub/*.pt-BR.mp4")))
            memory.append((done, psutil.Process().memory_info().rss / 1e6))

    watcher, started = threading.Thread(target=look, daemon=True), time.monotonic()
    watcher.start()
    choices = Choices(profile="draft", overrides={"transcribe": {"language": "en"}})
    outcomes = translate_folder(base / "in", base / "out", ["pt-BR"], choices, 1.0)
    took_s = time.monotonic() - started
    is_done.set()
    watcher.join()
    found = Counter(outcome.what for outcome in outcomes)
    print(f"{files} files, load {os.getloadavg()[0]:.1f}: {dict(found)}")
    for name, reason in Counter(outcome.reason for outcome in outcomes if outcome.what == "failed").items():
        print(f"  {reason} x: {name.split('.mp4')[-1][:100]}")
    print(f"{took_s:.0f} s = {found['dubbed'] / took_s * 3600:.0f} dubs an hour")
    for share in (0.1, 0.5, 1.0):
        done, rss_mb = next(each for each in reversed(memory) if each[0] <= share * found["dubbed"])
        print(f"after {done} dubs: {rss_mb:.0f} MB in the flow's process")
    if left := [str(each) for each in (base / "work").rglob("*.tmp")]:
        print(f"left: {left}")
        found["left"] = len(left)
    return found


if __name__ == "__main__":
    main()
