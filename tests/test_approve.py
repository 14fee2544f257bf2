"""A run that waits for a person: corrections, questions and answers, without any engine."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.approve import Approvals, Question, WaitingError, approve, collected, was_agreed
from flows.asked import AskedDub, asked_file, read_asked
from flows.cli import main
from flows.options import Stop
from flows.retries import Retrying, tags
from stages import pipeline
from stages.artifacts import Diarization, Line, Media, Script, ScriptLine, Transcript, Turn, Word
from stages.corrections import Corrections, corrected_lines, corrections_file, read_corrections
from stages.edits import Edits, edits_file, taken_over
from stages.errors import InputError, MissingEngineError, PassingError
from stages.limits import LimitsConfig
from stages.review import Written
from stages.settings import Settings
from stages.speakers import Speakers

STEM, TAG = "my film", "pt-BR"


def line(id: int, start_ms: int, *texts: str, speaker: str = "S1") -> Line:
    """A word every 200 ms, each of 150 ms."""
    words = tuple(
        Word(text=text, start_ms=start_ms + 200 * at, end_ms=start_ms + 200 * at + 150, probability=0.9)
        for at, text in enumerate(texts)
    )
    return Line(
        id=id,
        speaker=speaker,
        start_ms=start_ms,
        end_ms=words[-1].end_ms,
        text=" ".join(texts),
        words=words,
    )


HEARD = Transcript(
    language="en",
    language_probability=1,
    lines=(
        line(1, 1000, "We", "met", "in", "tour", "in."),
        line(2, 3000, "Then", "we", "left.", speaker="S2"),
        line(3, 5000, "Bye."),
    ),
    unprocessed=(),
)


def corrected(folder: Path, text: str) -> dict[str, Any]:
    corrections_file(folder, STEM).write_text(text, encoding="utf-8")
    return corrected_lines(HEARD, ("S1", "S2"), 6000, read_corrections(corrections_file(folder, STEM)))


def times(line: Line) -> list[tuple[str, int, int]]:
    return [(word.text, word.start_ms, word.end_ms) for word in line.words]


def test_a_corrected_text_keeps_the_times_of_the_words_that_were_heard(tmp_path: Path) -> None:
    made = corrected(tmp_path, '[lines.1]\ntext = "We  met in\\nTurin, yes."\nspeaker = "S2"\n')
    first, *others = made["lines"]
    assert (first.text, first.speaker, first.start_ms, first.end_ms) == ("We met in Turin, yes.", "S2", 1000, 1950)
    assert times(first)[:3] == times(HEARD.lines[0])[:3]
    assert times(first)[3:] == [("Turin,", 1550, 1800), ("yes.", 1800, 1950)]
    assert tuple(others) == HEARD.lines[1:]
    put_in = corrected(tmp_path, '[lines.2]\ntext = "And then we all left."\n')["lines"][1]
    assert [word.text for word in put_in.words] == ["And", "then", "we", "all", "left."]
    assert all(word.end_ms > word.start_ms for word in put_in.words)
    assert put_in.words[0].start_ms == 3000 and put_in.words[-1].end_ms == put_in.end_ms


def test_a_corrected_time_leaves_words_where_they_are_inside_it(tmp_path: Path) -> None:
    (first, *_) = corrected(tmp_path, "[lines.1]\nstart_ms = 900\nend_ms = 2400\n")["lines"]
    assert (first.start_ms, first.end_ms, first.text) == (900, 2400, HEARD.lines[0].text)
    assert times(first) == [("We", 900, 1150), *times(HEARD.lines[0])[1:-1], ("in.", 1800, 2400)]
    (first, *_) = corrected(tmp_path, "[lines.1]\nstart_ms = 1500\n")["lines"]
    assert first.words[0].start_ms == 1500 and all(word.end_ms > word.start_ms for word in first.words)


def test_a_line_that_is_left_out_is_listed(tmp_path: Path) -> None:
    made = corrected(tmp_path, "[lines.2]\nleave_out = true\n")
    assert [each.id for each in made["lines"]] == [1, 3]
    assert [(each.start_ms, each.reason) for each in made["unprocessed"]] == [(3000, "left out by a person")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[lines.9]\ntext = "a"', "there is no line 9; there are: 1-3."),
        ('[lines.1]\ntext = " ."', "lines.1.text: the text is empty"),
        ('[lines.1]\nwho = "S1"', "lines.1.who: there is no such key; what can be said is text = "),
        ('[lines.1]\nspeaker = "S7"', "lines.1.speaker: there is no speaker 'S7'; there are: S1, S2."),
        ("[lines.3]\nend_ms = 6001", "lines.3: 5000 to 6001 ms is no stretch of this video, which lasts 6000 ms"),
        ("[lines.1]\nend_ms = 900", "lines.1: 1000 to 900 ms is no stretch"),
        ("[lines.1]\nend_ms = 3010", "lines.1: 1000 to 3010 ms overlaps line 2 (3000 to 3550 ms)"),
        ("[lines]\n1.leave_out=true\n2.leave_out=true\n3.leave_out=true", "every line is left out"),
        ("[lines.x]\nleave_out=true", "is not the number of a line"),
    ],
)
def test_what_cannot_be_corrected_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        corrected(tmp_path, text)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert str(corrections_file(tmp_path, STEM)) in str(raised.value)


def diarization(folder: Path) -> Diarization:
    turns = tuple(Turn(speaker=each.speaker, start_ms=each.start_ms, end_ms=each.end_ms) for each in HEARD.lines)
    made = Diarization(turns=turns, speakers=("S1", "S2")).at(folder)
    vectors = {name: np.full(256, 1 / 16, np.float32) for name in made.speakers}
    np.savez(made.file(made.embeddings), allow_pickle=False, **vectors)
    return made


def take_over(corrections: Corrections) -> Transcript:
    return HEARD.model_copy(update=corrected_lines(HEARD, ("S1", "S2"), 6000, corrections))


def transcribed(
    folder: Path, approvals: Approvals, heard: Callable[[Corrections], Transcript] = take_over
) -> Transcript:
    media = Media.model_construct(duration_ms=6000)
    (folder / "work").mkdir(exist_ok=True)
    return approvals.transcript(HEARD, diarization(folder / "work"), media, heard)


def fit(edits: Edits) -> Script:
    texts = edits.texts()
    edits.check([1, 2])
    lines = [
        ScriptLine(id=id, speaker="S1", start_ms=0, end_ms=900, source_text='He said "\x7f".', text=f"Linha {id}.")
        for id in (1, 2)
    ]
    made = tuple(taken_over(each, texts[each.id]) if each.id in texts else each for each in lines)
    return Script(source="en", target=TAG, route=("x",), lines=made)


def waits(folder: Path, *stops: Stop) -> Approvals:
    return Approvals(folder, STEM, stops, Written(), Speakers())


def test_a_transcript_is_asked_about_until_it_is_approved_and_again_when_it_changes(tmp_path: Path) -> None:
    approvals, file = waits(tmp_path, Stop.TRANSCRIPT), corrections_file(tmp_path, STEM)
    with pytest.raises(WaitingError) as raised:
        transcribed(tmp_path, approvals)
    assert str(raised.value) == (
        f"the transcript waits for you: look at {file}; then run: dubwright approve {tmp_path} transcript, and the "
        "same command again."
    )
    assert raised.value.exit_code == 4 and (tmp_path / f"{STEM}.speakers.toml").is_file()
    assert read_corrections(file).lines == {}, "as it is written it changes nothing"
    whole = tomllib.loads("".join(each.removeprefix("# ") for each in file.read_text().splitlines(True)[4:]))
    assert whole["lines"]["2"] == {"text": "Then we left.", "speaker": "S2", "start_ms": 3000, "end_ms": 3550}

    file.write_text('[lines.3]\ntext = "Goodbye."\n')
    (question,) = approve(tmp_path, Stop.TRANSCRIPT, None)
    assert question.about == "transcript"
    assert transcribed(tmp_path, approvals).lines[2].text == "Goodbye."
    with pytest.raises(InputError, match="nothing of that waits to be approved; what waits: nothing"):
        approve(tmp_path, None, None)

    file.write_text('[lines.3]\ntext = "Good night."\n')
    with pytest.raises(WaitingError):
        transcribed(tmp_path, approvals)
    assert file.read_text() == '[lines.3]\ntext = "Good night."\n', "what a person wrote stays"
    assert transcribed(tmp_path, waits(tmp_path)).lines == HEARD.lines, "nobody asked to wait"


def test_a_translation_is_taken_with_its_edits(tmp_path: Path) -> None:
    approvals, file = waits(tmp_path, Stop.TRANSLATION), edits_file(tmp_path, STEM, TAG)
    with pytest.raises(WaitingError, match=r"translation --to pt-BR, and the same command again\.$"):
        approvals.translation(TAG, fit)
    text = file.read_text()
    assert '# text = "Linha 2."' in text and "\\u007f" in text
    file.write_text(text.replace("# [lines.2]", "[lines.2]").replace('# text = "Linha 2."', 'text = "Outra."'))
    assert not was_agreed(tmp_path, STEM, TAG)
    approve(tmp_path, None, TAG)
    assert was_agreed(tmp_path, STEM, TAG)
    assert [each.text for each in approvals.translation(TAG, fit).lines] == ["Linha 1.", "Outra."]

    def other(edits: Edits) -> Script:
        made = fit(edits)
        return made.model_copy(update={"lines": (made.lines[0].model_copy(update={"text": "Nova."}), made.lines[1])})

    with pytest.raises(WaitingError):
        approvals.translation(TAG, other)
    file.write_text('[lines.7]\ntext = "a"\n')
    with pytest.raises(InputError, match=r"there is no line 7; there are: 1-2\.$"):
        approve(tmp_path, None, None)


def test_an_unchanged_file_is_written_anew_with_what_is_asked_now(tmp_path: Path) -> None:
    approvals, file = waits(tmp_path, Stop.TRANSLATION), edits_file(tmp_path, STEM, TAG)
    for word in ("Linha", "Frase"):

        def made(edits: Edits, word: str = word) -> Script:
            lines = (each.model_copy(update={"text": each.text.replace("Linha", word)}) for each in fit(edits).lines)
            return fit(edits).model_copy(update={"lines": tuple(lines)})

        with pytest.raises(WaitingError):
            approvals.translation(TAG, made)
        assert f"{word} 2." in file.read_text()


def test_a_dub_lies_aside_until_it_is_approved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    approvals = waits(tmp_path, Stop.DUB)
    monkeypatch.setattr(AskedDub, "of", classmethod(lambda cls, stem, tag, dub: cls(stem=stem, target=tag, made=dub)))

    def deliver(folder: Path) -> Path:
        (folder / f"{STEM}.{TAG}.mp4").write_text("a dub")
        return folder

    shown, final = tmp_path / "review" / TAG / f"{STEM}.{TAG}.mp4", tmp_path / f"{STEM}.{TAG}.mp4"
    for dub in ("first", "second"):
        with pytest.raises(WaitingError, match="the dub into pt-BR waits for you: look at"):
            approvals.delivered(TAG, dub, deliver)
        assert shown.is_file() and not final.exists()
    approve(tmp_path, None, None)
    with pytest.raises(WaitingError):
        approvals.delivered(TAG, "first", deliver)
    approvals.delivered(TAG, "first", deliver) if approve(tmp_path, Stop.DUB, TAG) else None
    assert final.is_file() and not (tmp_path / "review").exists()


def test_who_answers_at_once_is_not_asked_twice(tmp_path: Path) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> None:
        asked.append(question)
        question.look_at.write_text('[lines.1]\ntext = "Eu."\n')
        question.approve()

    approvals = replace(waits(tmp_path, Stop.TRANSLATION), pause=answer)
    assert approvals.translation(TAG, fit).lines[0].text == "Eu." and len(asked) == 1


def test_several_languages_wait_in_one_line(tmp_path: Path) -> None:
    questions = []
    for tag in (TAG, "es"):
        with pytest.raises(WaitingError) as raised:
            waits(tmp_path, Stop.TRANSLATION).translation(tag, fit)
        questions += raised.value.questions
    error = WaitingError(questions)
    assert "the translation into pt-BR and the translation into es wait for you" in str(error)
    assert f"dubwright approve {tmp_path}, and the same command again." in str(error)

    def deliveries():
        yield "a dub"
        raise error

    assert collected(deliveries()) == (["a dub"], error)
    assert [each.about for each in approve(tmp_path, None, "es")] == ["translation into es"]


def test_the_command_approves_and_says_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"{STEM}.dub"
    folder.mkdir()
    with pytest.raises(WaitingError):
        waits(folder, Stop.TRANSLATION).translation(TAG, fit)
    assert main(["approve", f"{STEM}.mp4", "dub"]) == 2
    assert "what waits: translation into pt-BR." in capsys.readouterr().err
    assert main(["approve", "other.mp4"]) == 2
    assert main(["approve", f"{STEM}.mp4", "translation", "--to", "pt-br"]) == 0
    assert "approved: the translation into pt-BR" in capsys.readouterr().out
    asked_file(folder, STEM, Stop.TRANSLATION, TAG).write_text("{}")
    assert main(["approve", str(folder)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert read_asked(folder / "none") is None


@pytest.mark.parametrize(
    ("error", "tries"),
    [(PassingError("busy."), 3), (ConnectionResetError("reset"), 3), (InputError("bad."), 1), (ValueError("?"), 1)],
)
def test_only_what_may_pass_is_tried_again(error: Exception, tries: int, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def run(stage: object, *inputs: object, language: str | None = None) -> Any:
        calls.append(language)
        raise error

    with pytest.raises(type(error)):
        Retrying(run, LimitsConfig(retries=2, first_wait_s=0))(pipeline.MIX, language="es")
    assert calls == ["es"] * tries and len(caplog.records) == tries - 1


def test_tags_say_what_a_task_may_need() -> None:
    settings = Settings.model_validate({"translate": {"engine": "nllb"}})
    assert tags(pipeline.TRANSLATE, (), settings) == {"dubwright-heavy", "dubwright-gpu"}
    assert tags(pipeline.MIX, (), settings) == set()


def test_a_gpu_that_others_fill_may_become_free(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from stages.devices import fitting

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 1 << 30)
    for free_gb, kind in ((0, PassingError), (6, MissingEngineError)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free_gb=free_gb: (free_gb << 30, 8 << 30))
        with pytest.raises(MissingEngineError) as raised, fitting("x"):
            raise torch.OutOfMemoryError
        assert type(raised.value) is kind
    with pytest.raises(PassingError, match="the GPU is busy"), fitting("x"):
        raise RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable")
