"""Gives damaged files of every kind to the code that reads them. ``make fuzz FILES=2400``.

Each file is a small whole one with a few mutations (fixed seed): bits turned, pieces cut off, put in, doubled, swapped
or blanked, length fields made huge. It is read in a child process the way a run reads it. What may happen: it is read,
or refused by one line. A traceback, a crash, more than 60 s or more than 3 GB is a fault; faulty files are kept in
``--keep``. Prints what came out by kind; exit code 1: there are faults.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

from fuzz_seeds import PACK, seeds

ROOT = Path(__file__).parents[1]
_LIMIT_S = 60.0
_LIMIT_BYTES = 3 << 30
_START_S = 120.0
_LONGEST_LINE = 1000
_FRAMES = 60
"""Of a video that can be read, so many are decoded, as later stages do."""
_BIG = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x00\x00",
    b"\xff" * 8,
    b"\x01" + b"\x00" * 7,
)
_WORDS = (
    b"[[[[[[[[[[", b"9" * 400, b"-1e999", b"\x00", b"\xff\xfe", b'"""', b"\\u0000", b"\\ud800", b"nan", b"<![CDATA[",
    b"&x;", b"\xe2\x80\xae", b"'", b"\r", b"true", b"{}", b"=", b"../../", b"inf", b"0x7fffffffffffffff", b"1979-05-27",
)  # fmt: skip


def mutated(data: bytes, rng: random.Random, is_text: bool) -> bytes:
    """Return a file with one to three mutations."""
    changes = [flip, cut, inserted, doubled, swapped, blanked, huge, swapped_atoms] + [worded] * (4 if is_text else 0)
    for change in rng.choices(changes, k=rng.choice((1, 1, 1, 2, 3))):
        data = change(bytearray(data), rng) or b"\0"
    return data


def place(data: bytearray, rng: random.Random) -> int:
    """Return a place in a file; those near its ends, where headers are, come up more often."""
    reach = min(len(data), rng.choice((64, 1024, 4096, len(data))))
    at = rng.randrange(reach)
    return at if rng.random() < 0.6 else len(data) - 1 - at


