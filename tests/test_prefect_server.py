"""The flows on a real Prefect server, as its API and its pages show them."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import ROOT, SAMPLE, Run
from prefect_servers import Serving, free_port, serving, until

from stages.pipeline import COMPOSE, LANGUAGE_STAGES, SHARED_STAGES

NAME = "statement-en -> pt-BR"
TASKS = {stage.name for stage in SHARED_STAGES if stage is not COMPOSE} | {
    f"{stage.name} -> pt-BR" for stage in LANGUAGE_STAGES
}


@pytest.fixture(scope="module")
def server(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that has swept an inbox with one good and one damaged video."""
    base = tmp_path_factory.mktemp("serve")
    (base / "in").mkdir()
    shutil.copy(SAMPLE, base / "in")
    (base / "in" / "junk.mp4").write_bytes(b"no video at all")
    swept = ("--inbox", base / "in", "--outbox", base / "out", "--to", "pt-BR", "--interval", 10)
    with serving(base, run.work, *swept, "--keep", "900GB") as it:
        until(lambda: it.run_named("in/ -> pt-BR", "COMPLETED", "FAILED"), "a sweep")
        yield it


def test_an_inbox_is_dubbed_and_what_cannot_be_is_parked(server: Serving, run: Run) -> None:
    base = server.log.parent
    assert (base / "out" / "statement-en.dub" / run.video.name).read_bytes() == run.video.read_bytes()
    reason = (base / "out" / "failed" / "junk.mp4.reason.txt").read_text()
    assert reason.count("\n") == 1 and "cannot be read as a video" in reason
    assert {file.name for file in (base / "in").iterdir()} == {"statement-en.mp4", "junk.mp4"}
    sweeps = [each for each in server.found("flow_runs", sort="START_TIME_DESC") if each["name"] == "in/ -> pt-BR"]
    assert "1 failed, 1 dubbed." in [each["state"]["message"] for each in sweeps]


def test_a_run_is_shown_with_a_task_a_stage_and_its_results(server: Serving, run: Run) -> None:
    flow_run = server.run_named(NAME, "COMPLETED")
    assert flow_run is not None
    of_the_run = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    tasks = {task["name"]: task["id"] for task in server.found("task_runs", **of_the_run)}
    assert set(tasks) == TASKS
    artifacts = server.found("artifacts", **of_the_run, limit=100)
    by_kind = {kind: [each for each in artifacts if each["type"] == kind] for kind in ("progress", "table")}
    assert {each["task_run_id"] for each in by_kind["progress"]} == set(tasks.values())
    assert {each["data"] for each in by_kind["progress"]} == {100.0}
    (table,) = by_kind["table"]
    (row,) = json.loads(table["data"])
    (line,) = run.report["lines"]
    assert (row["line"], row["text"], row["source"]) == (line["id"], line["text"], line["source_text"])
    assert row["spoken from s"] == line["spoken_start_ms"] / 1000 and row["flags"] == ", ".join(line["flags"])
    texts = {each["key"]: each["data"] for each in artifacts if each["type"] == "markdown"}
    assert set(texts) == {"report-statement-en-pt-br", "dub-statement-en-pt-br"}
    assert f"{run.report['totals']['cer']:.3f}" in texts["report-statement-en-pt-br"]
    place = (server.log.parent / "out" / "statement-en.dub" / run.video.name).as_uri()
    assert place in texts["dub-statement-en-pt-br"] and place in texts["report-statement-en-pt-br"]


def test_a_failure_is_our_one_line(server: Serving) -> None:
    failed = server.run_named("junk -> pt-BR", "FAILED")
    assert failed is not None
    message = failed["state"]["message"]
    assert "\n" not in message and message.startswith(f"{server.log.parent / 'in' / 'junk.mp4'} cannot be read")


