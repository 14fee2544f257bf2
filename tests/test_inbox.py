"""An inbox: what is there to stay is dubbed once, by content, whatever else happens."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.inbox import Outcome, is_written, sweep
from stages.errors import InputError, MissingEngineError

QUIET_S = 0.2


class Dubs:
    """Takes the place of the dubbing and keeps what was asked of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[str, tuple[str, ...], str]] = []
        self.error = error

    def __call__(self, video: Path, targets: list[str], out: Path) -> None:
        self.asked.append((video.name, tuple(targets), out.name))
        if self.error is not None and video.name.startswith("bad"):
            raise self.error
        out.mkdir(parents=True)
        (out / "dub").write_bytes(video.read_bytes())


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.MKV"):
        (tmp_path / "in" / name).write_bytes(name.encode())
    return tmp_path / "in"


def swept(inbox: Path, dub: Dubs, *targets: str, quiet_s: float = QUIET_S) -> dict[str, Outcome]:
    outcomes = sweep(inbox, inbox.parent / "out", targets or ("pt-BR",), dub, quiet_s)
    return {outcome.file: outcome for outcome in outcomes}


def test_each_video_is_dubbed_once_by_content(inbox: Path) -> None:
    for name in ("notes.txt", ".hidden.mp4"):
        (inbox / name).write_bytes(b"x")
    (inbox / "folder.mp4").mkdir()
    dubs = Dubs()
    assert {name: each.what for name, each in swept(inbox, dubs).items()} == {"a.mp4": "dubbed", "b.MKV": "dubbed"}
    assert dubs.asked == [("a.mp4", ("pt-BR",), "a.dub"), ("b.MKV", ("pt-BR",), "b.dub")]
    (inbox / "a.mp4").rename(inbox / "renamed.mp4")
    os.utime(inbox / "b.MKV")
    assert {each.what for each in swept(inbox, dubs).values()} == {"known"} and len(dubs.asked) == 2


def test_a_known_file_is_neither_waited_for_nor_read_again(inbox: Path) -> None:
    swept(inbox, Dubs())
    for file in inbox.iterdir():
        status = file.stat()
        file.write_bytes(b"12345")  # other content, but no change that the file system shows
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    started = time.monotonic()
    assert {each.what for each in swept(inbox, Dubs(), quiet_s=30).values()} == {"known"}
    assert time.monotonic() - started < 10


def test_another_video_of_the_same_name_gets_a_place_of_its_own(inbox: Path) -> None:
    dubs = Dubs()
    swept(inbox, dubs)
    (inbox / "a.mp4").write_bytes(b"another")
    (inbox / "a.mov").write_bytes(b"a third")
    assert swept(inbox, dubs)["a.mp4"].what == "dubbed"
    places = [out for _, _, out in dubs.asked]
    assert len(set(places)) == len(places) == 4 and (inbox.parent / "out" / "a.dub" / "dub").read_bytes() == b"a.mp4"


def test_a_language_that_is_added_is_made_alone(inbox: Path) -> None:
    class Again(Dubs):
        def __call__(self, video: Path, targets: list[str], out: Path) -> None:
            self.asked.append((video.name, tuple(targets), out.name))

    dubs = Again()
    swept(inbox, dubs)
    swept(inbox, dubs, "pt-BR", "es")
    assert dubs.asked[2:] == [("a.mp4", ("es",), "a.dub"), ("b.MKV", ("es",), "b.dub")]


@pytest.mark.parametrize("error", [InputError("it has no sound.\nNone."), RuntimeError("a bug")])
def test_a_failure_is_parked_with_its_reason_and_the_rest_goes_on(inbox: Path, error: Exception) -> None:
    (inbox / "bad.mp4").write_bytes(b"bad")
    (inbox / "c.mp4").write_bytes(b"c")
    dubs = Dubs(error)
    outcomes = swept(inbox, dubs)
    assert outcomes["bad.mp4"].what == "failed" and outcomes["c.mp4"].what == "dubbed"
    reason = inbox.parent / "out" / "failed" / "bad.mp4.reason.txt"
    assert reason.read_text().count("\n") == 1 and str(error).split()[0] in reason.read_text()
    assert (inbox / "bad.mp4").read_bytes() == b"bad"
    assert swept(inbox, dubs)["bad.mp4"].what == "failed before" and len(dubs.asked) == 4
    reason.unlink()
    dubs.error = None
    assert swept(inbox, dubs)["bad.mp4"].what == "dubbed"


