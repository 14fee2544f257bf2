"""Work in a child process: what comes back, how it ends, and what is left of it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from conftest import ROOT

from language_packs import PackError
from stages import child, devices
from stages.artifacts import Artifact, Record, SourceVideo
from stages.devices import DeviceConfig
from stages.engines import Engine
from stages.errors import InputError, MissingEngineError, PassingError, is_transient
from stages.limits import LimitsConfig
from stages.progress import Progress, silent
from stages.store import Stage, Store

SLOW_S = 60.0
NO_LIMITS = LimitsConfig()
OOM_SCORE = Path("/proc/self/oom_score_adj")


class Made(Artifact):
    pid: int = 0
    text: str = ""
    share: float = 0.0


def work(text: str, progress: Progress) -> Made:
    progress(0.25)
    print("said", text)
    print("complained", file=sys.stderr)
    logging.getLogger("stages.deep").error("logged %s", text)
    logging.getLogger("stages.deep").debug("not logged")
    warnings.warn("be warned", stacklevel=1)
    assert sys.stdin.read() == ""
    assert not OOM_SCORE.exists() or int(OOM_SCORE.read_text()) >= 500  # before its parent, where memory ends
    progress(0.75)
    return Made(pid=os.getpid(), text=text, share=0.1 + 0.2)


def fail(kind: str, progress: Progress) -> Made:
    raise {
        "input": InputError("what is wrong: mend it."),
        "missing": MissingEngineError("what is missing: get it."),
        "pack": PackError("a pack is wrong."),
        "value": ValueError("nobody expected this"),
        "memory": MemoryError(),
        "busy": PassingError("what is busy: wait."),
        "network": ConnectionResetError("reset"),
    }[kind]


def die(how: str, progress: Progress) -> Made:
    {
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "crashed": lambda: ctypes.string_at(0),
        "left": lambda: os._exit(3),
    }[how]()
    return Made()


def slow(pids: Path, progress: Progress) -> Made:
    """Sleep, beside another process that sleeps."""
    other = subprocess.Popen(["sleep", str(SLOW_S)])
    pids.with_suffix(".tmp").write_text(f"{os.getpid()} {other.pid}")
    pids.with_suffix(".tmp").rename(pids)
    time.sleep(SLOW_S)
    return Made()


def is_running(pid: int) -> bool:
    """Of a process that nobody waits for any more, a zombie does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


def gone(pids: list[int], within_s: float) -> bool:
    ends_at = time.monotonic() + within_s
    while any(map(is_running, pids)):
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.02)
    return True


def appears(file: Path) -> str:
    ends_at = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < ends_at, f"{file} was not written"
        time.sleep(0.02)
    return file.read_text()