def test_the_command_reports_to_the_server_and_fails_as_without_one(server: Serving, tmp_path: Path) -> None:
    silent = tmp_path / "silent.mp4"
    shutil.copy(ROOT / "tests" / "prefect_servers.py", silent)
    done = server.command("translate", silent, "--to", "pt-BR", "--out", tmp_path / "out", "--prefect")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"dubwright: {silent} cannot be read as a video")


def test_the_form_offers_languages_and_profiles(server: Serving) -> None:
    deployments = {each["name"]: each for each in server.found("deployments")}
    assert set(deployments) == {"on-demand", "subtitles", "inbox", "disk-budget"}
    form = deployments["on-demand"]["parameter_openapi_schema"]
    video, languages = form["properties"]["video"], form["properties"]["target_languages"]
    assert form["required"] == ["video", "target_languages"] and "absolute" in video["description"]
    assert {"pt-BR", "en", "ja"} <= set(languages["items"]["enum"])
    options = form["definitions"]["Options"]["properties"]
    assert options["profile"]["enum"] == ["draft", "embedded", "neural"] and options["profile"]["default"] == "embedded"
    assert all(option.get("description") and "default" in option for option in options.values())
    started = httpx.post(
        f"{server.url}/api/deployments/{deployments['on-demand']['id']}/create_flow_run",
        json={"parameters": {"video": "/nowhere.mp4", "target_languages": ["tlh"]}},
        timeout=30,
    )
    assert started.status_code == 409 and "tlh" in started.text
    assert deployments["disk-budget"]["schedules"][0]["schedule"]["cron"] == "0 3 * * *"


def test_a_work_pool_dubs_a_video_that_an_event_names(server: Serving, run: Run, tmp_path: Path) -> None:
    pool = server.command("work-pool", "create", "dubwright", "--type", "process", module="prefect")
    assert pool.returncode == 0, pool.stderr
    deploy = server.command("deploy", "--all", "--prefect-file", "configs/prefect.yaml", module="prefect")
    assert deploy.returncode == 0, deploy.stdout + deploy.stderr
    deployed = [each for each in server.found("deployments") if each["work_pool_name"] == "dubwright"]
    schedules = {each["name"]: [every["schedule"] for every in each["schedules"]] for each in deployed}
    assert {
        name: {*schedule[0]} & {"interval", "cron", "rrule"} for name, schedule in schedules.items() if schedule
    } == {
        "inbox-every-5-minutes": {"interval"},
        "inbox-at-night": {"cron"},
        "inbox-at-weekends": {"rrule"},
        "disk-budget": {"cron"},
    }
    video = tmp_path / "arrived.mp4"
    shutil.copy(SAMPLE, video)
    event = {
        "occurred": "2026-01-01T00:00:00Z", "id": "5f3b0d3e-2c7b-4a55-9a52-3c7d1d0a7c11",
        "event": "dubwright.video.arrived", "resource": {"prefect.resource.id": "dubwright.video.arrived"},
        "payload": {"video": str(video), "target_languages": ["pt-BR"]},
    }  # fmt: skip
    assert httpx.post(f"{server.url}/api/events", json=[event], timeout=30).status_code == 204
    on_demand = next(each["id"] for each in deployed if each["name"] == "on-demand")
    chosen = {"deployments": {"id": {"any_": [on_demand]}}}
    until(lambda: server.found("flow_runs", **chosen) or None, "a run for the event")
    (tmp_path / "elsewhere").mkdir()
    with server.worker("dubwright", tmp_path / "elsewhere" / "worker.log"):
        until(lambda: server.run_named("arrived -> pt-BR", "COMPLETED"), "the run of the event")
    assert (tmp_path / "arrived.dub" / "arrived.pt-BR.mp4").stat().st_size > 10_000


