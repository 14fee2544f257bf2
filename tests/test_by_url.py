"""Videos and output folders by URL, on a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLE, Run
from s3_server import BUCKET, S3Server, configured, serving

from flows import prune
from flows.cli import main
from flows.in_use import in_use
from flows.output import is_remote, open_output
from stages.artifacts import SourceVideo
from stages.errors import InputError, PassingError
from stages.fetched import fetch_video
from stages.limits import LimitsConfig
from stages.remote import RemoteFolder

LIMITS = LimitsConfig()
VIDEO = f"s3://{BUCKET}/in/statement-en.mp4"
OUT = f"s3://{BUCKET}/dubs/statement.dub"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with serving() as found:
        yield found


@pytest.fixture
def server(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with configured(s3, monkeypatch) as found:
        yield found


# Videos


def test_a_video_is_fetched_once(server: S3Server, tmp_path: Path) -> None:
    server.write("in/a b.mp4", b"content" * 3_000_000)  # more than one block
    file = fetch_video(f"s3://{BUCKET}/in/a b.mp4", tmp_path)
    assert file.name == "a b.mp4" and file.read_bytes() == b"content" * 3_000_000
    server.asked.clear()
    assert fetch_video(f"s3://{BUCKET}/in/a b.mp4", tmp_path) == file
    assert {line.split()[0] for line in server.asked} == {"HEAD"}
    file.write_bytes(b"damaged")
    assert fetch_video(f"s3://{BUCKET}/in/a b.mp4", tmp_path).read_bytes() == b"content" * 3_000_000
    server.write("in/a b.mp4", b"CONTENT" * 3_000_000)
    other = fetch_video(f"s3://{BUCKET}/in/a b.mp4", tmp_path)
    assert other != file and other.read_bytes()[:7] == b"CONTENT"


def test_a_video_is_there_whole_or_not_at_all(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.write("in/a.mp4", b"a" * 20_000_000)
    blocks = RemoteFolder.blocks

    def changed_meanwhile(self: RemoteFolder, name: str) -> Iterator[bytes]:
        yield from blocks(self, name)
        server.write("in/a.mp4", b"b" * 20_000_000)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "blocks", changed_meanwhile)
        with pytest.raises(PassingError, match="was changed while it was fetched"):
            fetch_video(f"s3://{BUCKET}/in/a.mp4", tmp_path)
    assert not list(tmp_path.rglob("a.mp4"))
    assert fetch_video(f"s3://{BUCKET}/in/a.mp4", tmp_path).read_bytes()[:1] == b"b"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"s3://{BUCKET}/in/none.mp4", "no such file"),
        ("s3://no-such-bucket/a.mp4", "no such file"),
        (f"s3://{BUCKET}/in/", "no such file"),
        (f"s3://{BUCKET}/in", "no such file"),
        (f"s3://{BUCKET}/in/../in/empty.mp4", "names nothing"),
        (f"s3://{BUCKET}/in/empty.mp4", "is empty"),
        (f"s3://{BUCKET}/in/large.mp4", "has 2 MB, and 1 are allowed"),
    ],
)
def test_what_is_no_video_is_one_line(server: S3Server, tmp_path: Path, url: str, says: str) -> None:
    server.write("in/empty.mp4", b"")
    server.write("in/large.mp4", b"0" * 2_000_000)
    with pytest.raises(InputError, match=says):
        fetch_video(url, tmp_path, 1.0)
    assert not list(tmp_path.rglob("*.mp4"))


def test_only_what_is_allowed_is_an_address() -> None:
    assert is_remote(VIDEO, LIMITS) and is_remote("S3://a/b", LIMITS)
    names = ["http://h/a.mp4", "file:///a.mp4", "concat:a|b", "s3:a", "s3:/a", "a.mp4", "gs://a/b", "../s3://a"]
    assert not [name for name in names if is_remote(name, LIMITS)]
    assert not is_remote(Path("s3://a/b"), LIMITS)
    assert not is_remote(VIDEO, LimitsConfig(url_schemes=()))


def test_a_fetched_video_is_pruned_unless_a_run_uses_it(server: S3Server, tmp_path: Path) -> None:
    server.write("in/a.mp4", b"a" * 100_000)
    file = fetch_video(f"s3://{BUCKET}/in/a.mp4", tmp_path)
    with in_use(tmp_path, SourceVideo(path=file, sha256="a" * 64, url=f"s3://{BUCKET}/in/a.mp4")):
        assert prune.prune(tmp_path, 0).in_use == (file.parent,) and file.exists()
    assert prune.prune(tmp_path, 0).removed == (file.parent,) and not file.exists()


# Output folders


def test_what_a_person_wrote_is_fetched_and_what_is_new_is_put(server: S3Server, tmp_path: Path) -> None:
    server.write("dubs/statement.dub/v.pt-BR.edits.toml", b"[lines.1]")
    server.write("dubs/statement.dub/other.pt-BR.edits.toml", b"[lines.2]")
    server.write("dubs/statement.dub/v.pt-BR.mp4", b"video")
    output = open_output(OUT, "v", tmp_path, LIMITS)
    assert [file.name for file in output.folder.iterdir()] == ["v.pt-BR.edits.toml"]
    assert "v.pt-BR.mp4" in output.names
    for name in ("v.es.report.json", "v.es.mp4", "v.es.srt", "v.speakers.toml"):
        (output.folder / name).write_text(name)
    server.asked.clear()
    output.put()
    output.put()
    put = [line.rpartition("/")[2] for line in server.asked if line.startswith("PUT")]
    assert put == ["v.es.srt", "v.speakers.toml", "v.es.mp4", "v.es.report.json"]
    assert server.read("dubs/statement.dub/v.pt-BR.edits.toml") == b"[lines.1]"


def test_two_runs_have_folders_of_their_own_and_none_is_left(server: S3Server, tmp_path: Path) -> None:
    one, two = (open_output(OUT, "v", tmp_path, LIMITS) for _ in range(2))
    assert one.folder != two.folder and one.folder.is_dir() and two.folder.is_dir()
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom flows.output import open_output\n"
        "from stages.limits import LimitsConfig\n"
        f"output = open_output('{OUT}', 'v', Path('{tmp_path}'), LimitsConfig())\nos._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, cwd=ROOT, check=False)
    folders = {file for file in (tmp_path / "outputs").iterdir() if file.is_dir()}
    assert done.returncode == 9 and len(folders) == 3
    left = folders - {one.folder.parent, two.folder.parent}
    del one
    three = open_output(OUT, "v", tmp_path, LIMITS)
    assert {file for file in (tmp_path / "outputs").iterdir() if file.is_dir()} == {
        two.folder.parent,
        three.folder.parent,
    }
    assert not any(folder.exists() for folder in left)


def test_video_and_dub_by_url(
    run: Run, server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    server.write("in/statement-en.mp4", SAMPLE.read_bytes())
    command = ["translate", VIDEO, "--to", "pt-BR", "--out", OUT, "--work", str(run.work), "--json"]
    assert main(command) in (0, 1)
    (made,) = json.loads(capsys.readouterr().out)
    assert made["video"] == f"{OUT}/statement-en.pt-BR.mp4" and made["report"].startswith(OUT)
    names = {name.rpartition("/")[2] for name in server.names("dubs/")}
    assert names == {file.name for file in run.out.iterdir() if file.is_file()}
    report = json.loads(server.read("dubs/statement.dub/statement-en.pt-BR.report.json"))
    assert report["source"]["path"] == VIDEO and all(stage["from_store"] for stage in report["stages"])
    assert report["lines"] == run.report["lines"]
    assert not list(tmp_path.iterdir()) and not [each for each in (run.work / "outputs").iterdir() if each.is_dir()]

    assert main(command) == 2
    assert f"{OUT} already holds this video's dub in pt-BR" in capsys.readouterr().err
    server.write("dubs/statement.dub/statement-en.pt-BR.edits.toml", b"[lines.99]\ntext = 'x'\n")
    assert main([*command, "--force"]) == 2
    assert "99" in capsys.readouterr().err
    server.remove("dubs/statement.dub/statement-en.pt-BR.edits.toml")
    begun = [name for name in server.names("dubs/") if ".dubwright-begun-" in name]
    assert len(begun) == 1, "that run was cut off"
    assert main(command) in (0, 1), "and goes on without --force"
    assert not [name for name in server.names("dubs/") if ".dubwright-begun-" in name]


def test_waiting_and_approving_by_url(
    run: Run, server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DUBWRIGHT_WORK", str(run.work))
    command = ["translate", str(SAMPLE), "--to", "pt-BR", "--out", OUT, "--approve", "dub"]
    assert main(command) == 4
    told = capsys.readouterr().err
    assert f"look at {OUT}/review/pt-BR/statement-en.pt-BR.mp4" in told and f"dubwright approve {OUT}" in told
    assert "dubs/statement.dub/review/pt-BR/statement-en.pt-BR.mp4" in server.names("dubs/")
    assert main(["approve", OUT]) == 0
    assert f"approved: the dub into pt-BR ({OUT}/review/" in capsys.readouterr().out
    assert main(command) in (0, 1)
    names = server.names("dubs/")
    assert "dubs/statement.dub/statement-en.pt-BR.mp4" in names and not [name for name in names if "review" in name]


def test_an_output_folder_that_refuses_is_found_before_any_work(
    server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", "s3://no-such-bucket/x", "--work", str(tmp_path / "work")]
    assert main(["translate", str(SAMPLE), "--to", "pt-BR", *out]) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("dubwright: ")]
    assert "s3://no-such-bucket/x cannot be" in line
    assert not list((tmp_path / "work").rglob("manifest.json"))