def test_what_it_returns_tells_and_prints_arrives(
    capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[float] = []
    made = child.run(work, ("ünïcode",), told.append, "work")
    assert made == {"pid": made["pid"], "text": "ünïcode", "share": 0.1 + 0.2} and made["pid"] != os.getpid()
    assert told == [0.25, 0.75]
    printed = capsys.readouterr()
    assert printed.out == "said ünïcode\n"
    assert printed.err.startswith("complained\n") and "UserWarning: be warned" in printed.err
    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [
        ("stages.deep", "ERROR", "logged ünïcode")
    ]


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("input", InputError, "what is wrong: mend it."),
        ("missing", MissingEngineError, "what is missing: get it."),
        ("pack", PackError, "a pack is wrong."),
        ("value", child.ChildError, "ValueError: nobody expected this"),
        ("memory", child.ChildError, "MemoryError: "),
        ("busy", PassingError, "what is busy: wait."),
        ("network", child.PassingChildError, "ConnectionResetError: reset"),
    ],
)
def test_errors_come_through_with_their_traceback(kind: str, error: type[Exception], said: str) -> None:
    with pytest.raises(Exception) as raised:
        child.run(fail, (kind,), silent, "work")
    assert type(raised.value) is error and str(raised.value) == said
    assert is_transient(raised.value) is (kind in ("busy", "network"))
    assert f'tests/test_child.py", line {fail.__code__.co_firstlineno + 1}, in fail' in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("killed", MissingEngineError, r" \(x\) was ended by the system \(signal 9\), most likely out of memory; "),
        ("crashed", MissingEngineError, r" \(x\) crashed \(SIGSEGV, signal 11\); choose another engine or device"),
        ("left", child.ChildError, r"^Talking \(x\): its process ended with code 3 and without a result\.$"),
    ],
)  # fmt: skip
def test_a_child_that_dies_is_one_clear_line(how: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        child.run(die, (how,), silent, "Talking (x)")
    assert "\n" not in str(raised.value)


def test_a_time_limit_ends_the_child_and_what_it_started(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(
        InputError, match=r"^Talking \(x\) did not end within its time limit of 4 s and was stopped; raise "
    ):
        child.run(slow, (tmp_path / "pids",), silent, "Talking (x)", time_limit_s=4.0)
    assert 4 <= time.monotonic() - begun < 20
    assert gone([int(pid) for pid in (tmp_path / "pids").read_text().split()], within_s=1)


def test_an_error_while_progress_is_told_ends_the_child() -> None:
    def stop(_share_done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.run(work, ("a",), stop, "work")


class Config(Record):
    engine: str = "some"
    device: DeviceConfig = DeviceConfig(kind="auto")
    again: int = 0


class Note(Artifact):
    pid: int = 0
    name: str = "note.txt"
    values: tuple[float, ...] = ()


def write(folder: str, config: Config, out: Path, progress: Progress) -> Note:
    (out / "note.txt").write_text("noted")
    return Note(values=(1 / 3, 1e-300), pid=os.getpid() if config.again else 0)


def full_disk(folder: str, config: Config, out: Path, progress: Progress) -> Note:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def slow_at_first(folder: str, config: Config, out: Path, progress: Progress) -> Note:
    if not Path(folder, "pids").exists():
        (out / "half.txt").write_text("half")
        slow(Path(folder, "pids"), progress)
    return write(folder, config, out, progress)


def spend(folder: str, config: Config, out: Path, progress: Progress) -> Note:
    """Use the GPU that is not there for a while."""
    begun = time.monotonic()
    time.sleep(0.8)
    Path(folder, f"{config.again}.json").write_text(json.dumps([begun, time.monotonic()]))
    return Note()


def hang_at_first(folder: str, config: Config, out: Path, progress: Progress) -> Note:
    """Never come back from a C function that holds the interpreter: no signal handler or thread could end it."""
    mark = Path(folder, "hung")
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        re.match("(a|aa)+$", "a" * 200 + "b")
    return write(folder, config, out, progress)


def finds_cuda() -> bool:
    return True


def no_cuda() -> bool:
    return False


def stage(function: object, find: object = no_cuda) -> Stage:
    engine = Engine("some", "stages.progress:silent", device="device", finds_cuda=find)
    return Stage("note", "Noting", function, Note, 1, "note", engines={"some": engine})


def store(folder: Path, models_per_gpu: int = 1, limits: LimitsConfig = NO_LIMITS) -> Store:
    return Store(folder, SourceVideo(path=folder / "v.mp4", sha256="a" * 64), models_per_gpu, limits)


def test_it_makes_the_same_bytes_as_in_one_process(tmp_path: Path) -> None:
    found = []
    for number, kind in enumerate(("cpu", "auto")):
        config = Config(device=DeviceConfig(kind=kind))
        note, _ = store(tmp_path / str(number)).run(stage(write), (str(tmp_path),), config, None, silent)
        manifest = json.loads(note.file("manifest.json").read_text())
        found.append((note.model_dump(), manifest["artifact"], manifest["files"], note.digest))
    assert found[0] == found[1]


def test_only_heavy_engines_have_a_process_of_their_own(tmp_path: Path) -> None:
    light, heavy = (
        store(tmp_path).run(stage(write), (str(tmp_path),), Config(device=where, again=1), None, silent)[0]
        for where in (DeviceConfig(kind="cpu"), DeviceConfig())
    )
    assert light.pid == os.getpid() != heavy.pid


def test_a_full_disk_is_the_same_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is full; free some space"):
        store(tmp_path).run(stage(full_disk), (str(tmp_path),), Config(), None, silent)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_run_is_stopped_its_child_is_too_and_the_store_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys; from pathlib import Path; from test_child import *;"
        "store(Path(sys.argv[1])).run(stage(slow_at_first), (sys.argv[1],), Config(), None, silent)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment, stderr=subprocess.PIPE)
    pids = [int(pid) for pid in appears(tmp_path / "pids").split()]
    assert all(map(is_running, pids)) and run.pid not in pids
    run.send_signal(number)
    run.communicate(timeout=10)
    assert run.returncode == -number
    assert gone(pids, within_s=2)
    note, found = store(tmp_path).run(stage(slow_at_first), (str(tmp_path),), Config(), None, silent)
    assert not found.from_store and note.file("note.txt").read_text() == "noted"
    assert not list(tmp_path.rglob("half.txt"))


def spent(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    models_per_gpu: int,
    find: object = finds_cuda,
    limits: LimitsConfig = NO_LIMITS,
) -> list[list[float]]:
    """Return when each of two runs at once used the GPU."""
    monkeypatch.setenv("DUBWRIGHT_LOCKS", str(folder / "locks"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1/2,3")

    def one(number: int) -> None:
        store(folder, models_per_gpu, limits).run(
            stage(spend, find), (str(folder),), Config(again=number), None, silent
        )

    both = [threading.Thread(target=one, args=(number,)) for number in (1, 2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    return sorted(json.loads((folder / f"{number}.json").read_text()) for number in (1, 2))


def test_one_model_at_a_time_uses_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (_, first_ends), (second_begins, _) = spent(tmp_path, monkeypatch, 1)
    assert second_begins >= first_ends
    assert [each.getMessage() for each in caplog.records] == [
        "Noting (some) is waiting for the GPU: another model uses it."
    ]
    assert [file.name for file in (tmp_path / "locks").iterdir()] == ["gpu-GPU-1_2.0.lock"]


@pytest.mark.parametrize(("models_per_gpu", "find"), [(2, finds_cuda), (1, no_cuda)])
def test_more_at_once_where_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, models_per_gpu: int, find: object
) -> None:
    (_, first_ends), (second_begins, _) = spent(tmp_path, monkeypatch, models_per_gpu, find)
    assert second_begins < first_ends and not caplog.records


def test_a_limited_stage_that_hangs_is_ended_and_done_by_the_next_run(tmp_path: Path) -> None:
    light, limits = Config(device=DeviceConfig(kind="cpu"), again=1), LimitsConfig(by_stage_s={"note": 3})
    limited, begun = store(tmp_path, limits=limits), time.monotonic()
    with pytest.raises(
        InputError, match=r"^Noting did not end within its time limit of 3 s and was stopped; raise it "
    ):
        limited.run(stage(hang_at_first), (str(tmp_path),), light, None, silent)
    assert time.monotonic() - begun < 10
    assert gone([int((tmp_path / "hung").read_text())], within_s=1)
    note, found = limited.run(stage(hang_at_first), (str(tmp_path),), light, None, silent)
    assert not found.from_store and note.pid != os.getpid() and note.file("note.txt").read_text() == "noted"


def test_waiting_for_the_gpu_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBWRIGHT_LOCKS", str(tmp_path))
    limited = store(tmp_path, limits=LimitsConfig(stage_s=5))
    with (tmp_path / "gpu-0.0.lock").open("w") as lock:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(7, fcntl.flock, (lock.fileno(), fcntl.LOCK_UN)).start()
        begun = time.monotonic()
        limited.run(stage(write, finds_cuda), (str(tmp_path),), Config(), None, silent)
        assert time.monotonic() - begun > 7


def test_heavy_stages_take_turns_in_memory_and_who_waits_holds_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = LimitsConfig(heavy_stages=1)
    (_, first_ends), (second_begins, _) = spent(tmp_path, monkeypatch, 2, no_cuda, limits)
    assert second_begins >= first_ends
    assert [each.getMessage() for each in caplog.records] == [
        "Noting (some) is waiting for memory: limits.heavy_stages is 1."
    ]
    free, taken = tmp_path / "gpu.lock", tmp_path / "heavy.lock"
    with taken.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert devices._lacking([("the GPU", [free]), ("memory", [taken])]) == "memory"
    with free.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_time_limit_names_a_stage_that_there_is() -> None:
    with pytest.raises(
        InputError, match=r"^setting limits\.by_stage_s\.lips: there is no such stage; there are: mix, "
    ):
        LimitsConfig(by_stage_s={"mix": 1, "lips": 2}).check(["mix", "lipsync"])
    limits = LimitsConfig(stage_s=5, by_stage_s={"mix": 1}, retries=3, first_wait_s=2)
    assert (limits.time_limit_s("mix"), limits.time_limit_s("speak"), limits.waits_s()) == (1, 5, [2, 4, 8])