def test_subtitles_are_written_without_a_dub(server: Serving, run: Run, tmp_path: Path) -> None:
    (deployment,) = (each for each in server.found("deployments") if each["name"] == "subtitles")
    video = tmp_path / "told.mp4"
    shutil.copy(SAMPLE, video)
    started = httpx.post(
        f"{server.url}/api/deployments/{deployment['id']}/create_flow_run",
        json={"state": {"type": "SCHEDULED"}, "parameters": {"video": str(video), "target_languages": ["pt-BR"]}},
        timeout=30,
    )
    assert started.status_code == 201, started.text
    until(lambda: server.run_named("told -> subtitles pt-BR", "COMPLETED"), "the subtitles")
    written = tmp_path / "told.subtitles"
    assert {file.name for file in written.iterdir()} == {
        f"told.{language}.{ending}" for language in ("en", "pt-BR") for ending in ("srt", "vtt", "ass")
    }
    assert (written / "told.en.srt").read_text() == (run.out / "statement-en.en.srt").read_text()
    translated = " ".join((written / "told.pt-BR.srt").read_text().split())
    line = run.report["lines"][0]
    assert (line["full_text"] or line["text"]).split()[0] in translated


def test_ctrl_c_ends_everything_in_the_middle_of_a_dub(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(SAMPLE, tmp_path / "in")
    swept = ("--inbox", tmp_path / "in", "--outbox", tmp_path / "out", "--to", "pt-BR", "--interval", 10)
    with serving(tmp_path, tmp_path / "work", *swept) as it:
        until(lambda: it.run_named(NAME, "RUNNING"), "a run at work")
        family = psutil.Process(it.process.pid).children(recursive=True)
        assert len(family) >= 2  # the server, and the sweep
        it.process.send_signal(signal.SIGINT)
        assert it.process.wait(60) in (0, 130), it.log.read_text()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []


def test_a_port_in_use_is_said_in_one_line(server: Serving) -> None:
    done = server.command("serve", "--port", server.port)
    assert done.returncode == 2 and done.stderr.startswith(f"dubwright: port {server.port} is in use")


def test_a_server_that_is_not_there_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.cli import main

    arguments = ["translate", str(SAMPLE), "--to", "pt-BR", "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        assert main([*arguments, "--prefect"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "does not answer" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cron", "0 2 * * *"], "give --inbox, --outbox and --to"),
        (["--inbox", "."], "go together"),
        (["--inbox", ".", "--outbox", "o", "--to", "pt-BR", "--cron", "0 2 * * *", "--interval", "5"], "give one"),
        (["--inbox", ".", "--outbox", "o", "--to", "pt-BR", "--cron", "at dawn"], "the schedule cannot be used"),
        (["--inbox", "./no", "--outbox", "o", "--to", "pt-BR"], "is no folder"),
        (["--keep", "plenty"], "is no size"),
    ],
)
def test_what_serve_cannot_use_is_said_before_a_server_starts(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli import main

    assert main(["serve", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_pages_show_it(server: Serving) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium")
    flow_run = server.run_named(NAME, "COMPLETED")
    failed = server.run_named("junk -> pt-BR", "FAILED")
    assert flow_run is not None and failed is not None
    artifacts = {each["key"]: each["id"] for each in server.found("artifacts", limit=200)}
    on_demand = next(each["id"] for each in server.found("deployments") if each["name"] == "on-demand")
    expected = {
        f"runs/flow-run/{flow_run['id']}": ["statement-en -> pt-BR", "Completed", "Logs"],
        f"runs/flow-run/{failed['id']}": ["cannot be read as a video"],
        f"artifacts/artifact/{artifacts['lines-statement-en-pt-br']}": ["text", "flags", "S1"],
        f"artifacts/artifact/{artifacts['report-statement-en-pt-br']}": ["CER of back-transcription", "subtitles"],
        f"deployments/deployment/{on_demand}/run": ["target_languages", "Which engines do the work"],
    }
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        for path, texts in expected.items():
            page.goto(f"{server.url}/{path}")
            for text in texts:
                page.get_by_text(text).first.wait_for(timeout=30_000)
        chromium.close()
