"""One store that many machines share: each "machine" here has a work folder of its own, and they share a bucket."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLE
from s3_server import BUCKET, S3Server, configure, configured, serving
from test_store import STAGE, Config, Note, calls

from flows import job
from flows.retries import Retrying
from stages import manifest
from stages.artifacts import SourceVideo
from stages.errors import InputError, PassingError, is_transient
from stages.limits import LimitsConfig
from stages.progress import silent
from stages.settings import load
from stages.shared_store import SharedStore, check_shared
from stages.store import Stage, Store

URL = f"s3://{BUCKET}/store"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with serving() as found:
        yield found


@pytest.fixture
def server(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with configured(s3, monkeypatch) as found:
        yield found


def machine(tmp_path: Path, name: str, url: str | None = URL) -> Store:
    """A work folder with another root than any other machine's."""
    return Store(
        tmp_path / name / "work",
        SourceVideo(path=tmp_path / "v.mp4", sha256="a" * 64),
        shared=None if url is None else SharedStore(url),
    )


def note(store: Store, prefix: str = "a") -> tuple[Note, bool]:
    """Run the stage, and say whether the store had it."""
    store.root.mkdir(parents=True, exist_ok=True)
    made, run = store.run(STAGE, (prefix,), Config(), "fr", silent)
    assert isinstance(made, Note) and made.file(made.name).read_text() == f"{prefix}hello"
    return made, run.from_store


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_what_one_machine_made_another_takes(server: S3Server, tmp_path: Path, kind: str) -> None:
    url = URL if kind == "s3" else (tmp_path / "shared").as_uri()
    check_shared(url)
    one, two = machine(tmp_path, "one", url), machine(tmp_path, "two", url)
    first, had = note(one)
    again, found = note(two)
    assert (had, found) == (False, True) and calls(one) == 1 and calls(two) == 0
    assert first.digest == again.digest and again.folder is not None and again.folder.is_relative_to(two.root)
    assert note(two)[1] and note(one)[1]
    assert not list(two.root.rglob(".*.tmp"))


def test_the_manifest_is_put_last(server: S3Server, tmp_path: Path) -> None:
    note(machine(tmp_path, "one"))
    put = [line.rpartition("/")[2] for line in server.asked if line.startswith("PUT") and "/note/" in line]
    assert put == ["note.txt", manifest.NAME]


@pytest.mark.parametrize("damage", ["other content", "cut off", "gone", "manifest", "manifest of another", "escapes"])
def test_what_is_damaged_there_is_made_anew_and_put_there_again(server: S3Server, tmp_path: Path, damage: str) -> None:
    note(machine(tmp_path, "one"))
    note(machine(tmp_path, "one"), "b")
    names = {json.loads(server.read(name))["files"]["note.txt"]: name for name in manifests(server)}
    ours = names[manifest.sha256(written(machine(tmp_path, "one"), "ahello"))]
    (other,) = set(names.values()) - {ours}
    file = ours.replace(manifest.NAME, "note.txt")
    whole = server.read(ours)
    if damage == "other content":
        server.write(file, b"jello")
    elif damage == "cut off":
        server.write(file, b"ah")
    elif damage == "gone":
        server.remove(file)
    elif damage == "manifest":
        server.write(ours, whole[:-20])
    elif damage == "manifest of another":
        server.write(ours, server.read(other))
    else:
        lies = json.loads(whole)
        lies["files"] = {"../../../escaped.txt": lies["files"]["note.txt"]}
        del lies["sha256"]
        server.write(ours, json.dumps(lies | {"sha256": manifest.digest(lies)}).encode())
        server.write("escaped.txt", b"ahello")
    two = machine(tmp_path, "two")
    assert not note(two)[1] and calls(two) == 1
    assert not list(tmp_path.rglob("escaped.txt"))
    assert server.read(file) == b"ahello"
    three = machine(tmp_path, "three")
    assert note(three)[1] and calls(three) == 0


def manifests(server: S3Server) -> list[str]:
    return [name for name in server.names() if name.endswith(manifest.NAME)]


def written(store: Store, text: str) -> Path:
    (found,) = [file for file in store.root.rglob("note.txt") if file.read_text() == text]
    return found