def flip(data: bytearray, rng: random.Random) -> bytes:
    """Turn 1-16 bits."""
    for _ in range(rng.choice((1, 2, 4, 16))):
        data[place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(data: bytearray, rng: random.Random) -> bytes:
    """Leave out the end, or a piece of the middle."""
    start, end = sorted(rng.choices(range(len(data) + 1), k=2))
    return bytes(data[:start]) if rng.random() < 0.5 else bytes(data[:start] + data[end:])


def inserted(data: bytearray, rng: random.Random) -> bytes:
    """Put in a block of noise."""
    at = rng.randrange(len(data) + 1)
    return bytes(data[:at]) + rng.randbytes(rng.choice((1, 7, 64, 4096))) + bytes(data[at:])


def doubled(data: bytearray, rng: random.Random) -> bytes:
    """Repeat a piece."""
    start = rng.randrange(len(data))
    piece = bytes(data[start : start + rng.choice((8, 64, 2048))])
    return bytes(data[:start]) + piece * rng.choice((2, 8, 200)) + bytes(data[start:])


def swapped(data: bytearray, rng: random.Random) -> bytes:
    """Exchange two pieces."""
    size = rng.choice((4, 32, 512))
    one, other = place(data, rng), place(data, rng)
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    return bytes(data)


def blanked(data: bytearray, rng: random.Random) -> bytes:
    """Fill a piece with one value."""
    start, size = place(data, rng), rng.choice((1, 4, 16, 256))
    size = len(data[start : start + size])
    data[start : start + size] = bytes([rng.choice((0, 255, 32))]) * size
    return bytes(data)


def huge(data: bytearray, rng: random.Random) -> bytes:
    """Write an extreme number over what may be a length, a time or a size."""
    for _ in range(rng.choice((1, 1, 3))):
        at = place(data, rng)
        number = rng.choice(_BIG)
        number = number if rng.random() < 0.7 else number[::-1]
        data[at : at + len(number)] = number
    return bytes(data)


def swapped_atoms(data: bytearray, rng: random.Random) -> bytes:
    """Exchange two parts that begin with a length and a name of four letters, where there are such."""
    starts = [
        at for at in range(len(data) - 8)
        if data[at + 4 : at + 8].isalpha() and 8 <= int.from_bytes(data[at : at + 4]) <= len(data) - at
    ]  # fmt: skip
    if len(starts) < 2:
        return swapped(data, rng)
    one, other = sorted(rng.sample(starts, 2))
    parts = [bytes(data[at : at + int.from_bytes(data[at : at + 4])]) for at in (one, other)]
    end = max(one + len(parts[0]), other)
    return bytes(data[:one]) + parts[1] + bytes(data[end:other]) + parts[0] + bytes(data[other + len(parts[1]) :])


def worded(data: bytearray, rng: random.Random) -> bytes:
    """Put a troublesome word into a text."""
    at = rng.randrange(len(data) + 1)
    return bytes(data[:at]) + rng.choice(_WORDS) * rng.choice((1, 1, 500)) + bytes(data[at:])


# The child's side


def read(kind: str, file: Path, beside: Path) -> None:
    """Read a file as a run does; ``beside`` holds a whole picture and sound, and is where results may be written."""
    READERS[kind](file, beside)


def _video(file: Path, beside: Path) -> None:
    from flows.history import read_task
    from stages import media
    from stages.progress import silent
    from stages.still import StillConfig, is_needed, open_inputs

    source = open_inputs(file, None)
    read_task(source, StillConfig(), None)
    is_needed(source)
    found = media.ingest(source, media.MediaConfig(), beside, silent).at(beside)
    for _ in media.frames(source, found, 0, min(_FRAMES, found.picture.frames) - 1):
        pass


def _sound(file: Path, beside: Path) -> None:
    from flows.history import read_task
    from stages import media
    from stages.still import StillConfig, open_inputs

    read_task(open_inputs(beside / "portrait.png", file), StillConfig(), None)
    media.extract_sound(file, media.MediaConfig(), beside / "sound.wav")


def _picture(file: Path, beside: Path) -> None:
    from flows.history import read_task
    from stages.still import StillConfig, open_inputs, picture

    config = StillConfig()
    read_task(open_inputs(file, beside / "speech.wav"), config, None)
    picture.sized(picture.read(file), config.max_side_px, config.max_pixels)


def _edits(file: Path, beside: Path) -> None:
    from stages.edits import read_edits

    read_edits(file).texts()


def _speakers(file: Path, beside: Path) -> None:
    from stages.speakers import read_speakers

    known = read_speakers(file)
    known.merged()
    [each.vector() for each in known.speakers.values()]


def _glossary(file: Path, beside: Path) -> None:
    from stages.translate.glossary import read_glossary

    for found in read_glossary(file, ("pt-BR", "it")).values():
        found.said_in("The board met Anna on Monday.")


def _memory(file: Path, beside: Path) -> None:
    from stages.translate.exchange import read_units
    from stages.translate.memory import check_memories

    read_units(file)
    check_memories([file], "en", ["pt-BR"])


def _pack(file: Path, beside: Path) -> None:
    from language_packs import Packs

    with tempfile.TemporaryDirectory(dir=beside) as temporary:
        folder = Path(temporary) / PACK
        shutil.copytree(ROOT / "language_packs" / PACK, folder)
        shutil.copy(file, folder / file.name.rsplit("-", 1)[-1])
        packs = Packs((folder,))
        packs.load(PACK)
        packs.shortening(PACK)


READERS: dict[str, Callable[[Path, Path], None]] = {
    "video": _video,
    "sound": _sound,
    "picture": _picture,
    "edits": _edits,
    "speakers": _speakers,
    "glossary": _glossary,
    "memory": _memory,
    "pack": _pack,
}


def serve(beside: Path) -> None:
    """Read files that are named on standard input, one a line, and say on standard output what came of each."""
    from language_packs import PackError
    from stages import media, still  # noqa: F401  (loaded before the first file is timed)
    from stages.errors import DubwrightError

    own = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    )
    most = own + 2 * _LIMIT_BYTES  # address space: what is only reserved does not count, but the machine must live
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    print("ready", flush=True)
    for line in sys.stdin:
        kind, name = line.rstrip("\n").split("\t")
        try:
            read(kind, Path(name), beside)
            told = {"end": "read"}
        except (DubwrightError, PackError) as error:
            text = str(error)
            is_fit = "\n" not in text and len(text) < _LONGEST_LINE
            told = {"end": "refused", "line": text} if is_fit else {"end": "FAULT", "line": text[:2000]}
        except BaseException:
            told = {"end": "FAULT", "line": traceback.format_exc()}
        told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(told), flush=True)