def test_a_missing_engine_is_no_videos_fault(inbox: Path) -> None:
    (inbox / "bad.mp4").write_bytes(b"bad")
    with pytest.raises(MissingEngineError):
        swept(inbox, Dubs(MissingEngineError("no model")))
    assert not (inbox.parent / "out" / "failed").exists()


def test_a_file_that_grows_is_left_for_the_next_sweep(inbox: Path) -> None:
    growing, stop = inbox / "growing.mp4", threading.Event()

    def grow() -> None:
        while not stop.wait(0.02):
            with growing.open("ab") as out:
                out.write(b"x")

    growing.write_bytes(b"")
    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert swept(inbox, Dubs())["growing.mp4"].what == "not settled"
    finally:
        stop.set()
        writer.join()
    assert swept(inbox, Dubs())["growing.mp4"].what == "dubbed"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a file is open for writing")
def test_a_file_that_is_open_for_writing_is_left_though_it_does_not_grow(inbox: Path) -> None:
    with (inbox / "a.mp4").open("ab"):
        assert is_written(inbox / "a.mp4")
        outcomes = swept(inbox, Dubs())
        assert outcomes["a.mp4"].what == "not settled" and outcomes["b.MKV"].what == "dubbed"
    assert not is_written(inbox / "a.mp4")
    assert swept(inbox, Dubs())["a.mp4"].what == "dubbed"


def _slow_sweep(inbox: Path, log: Path) -> None:
    def dub(video: Path, _targets: list[str], _out: Path) -> None:
        with log.open("a") as out:
            out.write(f"{video.name}\n")
        time.sleep(0.3)

    sweep(inbox, inbox.parent / "out", ["pt-BR"], dub, QUIET_S)


def test_sweeps_at_once_never_do_the_same_video(inbox: Path) -> None:
    for number in range(6):
        (inbox / f"{number}.mp4").write_bytes(f"{number}".encode())
    log = inbox.parent / "log"
    fresh = multiprocessing.get_context("spawn")
    sweeps = [fresh.Process(target=_slow_sweep, args=(inbox, log)) for _ in range(3)]
    for each in sweeps:
        each.start()
    for each in sweeps:
        each.join()
    assert [each.exitcode for each in sweeps] == [0, 0, 0]
    assert sorted(log.read_text().split()) == sorted(file.name for file in inbox.iterdir())


def test_a_sweep_that_was_killed_leaves_its_video_to_the_next(inbox: Path) -> None:
    log = inbox.parent / "log"
    killed = multiprocessing.get_context("spawn").Process(target=_slow_sweep, args=(inbox, log))
    killed.start()
    while not log.exists():
        time.sleep(0.01)
    killed.kill()
    killed.join()
    assert swept(inbox, dubs := Dubs())["a.mp4"].what == "dubbed"
    assert ("a.mp4", ("pt-BR",), "a.dub") in dubs.asked


def test_a_damaged_record_is_made_anew(inbox: Path) -> None:
    swept(inbox, Dubs())
    (inbox.parent / "out" / ".dubwright" / "seen.json").write_text("{")
    assert {each.what for each in swept(inbox, Dubs()).values()} == {"known"}


@pytest.mark.parametrize(("inbox_name", "said"), [("none", "is no folder"), ("out", "the same folder")])
def test_folders_that_cannot_be_used_are_named(tmp_path: Path, inbox_name: str, said: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=said):
        sweep(tmp_path / inbox_name, tmp_path / "out", ["pt-BR"], Dubs())