class KilledStore(SharedStore):
    """Is killed when all files are there and the manifest is not."""

    def put(self, name: str, folder: Path, made: dict) -> None:
        for file in made["files"]:
            self._root.put(f"{name}/{file}", folder / file)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_upload_is_not_seen_and_is_made_up_for(server: S3Server, tmp_path: Path) -> None:
    one = machine(tmp_path, "one")
    killed = Store(one.root, one.video, shared=KilledStore(URL))
    child = multiprocessing.get_context("fork").Process(target=note, args=(killed,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(server.names("store/aaaa")) == 1 and not manifests(server)
    two = machine(tmp_path, "two")
    assert not note(two)[1], "files without a manifest are nothing"
    server.remove(manifests(server)[0])
    assert note(one)[1] and calls(one) == 1, "what was made before the kill is not made again"
    assert manifests(server), "but put there"


def test_what_was_removed_there_is_put_there_again_by_who_has_it(server: S3Server, tmp_path: Path) -> None:
    one = machine(tmp_path, "one", None)
    note(one)
    assert not server.names()
    assert note(machine(tmp_path, "one"))[1] and len(server.names()) == 2


def test_what_was_kept_is_fetched(server: S3Server, tmp_path: Path) -> None:
    _, run = machine(tmp_path, "one").run(STAGE, ("a",), Config(), "fr", silent)
    two = machine(tmp_path, "two")
    found = two.kept(STAGE, run.key, "fr")
    assert found is not None and found.file("note.txt").read_text() == "ahello"
    assert machine(tmp_path, "three", None).kept(STAGE, run.key, "fr") is None
    assert two.kept(STAGE, "b" * 64, "fr") is None


class TestBrought:
    def test_from_the_shared_store(self, server: S3Server, tmp_path: Path) -> None:
        made, _ = note(machine(tmp_path, "one"))
        sent = pickle.loads(pickle.dumps(made))
        assert made.folder is not None
        shutil.rmtree(tmp_path / "one")
        here = machine(tmp_path, "two").brought(sent)
        assert here.file("note.txt").read_text() == "ahello" and here.digest == made.digest
        assert here.folder == tmp_path / "two" / made.folder.relative_to(tmp_path / "one")

    def test_nothing_is_done_where_it_is(self, server: S3Server, tmp_path: Path) -> None:
        made, _ = note(machine(tmp_path, "one"))
        server.asked.clear()
        assert machine(tmp_path, "two").brought(made) is made
        assert machine(tmp_path, "two").brought(Note(length=1)).folder is None
        assert not server.asked

    def test_from_the_own_work_folder_without_a_shared_store(self, tmp_path: Path) -> None:
        made, _ = note(machine(tmp_path, "one", None))
        (tmp_path / "one").rename(tmp_path / "two")
        here = machine(tmp_path, "two", None).brought(made)
        assert here.folder is not None and here.folder.is_relative_to(tmp_path / "two")

    def test_nowhere_to_be_found_is_one_line(self, server: S3Server, tmp_path: Path) -> None:
        made, _ = note(machine(tmp_path, "one", None))
        shutil.rmtree(tmp_path / "one")
        with pytest.raises(InputError, match=r"nor is .* in the shared store s3://dubs/store; set shared_store"):
            machine(tmp_path, "two").brought(made)
        with pytest.raises(InputError, match="a shared store, for none is set"):
            machine(tmp_path, "two", None).brought(made)
        with pytest.raises(InputError, match="was not made of this video"):
            machine(tmp_path, "two").brought(made.at(tmp_path / "elsewhere"))

    def test_another_content_under_the_key_is_not_taken(self, server: S3Server, tmp_path: Path) -> None:
        made, _ = note(machine(tmp_path, "one"))
        with pytest.raises(InputError, match="is not on this machine"):
            machine(tmp_path, "two").brought(made.at(tmp_path / "gone" / Path(*made.folder.parts[-4:]), "f" * 64))

    def test_a_video_by_its_url_and_a_clip_made_of_it(self, server: S3Server, tmp_path: Path) -> None:
        server.write("in/v.mp4", b"video")
        two = machine(tmp_path, "two")
        away = SourceVideo(path=Path("/away/v.mp4"), sha256=manifest.digest("no"), url=f"s3://{BUCKET}/in/v.mp4")
        with pytest.raises(InputError, match="has changed since the run began"):
            two.brought_video(away)
        (fetched,) = two.root.rglob("v.mp4")
        right = away.model_copy(update={"sha256": manifest.sha256(fetched)})
        assert two.brought_video(right).path == fetched
        with pytest.raises(InputError, match="give the video by URL"):
            two.brought_video(SourceVideo(path=Path("/away/v.mp4"), sha256="a" * 64, sound=right))
        made, _ = note(machine(tmp_path, "one"))
        clip = SourceVideo(path=made.file("note.txt"), sha256=manifest.sha256(made.file("note.txt")))
        shutil.rmtree(tmp_path / "one")
        assert two.brought_video(clip).path.read_text() == "ahello"


# What refuses, and what cannot be reached


def checked(tmp_path: Path, url: str) -> job.Job:
    given = load("draft", {"work": tmp_path / "work", "shared_store": url})
    return job.check(SAMPLE, ["pt-BR"], tmp_path / "out", given, False)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://no-such-bucket/store", "The specified bucket does not exist.*see to the bucket"),
        ("http://127.0.0.1/store", "setting shared_store: .* cannot be used; what can: s3://..., file://..."),
        ("bucket/store", "setting shared_store: .* cannot be used"),
        ("s3://dubs/../store", "names nothing"),
        ("file:///proc/nothing", "see to the folder and its permissions"),
    ],
)
def test_a_place_that_cannot_be_used_is_found_before_any_work(
    server: S3Server, tmp_path: Path, url: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as raised:
        checked(tmp_path, url)
    assert "\n" not in str(raised.value) and not is_transient(raised.value)
    assert not (tmp_path / "work").exists() and not (tmp_path / "out").exists()


def test_no_credentials_are_one_line(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, server.url)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match=r"Unable to locate credentials.*see to the bucket"):
        checked(tmp_path, URL)


