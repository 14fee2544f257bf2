"""Files that a user gives for the translation: refused before any work, and an input of the stage by content."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SAMPLE
from test_bad_input import refused

from flows.finished import _settings
from language_packs import Wordings
from stages import pipeline
from stages.artifacts import Line, Separation, SourceVideo, Transcript
from stages.progress import silent
from stages.settings import load
from stages.store import Store
from stages.translate import TranslateConfig, chosen_route, read_references

GLOSSARY = "term,translation\nboard,conselho\n"
TMX = (
    '<tmx version="1.4"><header/><body><tu><tuv xml:lang="en"><seg>Yes.</seg></tuv>'
    '<tuv xml:lang="pt-BR"><seg>Sim.</seg></tuv></tu></body></tmx>'
)


@pytest.mark.parametrize(
    ("option", "name", "content", "message"),
    [
        ("--glossary", "nothing.csv", None, "there is no such file"),
        ("--glossary", "g.csv", b"\xff\xfe\x00", "is not UTF-8"),
        ("--glossary", "g.csv", b"PK\x03\x04 no table", "no column named term"),
        ("--glossary", "g.csv", b"term\nboard\n", "neither a column named translation"),
        ("--glossary", "g.csv", b"term,translation\na,b\nA,c\n", "is there already, in line 2"),
        ("--glossary", "g.csv", 100 << 20, "has 100 MB"),
        ("--memory", "nothing.tmx", None, "there is no such file"),
        ("--memory", "m.tmx", b"not XML", "is no TMX or XLIFF file"),
        ("--memory", "m.tmx", 100 << 20, "has 100 MB"),
        ("--memory", "m.tmx", TMX.replace("pt-BR", "es").encode(), "has no translation into pt-BR; it has: en, es"),
        ("--memory", "m.tmx", b'<!DOCTYPE tmx [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + TMX.encode(), "not safe"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    option: str,
    name: str,
    content: bytes | int | None,
    message: str,
) -> None:
    file, out = tmp_path / name, tmp_path / "out"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        with file.open("wb") as huge:
            huge.truncate(content)
    work = ["--out", out, "--work", tmp_path / "work"]
    line = refused(capsys, 2, out, "translate", SAMPLE, "--to", "pt-BR", *work, option, file)
    assert message in line and str(file) in line
    assert not (tmp_path / "work").exists(), "no work is done first"


def test_an_export_does_not_replace_the_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = tmp_path / "statement-en.pt-BR.tmx"
    given.write_text(TMX)
    options = ["--out", tmp_path, "--work", tmp_path / "work", "--memory", given, "--export-tmx"]
    line = refused(capsys, 2, tmp_path / "nothing", "translate", SAMPLE, "--to", "pt-BR", *options)
    assert "would be replaced" in line and given.read_text() == TMX


def test_another_content_translates_again_and_another_name_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "work", SourceVideo(path=tmp_path / "clip.mp4", sha256="0" * 64))
    lines = (Line(id=1, speaker="S1", start_ms=0, end_ms=900, text="The board met.", words=()),)
    transcript = Transcript(language="en", language_probability=1.0, lines=lines, unprocessed=())

    def run(name: str, content: str, memory: str = TMX) -> tuple[str, bool]:
        (tmp_path / name).write_text(content)
        (tmp_path / "m.tmx").write_text(memory)
        references = read_references(tmp_path / name, (tmp_path / "m.tmx",), "en", "pt-BR", ())
        inputs = (transcript, Separation(), chosen_route("en", "pt-BR", TranslateConfig()), Wordings(), references)
        script, done = store.run(pipeline.TRANSLATE, inputs, TranslateConfig(), "pt-BR", silent)
        return script.lines[0].text, done.from_store

    assert run("a.csv", GLOSSARY) == ("O conselho se reuniu.", False)
    assert run("b.csv", GLOSSARY) == ("O conselho se reuniu.", True)
    text, from_store = run("a.csv", GLOSSARY.replace("conselho", "colegiado"))
    assert "colegiado" in text and not from_store
    assert run("a.csv", GLOSSARY, TMX.replace("Yes.", "The board met.")) == ("Sim.", False)
    assert run("a.csv", GLOSSARY, TMX) == ("O conselho se reuniu.", True)


def test_a_line_made_anew_takes_the_dubs_files_or_those_that_are_given(tmp_path: Path) -> None:
    before = load("embedded", {"glossary": tmp_path / "then.csv", "memories": [tmp_path / "then.tmx"]})
    told = before.model_dump(mode="json")
    assert _settings(told, load("embedded", {})).glossary == tmp_path / "then.csv"
    now = _settings(told, load("embedded", {"glossary": tmp_path / "now.csv"}))
    assert now.glossary == tmp_path / "now.csv" and now.memories == (tmp_path / "then.tmx",)
