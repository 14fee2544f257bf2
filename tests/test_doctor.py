"""``dubwright doctor``: engines, what is missing, estimates; and runs that are refused because they cannot fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLE, Run

from flows import job, machine
from flows.cli import main
from flows.doctor import Diagnosis, diagnose, told
from flows.engines import choices
from flows.history import recall
from flows.languages import table
from language_packs import installed
from stages import pipeline
from stages.errors import InputError
from stages.settings import load

GB = 10**9


def rows(found: Diagnosis) -> dict[tuple[str, str | None], object]:
    return {(row.choice.stage, row.choice.language): row for row in found.stages}


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: 64 * GB)


def test_without_a_clip_it_names_every_stage_s_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    stages = {row["choice"]["stage"]: row["choice"] for row in said["stages"]}
    assert stages.keys() == {
        stage.name for stage in (*pipeline.SHARED_STAGES, *pipeline.LANGUAGE_STAGES) if stage is not pipeline.COMPOSE
    }
    assert {choice["device"] for choice in stages.values()} == {"cpu"}
    assert stages["transcribe"]["engine"] == "faster-whisper" and stages["speak"]["engine"] == "kokoro"
    assert said["total"] is None and all(row["estimate"] is None for row in said["stages"])
    assert {check["name"] for check in said["checks"]} >= {"python", "apertium", "model whisper-base"}


def test_with_a_clip_and_languages_it_estimates_each_stage(tmp_path: Path) -> None:
    settings = load("embedded", {"work": tmp_path, "transcribe": {"language": "en"}})
    one = diagnose(SAMPLE, None, ("pt-BR",), settings)
    two = diagnose(SAMPLE, None, ("pt-BR", "en-GB"), settings)
    assert one.total is not None and two.total is not None and one.total.not_measured == ()
    assert ("track", None) in rows(two) and ("speak", "pt-BR") in rows(two) and ("speak", "en-GB") in rows(two)
    assert rows(one)["translate", "pt-BR"].choice.engine == "bergamot en>pt-BR"
    shared = sum(row.estimate.seconds for row in one.stages if row.choice.language is None)
    assert two.total.seconds == pytest.approx(2 * one.total.seconds - shared)
    assert two.total.memory_bytes == one.total.memory_bytes
    lines = told(one)
    assert any(line.startswith("speak -> pt-BR") for line in lines)
    assert "rates of another machine" in next(line for line in lines if line.startswith("time"))
    assert not list(tmp_path.iterdir()), "looking writes nothing"


def test_what_is_missing_is_said_once_with_the_command_that_mends_it(tmp_path: Path) -> None:
    settings = load("embedded", {"synthesize": {"engine": "pocket"}, "separate": {"engine": "demucs"}})
    found = diagnose(None, None, ("pt-BR",), settings)
    assert not found.ready
    assert rows(found)["separate", None].choice.missing
    lines = [line for line in told(found) if line.startswith("MISSING")]
    assert any(line.startswith("MISSING separate: ") and "Run: " in line for line in lines)
    of_pocket = [line for line in lines if "pocket" in line]
    assert of_pocket and all(
        line.startswith("MISSING cast -> pt-BR, read -> pt-BR, speak -> pt-BR: ") for line in of_pocket
    )
    assert len({line.split(": ", 1)[1] for line in lines}) == len(lines)


def test_a_language_that_cannot_be_done_is_said_for_its_stages_only() -> None:
    found = rows(diagnose(None, None, ("pt-BR", "ja"), load("embedded", {"transcribe": {"language": "en"}})))
    assert found["translate", "pt-BR"].choice.missing == () and found["speak", "pt-BR"].choice.missing == ()
    assert all("Japanese" in " ".join(found[stage, "ja"].choice.missing) for stage in ("translate", "speak"))


def test_exit_codes_and_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--to", "ja"]) == 3
    assert main(["doctor", str(tmp_path / "none.mp4")]) == 2
    assert main(["doctor", "--audio", "x.wav"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_the_devices_of_engines_that_need_no_torch_are_told_without_it() -> None:
    script = (
        "import sys\nfrom flows.engines import choices\nfrom stages.settings import load\n"
        "settings = load('embedded', {'transcribe': {'device': {'kind': 'auto'}}})\n"
        "found = {choice.stage: choice.device for _, choice in choices(settings, (), False)}\n"
        "assert found['transcribe'] in ('cpu', 'cuda'), found\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_work_that_is_done_elsewhere_has_no_device_here(tmp_path: Path) -> None:
    settings = load("embedded", {"lipsync": {"engine": "external", "external": {"command": [sys.executable]}}})
    found = {choice.stage: choice for _, choice in choices(settings, (), False)}
    assert (found["lipsync"].device, found["lipsync"].missing) == ("its program's", ())


def check(tmp_path: Path, work: Path | None = None) -> job.Job:
    return job.check(SAMPLE, ["pt-BR"], tmp_path / "out", load("embedded", {"work": work or tmp_path / "work"}), False)


def test_a_run_that_fits_is_let_through(tmp_path: Path, plenty: None) -> None:
    assert check(tmp_path).targets == ("pt-BR",)


def test_too_little_memory_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: 200 * 10**6)
    with pytest.raises(InputError, match=r"memory .* cast needs at least \d+ MB and 200 MB are free") as refusal:
        check(tmp_path)
    assert refusal.value.exit_code == 2 and "\n" not in str(refusal.value)
    assert not (tmp_path / "work").exists()


def test_an_engine_that_was_not_measured_needs_its_model_s_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "model" / name).write_text("{}")
    with (tmp_path / "model" / "model.bin").open("wb") as file:
        file.truncate(8 * GB)  # a hole: it takes no room
    monkeypatch.setattr(machine, "memory_bytes", lambda: GB)
    monkeypatch.setattr("stages.models.digest", lambda name: "0" * 64)
    settings = load("embedded", {"work": tmp_path / "work", "inspect": {"model": str(tmp_path / "model")}})
    with pytest.raises(InputError, match=r"inspect needs at least 2\.0 GB and 1\.0 GB are free"):
        job.check(SAMPLE, ["pt-BR"], tmp_path / "out", settings, False)


@pytest.mark.parametrize(("full", "option"), [("work", "--work"), ("out", "--out")])
def test_a_disk_that_is_too_small_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plenty: None, full: str, option: str
) -> None:
    disks = {"work": machine.Disk(1, 64 * GB), "out": machine.Disk(2, 64 * GB)} | {full: machine.Disk(3, 10_000)}
    monkeypatch.setattr(machine, "disk", lambda folder: disks[folder.name])
    with pytest.raises(InputError, match=rf"/{full} does not suffice.*0 MB are free.*{option} DIR"):
        check(tmp_path)


def test_folders_on_one_disk_share_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plenty: None) -> None:
    monkeypatch.setattr(machine, "disk", lambda folder: machine.Disk(1, 9_470_000))
    with pytest.raises(InputError, match="does not suffice"):
        check(tmp_path)
    monkeypatch.setattr(machine, "disk", lambda folder: machine.Disk(hash(folder), 9_490_000))
    check(tmp_path)


def test_what_lies_in_the_work_folder_is_not_counted(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10**6)
    monkeypatch.setattr(machine, "disk", lambda folder: machine.Disk(hash(folder), 100_000))
    assert check(tmp_path, run.work).targets == ("pt-BR",)


def test_a_finished_run_is_remembered_and_corrects_the_next_estimate(run: Run) -> None:
    (done,) = recall(run.work)
    made = {each["name"]: each["seconds"] for each in run.report["stages"]}
    assert {each.name: each.seconds for each in done.runs} == made
    assert (done.task.frames, done.task.speakers) == (105, len(run.report["voices"]))
    found = diagnose(SAMPLE, None, ("pt-BR",), load("embedded", {"work": run.work}))
    assert found.total is not None
    assert found.total.seconds == pytest.approx(sum(made.values()), rel=0.02)
    assert "corrected by 1 finished run" in "\n".join(told(found))


def test_the_languages_name_the_engines_of_the_settings() -> None:
    chosen = load("embedded", {"transcribe": {"engine": "whisper"}, "lipsync": {"engine": "wav2lip"}, "inspect": {}})
    row = next(row for row in table(installed(), chosen) if row["tag"] == "pt-BR")
    assert (row["transcribe"], row["lipsync"], row["speak"]) == (["whisper"], ["wav2lip"], {"kokoro": "good"})
    usual = next(row for row in table(installed()) if row["tag"] == "ja")
    assert (usual["transcribe"], usual["lipsync"], usual["speak"]) == (["faster-whisper"], ["mesh"], {})