def test_wrong_credentials_are_one_line(server: S3Server, tmp_path: Path) -> None:
    def asks_for_users(count: str) -> None:
        address = f"{server.url}/moto-api/reset-auth"
        kind = {"Content-Type": "text/plain"}
        urllib.request.urlopen(
            urllib.request.Request(address, data=count.encode(), headers=kind, method="POST"), timeout=10
        ).close()

    asks_for_users("0")  # from now on, and the server has none
    try:
        with pytest.raises(InputError, match=r"cannot be written to .*; see to the bucket, the credentials"):
            checked(tmp_path, URL)
    finally:
        asks_for_users("inf")


def test_a_place_out_of_reach_may_pass(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    configure(monkeypatch, nobody)
    two = machine(tmp_path, "two")
    tries, back = [], LimitsConfig(retries=1, first_wait_s=0.0)

    def run(stage: Stage, *inputs: object, language: str | None = None) -> Note:
        tries.append(stage.name)
        if len(tries) == 2:
            configure(monkeypatch, server.url)
        return note(two)[0]

    with pytest.raises(PassingError, match=f"{URL} cannot be .*{nobody}.*run the same command again"):
        checked(tmp_path, URL)
    assert Retrying(run, back)(STAGE) and len(tries) == 2
    assert calls(two) == 1 and manifests(server)


def test_nothing_of_s3_is_imported_without_a_url(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom flows.cli import main\n"
        f"main(['translate', '{tmp_path}/none.mp4', '--to', 'pt-BR', '--work', '{tmp_path}'])\n"
        "print([name for name in ('fsspec', 's3fs', 'botocore', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "no such file" in done.stderr and done.stdout.strip() == "[]"


def test_without_s3fs_it_is_one_line(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom flows.cli import main\nsys.modules['s3fs'] = None\n"
        f"sys.exit(main(['translate', '{SAMPLE}', '--to', 'pt-BR', '--out', '{URL}', '--work', '{tmp_path}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 3 and 'pip install "dubwright[s3]"' in done.stderr and done.stderr.count("\n") == 1
