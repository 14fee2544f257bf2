from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from stages.artifacts import Artifact, Record, SourceVideo
from stages.errors import InputError
from stages.progress import Progress, silent
from stages.store import Stage, Store


class Config(Record):
    text: str = "hello"


class Note(Artifact):
    length: int
    name: str = "note.txt"


def write_note(prefix: str, config: Config, out: Path, progress: Progress) -> Note:
    (out / "note.txt").write_text(prefix + config.text)
    with (out.parents[3] / "calls").open("a") as calls:
        calls.write("x")
    return Note(length=len(prefix + config.text))


def slow_note(prefix: str, config: Config, out: Path, progress: Progress) -> Note:
    note = write_note(prefix, config, out, progress)
    time.sleep(1.0)
    return note


def full_disk(config: Config, out: Path, progress: Progress) -> Note:
    (out / "half").write_text("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


STAGE = Stage("note", "Noting", write_note, Note, 1, "note")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, SourceVideo(path=tmp_path / "v.mp4", sha256="a" * 64))


def calls(store: Store) -> int:
    file = store.root / "calls"
    return len(file.read_text()) if file.exists() else 0


def test_a_stage_is_done_once_and_bound_to_its_folder(store: Store) -> None:
    first, run = store.run(STAGE, ("a",), Config(), "fr", silent)
    again, second = store.run(STAGE, ("a",), Config(), "fr", silent)
    assert calls(store) == 1 and (run.from_store, second.from_store) == (False, True)
    assert first.digest == again.digest and second.seconds == run.seconds
    assert again.file("note.txt").read_text() == "ahello"
    assert again.file("note.txt").parts[-4:-2] == ("note", "fr")


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.run(STAGE, ("b",), Config(), "fr", silent),
        lambda store: store.run(STAGE, ("a",), Config(text="bye"), "fr", silent),
        lambda store: store.run(Stage("note", "", write_note, Note, 2, "note"), ("a",), Config(), "fr", silent),
    ],
    ids=["input", "config", "version"],
)
def test_what_changes_the_result_changes_the_key(store: Store, change) -> None:
    store.run(STAGE, ("a",), Config(), "fr", silent)
    change(store)
    assert calls(store) == 2


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_entry_is_redone(store: Store, damage: str) -> None:
    note, _ = store.run(STAGE, ("a",), Config(), "fr", silent)
    file = note.file("note.txt")
    {
        "truncate": lambda: file.write_text("ah"),
        "remove": file.unlink,
        "manifest": lambda: file.with_name("manifest.json").write_text("{"),
    }[damage]()
    again, run = store.run(STAGE, ("a",), Config(), "fr", silent)
    assert not run.from_store and again.file("note.txt").read_text() == "ahello"


def test_a_killed_run_leaves_nothing_that_counts(store: Store) -> None:
    killed = Stage("note", "", slow_note, Note, 1, "note")
    child = multiprocessing.get_context("fork").Process(target=store.run, args=(killed, ("a",), Config(), "fr", silent))
    child.start()
    while not calls(store):
        time.sleep(0.01)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not list(store.folder.rglob("manifest.json"))
    _, run = store.run(STAGE, ("a",), Config(), "fr", silent)
    assert not run.from_store and calls(store) == 2
    assert not list(store.folder.rglob(".*.tmp"))


def test_two_runs_at_once_do_the_work_once(store: Store) -> None:
    slow = Stage("note", "", slow_note, Note, 1, "note")
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=store.run, args=(slow, ("a",), Config(), "fr", silent)) for _ in range(2)]
    for child in both:
        child.start()
    for child in both:
        child.join()
    assert [child.exitcode for child in both] == [0, 0] and calls(store) == 1


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(store: Store) -> None:
    stage = Stage("note", "", full_disk, Note, 1, "note")
    with pytest.raises(InputError, match="is full; free some space"):
        store.run(stage, (), Config(), "fr", silent)
    assert [file for file in store.folder.rglob("*") if file.is_file() and file.suffix != ".lock"] == []


def test_the_manifest_says_what_was_done(store: Store) -> None:
    note, _ = store.run(STAGE, ("a",), Config(), "fr", silent)
    manifest = json.loads(note.file("manifest.json").read_text())
    assert manifest["stage"] == "note" and manifest["artifact"]["length"] == 6
    assert list(manifest["files"]) == ["note.txt"]


def test_no_damage_to_a_manifest_goes_unnoticed(store: Store) -> None:
    note, _ = store.run(STAGE, ("a",), Config(), "fr", silent)
    manifest = note.file("manifest.json")
    whole = manifest.read_bytes()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        manifest.write_bytes(data)
        again, run = store.run(STAGE, ("a",), Config(), "fr", silent)
        assert again.length == 6 and again.digest == note.digest
        assert not run.from_store or json.loads(data) == json.loads(whole), f"byte {place}"


def test_a_file_in_the_place_of_a_result_is_replaced(store: Store) -> None:
    note, _ = store.run(STAGE, ("a",), Config(), "fr", silent)
    place = note.file(".")
    shutil.rmtree(place)
    place.write_text("not a folder")
    assert not store.run(STAGE, ("a",), Config(), "fr", silent)[1].from_store
    assert store.run(STAGE, ("a",), Config(), "fr", silent)[1].from_store


def test_only_the_job_that_was_begun_goes_on(store: Store, tmp_path: Path) -> None:
    store.begin(tmp_path / "out", ("fr", "it"))
    assert store.is_begun(tmp_path / "out", ("fr", "it"))
    assert not store.is_begun(tmp_path / "other", ("fr", "it")) and not store.is_begun(tmp_path / "out", ("fr",))
    store.end(tmp_path / "out", ("fr", "it"))
    store.end(tmp_path / "out", ("fr", "it"))
    assert not store.is_begun(tmp_path / "out", ("fr", "it"))
