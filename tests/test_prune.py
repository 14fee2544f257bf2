"""The disk budget of the work folder."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.cli import main
from flows.in_use import in_use
from flows.prune import parse_size, prune, stage_folders
from stages.artifacts import SourceVideo
from stages.errors import InputError

KB = 1024
VIDEO, OTHER = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def stage(work: Path, name: Sequence[str], age_s: int) -> Path:
    """Lay down what the store keeps of a stage: a folder with a manifest and 64 KB, and its lock."""
    place = work.joinpath(*name)
    place.mkdir(parents=True)
    place.with_name(f"{place.name}.lock").touch()
    (place / "sound.flac").write_bytes(b"x" * 64 * KB)
    (place / "manifest.json").write_text("{}")
    moment = 1_700_000_000 - age_s
    os.utime(place / "manifest.json", (moment, moment))
    return place


@pytest.fixture
def work(tmp_path: Path) -> Path:
    stage(tmp_path, (VIDEO, "ingest", "111111111111"), age_s=300)
    stage(tmp_path, (VIDEO, "mix", "pt-BR", "222222222222"), age_s=100)
    stage(tmp_path, (OTHER, "ingest", "333333333333"), age_s=200)
    (tmp_path / "history.jsonl").write_text("{}")
    return tmp_path


def left(work: Path) -> set[str]:
    return {folder.path.name for folder in stage_folders(work)}


def test_what_was_not_used_for_longest_goes_first(work: Path) -> None:
    done = prune(work, 140 * KB)
    assert left(work) == {"222222222222", "333333333333"} and done.after_bytes <= 140 * KB < done.before_bytes
    assert [path.name for path in done.removed] == ["111111111111"] and done.in_use == ()
    prune(work, 100 * KB)
    assert left(work) == {"222222222222"}
    assert (work / "history.jsonl").exists()


def test_nothing_goes_that_fits(work: Path) -> None:
    assert prune(work, 1 << 30).removed == () and len(left(work)) == 3


def test_what_a_run_uses_stays_also_between_its_stages(work: Path) -> None:
    with in_use(work, SourceVideo(path=work / "a.mp4", sha256=VIDEO + "0" * 52)):
        done = prune(work, 0)
        assert left(work) == {"111111111111", "222222222222"} and len(done.in_use) == 2
    prune(work, 0)
    assert left(work) == set()


def test_a_work_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    video = SourceVideo(path=tmp_path / "a.mp4", sha256=VIDEO + "0" * 52)
    with pytest.raises(InputError, match="cannot be written to"), in_use(tmp_path / "file" / "work", video):
        pass


def test_a_stage_that_is_locked_stays(work: Path) -> None:
    with (work / OTHER / "ingest" / "333333333333.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        prune(work, 0)
    assert left(work) == {"333333333333"}


def test_what_a_killed_run_left_goes_first(work: Path) -> None:
    scratch = work / VIDEO / "mix" / "pt-BR" / ".222222222222.tmp"
    scratch.mkdir()
    (scratch / "half").write_bytes(b"x" * 64 * KB)
    assert prune(work, 215 * KB).removed == (scratch,) and len(left(work)) == 3


def test_links_are_not_followed(work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = stage(tmp_path_factory.mktemp("elsewhere"), ("x", "y", "z"), age_s=0)
    (work / VIDEO / "ingest" / "444444444444").symlink_to(elsewhere)
    (work / VIDEO / "ingest" / "444444444444.lock").touch()
    prune(work, 0)
    assert (elsewhere / "sound.flac").exists()


@pytest.mark.parametrize(("text", "size"), [("20GB", 20_000_000_000), ("1.5 GiB", 3 << 29), ("0", 0), ("700", 700)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_what_is_no_size_or_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no size"):
        parse_size("plenty")
    with pytest.raises(InputError, match="is no folder"):
        prune(tmp_path / "none", 0)


def test_the_command(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--keep", "140KiB", "--work", str(work), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in told["removed"]] == ["111111111111"]
    assert main(["prune", "--keep", "plenty", "--work", str(work)]) == 2