# The parent's side


@dataclass(frozen=True)
class Result:
    """What came of one file."""

    kind: str
    file: Path
    end: str
    line: str
    seconds: float
    peak_mb: int


class Reader:
    """A child process that reads files, started again when it has ended."""

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self._process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        self._beside.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--read-beside", str(self._beside)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "OFF"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        if self._answer(process, _START_S) is None:
            raise SystemExit("a child process does not start")
        return process

    @staticmethod
    def _answer(process: subprocess.Popen[str], limit_s: float) -> str | None:
        """Return the next line that a child says; None: it says nothing in time, or has ended."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            return process.stdout.readline() or None if selector.select(limit_s) else None

    def __call__(self, kind: str, file: Path) -> Result:
        """Have a file read."""
        assert self._process.stdin is not None
        started = time.monotonic()
        self._process.stdin.write(f"{kind}\t{file}\n")
        self._process.stdin.flush()
        answer = self._answer(self._process, _LIMIT_S)
        seconds = time.monotonic() - started
        if answer is not None:
            told = json.loads(answer)
            if told["peak_mb"] > _LIMIT_BYTES >> 20:
                told |= {"end": "FAULT", "line": f"{told['peak_mb']} MB of memory"}
                self.close()
                self._process = self._started()
            return Result(kind, file, told["end"], told.get("line", ""), seconds, told["peak_mb"])
        self._process.kill()
        code = self._process.wait()
        why = f"no end within {_LIMIT_S:g} s" if seconds >= _LIMIT_S else f"the process ended with {code}"
        self._process = self._started()
        return Result(kind, file, "FAULT", why, seconds, 0)

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.wait()


def fuzz(folder: Path, files: int, seed: int, processes: int) -> list[Result]:
    """Make and read the files."""
    whole = seeds(folder / "whole")
    rng = random.Random(seed)
    waiting: Queue[tuple[str, Path]] = Queue()
    (folder / "files").mkdir()
    for number in range(files):
        each = whole[number % len(whole)]
        is_text = each.kind not in ("video", "sound", "picture")
        file = folder / "files" / f"{number:05}-{each.file.name}"
        file.write_bytes(mutated(each.file.read_bytes(), rng, is_text))
        waiting.put((each.kind, file))
    results: list[Result] = []

    def work(beside: Path) -> None:
        shutil.copytree(folder / "whole", beside)
        reader = Reader(beside)
        try:
            for each in whole if beside.name == "0" else ():
                result = reader(each.kind, each.file)
                if result.end != "read":  # a seed that is refused would prove nothing
                    results.append(Result(each.kind, each.file, "FAULT", f"whole, but {result.line}", 0, 0))
            while True:
                try:
                    results.append(reader(*waiting.get_nowait()))
                except Empty:
                    return
        finally:
            reader.close()

    threads = [threading.Thread(target=work, args=(folder / "beside" / str(number),)) for number in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def show(results: list[Result], keep: Path | None) -> int:
    """Print what came out, keep the faulty files, and return how many there are."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        kinds[result.file.suffix.lstrip(".") if result.kind in ("video", "sound", "picture") else result.kind][
            result.end
        ] += 1
    for kind, ends in sorted(kinds.items()):
        print(f"  {kind:<9} {', '.join(f'{ends[end]} {end}' for end in ('read', 'refused', 'FAULT') if ends[end])}")
    faults = [result for result in results if result.end == "FAULT"]
    for fault in faults:
        print(f"FAULT {fault.file.name}: {fault.line.strip()}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(fault.file, keep)
    slowest, largest = max(results, key=lambda each: each.seconds), max(result.peak_mb for result in results)
    print(f"slowest {slowest.seconds:.1f} s: {slowest.file.name}: {slowest.line[-120:]}")
    print(f"{len(results)} files: peak memory {largest} MB, {len(faults)} faults")
    return len(faults)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the files with a fault")
    parser.add_argument("--read-beside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read_beside is not None:
        serve(given.read_beside)
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        faults = show(fuzz(Path(temporary), given.files, given.seed, given.processes), given.keep)
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
