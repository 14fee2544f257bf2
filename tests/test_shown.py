"""What the Prefect UI is given, without a server."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from conftest import Run

from flows import shown
from stages.deliver import unchanged
from stages.pipeline import MIX


class Server:
    """Stands for the calls to a server; away: it refuses them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now_s: list[float]) -> None:
        self.away, self.told = False, []
        self.bar = uuid4()
        monkeypatch.setattr(shown, "create_progress_artifact", self.create)
        monkeypatch.setattr(shown, "update_progress_artifact", self.update)
        monkeypatch.setattr(shown.time, "monotonic", lambda: now_s[0])

    def create(self, progress: float, key: str, description: str) -> UUID:
        if self.away:
            raise httpx.ConnectError("away")
        self.told.append((key, progress, description))
        return self.bar

    def update(self, artifact_id: UUID, progress: float) -> None:
        assert artifact_id == self.bar
        if self.away:
            raise httpx.ConnectError("away")
        self.told.append(progress)


def test_a_bar_moves_seldom_and_always_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    server = Server(monkeypatch, now_s)
    tell = shown.watch(MIX, "pt-BR")
    for step in range(100):
        now_s[0] += 0.1
        tell(step / 100)
    tell(1.0)
    first, *moves = server.told
    assert first == ("progress-mix-pt-br", 0.0, "Mixing (pt-BR)")
    assert moves[-1] == 100.0 and moves == sorted(moves) and 4 <= len(moves) <= 6


@pytest.mark.parametrize("away_from_the_start", [True, False])
def test_a_server_that_goes_away_costs_no_work_and_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, away_from_the_start: bool
) -> None:
    server = Server(monkeypatch, [0.0])
    server.away = away_from_the_start
    tell = shown.watch(MIX, None)
    server.away = True
    with caplog.at_level(logging.WARNING, "flows"):
        tell(1.0)
        tell(1.0)
    warned = [record for record in caplog.records if "the work goes on" in record.getMessage()]
    assert len(warned) == 1


def test_the_report_names_figures_files_and_lines_for_a_person(run: Run) -> None:
    content = json.loads(json.dumps(run.report))
    content["lines"][0]["flags"] = ["too *fast*"]
    content["unprocessed"] = [{"start_ms": 1000, "end_ms": 2500, "reason": "no words | made out"}]
    text = shown.report(unchanged(run.out, "statement-en", content, ()))
    assert "# statement-en -> pt-BR" in text and run.video.as_uri() in text
    assert "- line 1: too \\*fast\\*" in text and "- 1.0-2.5 s: no words \\| made out" in text
    assert f"| lines spoken | {content['totals']['lines_spoken']} of 1 |" in text


@pytest.mark.parametrize(
    ("stem", "key"),
    [("My Film (1)", "lines-my-film-1-pt-br"), ("выступление", "lines-pt-br"), ("a__b", "lines-a-b-pt-br")],
)
def test_keys_are_what_prefect_takes(stem: str, key: str) -> None:
    assert shown._slug("lines", Path(stem).name, "pt-BR") == key
