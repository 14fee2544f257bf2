"""``dubwright subtitles``: what is said and its translation, without a dub."""

from __future__ import annotations

import json
from pathlib import Path

import pysubs2
import pytest
from conftest import SAMPLE, Run

from flows.cli import main
from language_packs import SubtitleRules
from stages.artifacts import Script, ScriptLine
from stages.subtitles import script_cues


def test_a_translation_stays_in_the_slot_of_its_line() -> None:
    lines = (
        ScriptLine(id=1, speaker="S1", start_ms=1000, end_ms=4000, source_text="a", text="Um dois três."),
        ScriptLine(id=2, speaker="S1", start_ms=5000, end_ms=6000, source_text="b", text=""),
        ScriptLine(id=3, speaker="S1", start_ms=7000, end_ms=7400, source_text="c", text="Sim."),
    )
    script = Script(source="en", target="pt-BR", route=(), lines=lines)
    cues = script_cues(script, SubtitleRules())
    assert [(cue.text, cue.start_ms) for cue in cues] == [("Um dois três.", 1000), ("Sim.", 7000)]
    assert cues[0].end_ms == 4000 and cues[1].end_ms > 7400  # long enough to be read


def test_the_command_writes_all_formats_from_what_a_dub_left(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["subtitles", str(SAMPLE), "--to", "pt-BR", "--out", str(tmp_path), "--work", str(run.work), "--json"]
    assert main(arguments) == 0
    told = {each["language"]: each["files"] for each in json.loads(capsys.readouterr().out)}
    assert set(told) == {"en", "pt-BR"} and {file for files in told.values() for file in files} == {
        str(file) for file in tmp_path.iterdir()
    }
    for files in told.values():
        texts = {tuple(event.plaintext for event in pysubs2.load(file)) for file in files}
        assert len(texts) == 1 and len(texts.pop()) >= 1
    (line,) = run.report["lines"]
    events = pysubs2.load(told["pt-BR"][0])
    assert line["start_ms"] == events[0].start and events[-1].end >= line["end_ms"] - 100
    assert main(arguments) == 2 and "--force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0


@pytest.mark.parametrize(
    ("options", "said"), [(["--to", "tlh"], "tlh"), (["--from", "en", "--to", "ja"], "ja"), (["--profile", "x"], "x")]
)
def test_what_cannot_be_done_is_said_in_one_line(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["subtitles", str(SAMPLE), "--out", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and list(tmp_path.iterdir()) == []
