"""One bad line never ends a run: it is tried in other ways, or left in the original voice and listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLE

from bench.looping import looped
from flows import job
from flows.finished import read_finished
from language_packs import Wordings, load_pack
from stages import inspect, media, pipeline, reading, settings, sound, synthesize
from stages.artifacts import (
    Cast,
    Inspection,
    Line,
    Mixdown,
    Phone,
    PlannedLine,
    ReadLine,
    Script,
    ScriptLine,
    Speech,
    SpokenLine,
    VoiceSettings,
)
from stages.deliver.report import needs_person
from stages.errors import InputError, MissingEngineError
from stages.lipsync.plan import demands
from stages.progress import silent
from stages.synthesize import SynthesizeConfig, speaking
from stages.synthesize.kokoro import KokoroEngine, Length, Utterance
from stages.synthesize.matching import Matching
from stages.synthesize.pitch import UNCHANGED, Change, LogF0
from stages.synthesize.voices import shares
from stages.translate import References
from stages.translate.lines import Chain, Sentence, translated_lines
from stages.translate.text import Translated

RATE_HZ = 24_000
VOICE = LogF0(np.log(100), 0.15)
LINE = ReadLine(id=1, ipa="a", duration_ms=1000, lead_ms=0, tail_ms=0)
PLACE = PlannedLine(id=1, start_ms=500, end_ms=1500, rate=1.0)
PART = speaking.Part("own", Matching(0.95, VOICE, LogF0(np.log(110), 0.2), np.full(513, 0.1)), -20.0)


def vowel(ms: int = 1000) -> np.ndarray:
    time_s = np.arange(ms * RATE_HZ // 1000) / RATE_HZ
    return sum(np.sin(2 * np.pi * 110 * n * time_s) / n for n in range(1, 20)).astype(np.float32) / 8


def phones(ms: int) -> tuple[Phone, ...]:
    return (Phone(ipa="a", start_ms=0, end_ms=ms),)


def raising() -> Utterance:
    raise RuntimeError("the engine is out of order")


Fault = Callable[[], Utterance]
FAULTS: dict[str, tuple[Fault, str]] = {
    "silence": (lambda: Utterance(np.zeros(RATE_HZ, np.float32), phones(1000), np.array([40])), "silence"),
    "constant": (lambda: Utterance(np.full(RATE_HZ, 0.3, np.float32), phones(1000), np.array([40])), "silence"),
    "nan": (lambda: Utterance(vowel() * np.float32(np.nan), phones(1000), np.array([40])), "not a number"),
    "inf": (lambda: Utterance(vowel() / np.float32(0.0), phones(1000), np.array([40])), "not a number"),
    "clipped": (lambda: Utterance(np.sign(vowel()), phones(1000), np.array([40])), "clipped"),
    "empty": (lambda: Utterance(np.zeros(0, np.float32), (), np.zeros(0, int)), "no phones"),
    "long": (lambda: Utterance(vowel(5000), phones(5000), np.array([200])), "5 times as long as planned"),
    "short": (lambda: Utterance(vowel(200), phones(200), np.array([8])), "0.2 times as long as planned"),
    "cut": (lambda: Utterance(vowel(200), phones(1000), np.array([40])), "200 ms of sound for phones that end at"),
    "raises": (raising, "RuntimeError: the engine is out of order"),
}


class Misbehaving:
    """An engine that fails for the first attempts, or for some of its voices."""

    rate_hz = RATE_HZ

    def __init__(self, fault: Fault, attempts: int = 99, voices: Sequence[str] = ()) -> None:
        self.fault, self.attempts, self.voices = fault, attempts, voices
        self.asked: list[tuple[str, float, Change]] = []

    def durations(self, ipa: str, voice: str, speed: float = 1.0) -> Length:
        return Length(0, 1000, 0)

    def speed_for(self, ipa: str, voice: str, sounding_ms: int) -> float:
        return 1.0

    def speak(self, ipa: str, voice: str, speed: float = 1.0, pitch: Change = UNCHANGED) -> Utterance:
        self.asked.append((voice, speed, pitch))
        fails = voice in self.voices if self.voices else len({asked[:2] for asked in self.asked}) <= self.attempts
        return self.fault() if fails else Utterance(vowel(), phones(1000), np.array([40]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
class TestSpeaking:
    @pytest.mark.parametrize("name", FAULTS)
    def test_each_fault_is_tried_in_every_way_then_left_with_its_reason(self, name: str) -> None:
        fault, reason = FAULTS[name]
        engine = Misbehaving(fault)
        part = speaking.Part(PART.voice, PART.matched, -20.0, None, (("second", LogF0(np.log(120), 0.2)),))
        spoken = speaking.speak_line(engine, LINE, PLACE, part)
        assert (
            spoken.failure is not None and spoken.failure.startswith("synthesis failed: ") and reason in spoken.failure
        )
        assert not spoken.samples.any() and spoken.phones == ()
        speeds = [speed for voice, speed, _ in engine.asked if voice == "own"]
        assert {1.0, 1.03, 0.97} <= set(speeds)
        assert engine.asked[-1][0] == "second"

    @pytest.mark.parametrize("name", FAULTS)
    def test_a_fault_that_passes_costs_nothing(self, name: str) -> None:
        spoken = speaking.speak_line(Misbehaving(FAULTS[name][0], attempts=1), LINE, PLACE, PART)
        assert spoken.failure is None and spoken.flags == ()
        assert spoken.samples.any() and spoken.phones[0].start_ms == 500

    def test_a_matching_that_breaks_the_sound_is_left_out(self) -> None:
        broken = Matching(1.0, VOICE, VOICE, np.full(513, np.nan))
        spoken = speaking.speak_line(Misbehaving(raising, 0), LINE, PLACE, speaking.Part("own", broken, -20.0))
        assert spoken.failure is None and spoken.flags == ("spoken by the voice as it is",)
        assert np.isfinite(spoken.samples).all() and spoken.samples.any()

    def test_another_voice_of_the_pitch_class_comes_last_and_is_flagged(self) -> None:
        engine = Misbehaving(raising, voices=("own", "second"))
        others = (("second", VOICE), ("third", VOICE))
        part = speaking.Part(PART.voice, PART.matched, -20.0, None, others)
        spoken = speaking.speak_line(engine, LINE, PLACE, part)
        assert spoken.flags == ("spoken by another voice: third",)

    def test_an_engine_that_is_not_there_ends_the_run(self) -> None:
        def missing() -> Utterance:
            raise MissingEngineError("the model is gone.")

        with pytest.raises(MissingEngineError, match="the model is gone"):
            speaking.speak_line(Misbehaving(missing), LINE, PLACE, PART)

    def test_understudies_are_of_the_same_sex(self) -> None:
        voices = synthesize.engine_spec("kokoro").voices()
        clear_ones = synthesize.castable("kokoro", "pt-BR")
        for voice in (*voices, "af_heart*0.5+af_bella*0.5"):
            own = shares(voice)
            others = synthesize._understudies(voices, clear_ones, voice)
            assert others
            for other, f0 in others:
                assert other not in own and other in clear_ones and f0 == voices[other].f0
                assert voices[other].sex == voices[next(iter(own))].sex


class TestTranslating:
    class Engine:
        def __init__(self, bad: str) -> None:
            self.bad = bad

        def translate(self, texts: Sequence[str]) -> list[Translated]:
            if any(self.bad in text for text in texts):
                raise ValueError("cannot")
            return [Translated(text=text.upper()) for text in texts]

    def test_a_bad_text_costs_nothing_but_itself(self) -> None:
        answers = Chain([self.Engine("b"), self.Engine("!")])(["a", "b", "c"])
        assert [answer.text for answer in answers] == ["A", "", "C"]
        assert [answer.failure for answer in answers] == [None, "ValueError: cannot", None]

    def test_an_engine_that_fails_on_everything_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="cannot"):
            Chain([self.Engine("")])(["a", "b"])

    def test_the_line_says_why(self) -> None:
        lines = [Line(id=n, speaker="S1", start_ms=n, end_ms=n + 1, text=text, words=()) for n, text in enumerate("ab")]
        sentences = [Sentence((line,), line.text) for line in lines]
        made = translated_lines(sentences, Chain([self.Engine("b")]), Wordings(), References(), ("en", "pt-BR"))
        assert [line.text for group in made for line in group or ()] == ["A", ""]
        assert made[1] is not None and made[1][0].flags == ("not translated: ValueError: cannot",)


def test_a_line_that_nobody_can_read_is_listed_and_the_others_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(text: str, how: Any) -> str:
        if "bad" in text:
            raise RuntimeError("no such word")
        return "ˈa"

    monkeypatch.setattr(reading.g2p, "phonemize", failing)
    lines = tuple(
        ScriptLine(id=n, speaker="S1", start_ms=n * 1000, end_ms=n * 1000 + 900, source_text="x", text=text)
        for n, text in enumerate(("good", "bad", "good"), 1)
    )
    script = Script(source="en", target="pt-BR", route=("x",), lines=lines)
    voice = VoiceSettings(
        speaker="S1", voice="jm_kumo", warp=1, f0_mean_log_hz=4.6, f0_std_log=0.2,
        similarity_unmatched=0, similarity_matched=0,
    )  # fmt: skip
    config = SynthesizeConfig()
    read = synthesize.read(script, Cast(voices=(voice,)), load_pack("pt-BR"), config, tmp_path, silent)
    assert [line.failure for line in read.lines] == [None, "cannot be read: line 2: RuntimeError: no such word", None]
    assert [line.duration_ms > 0 for line in read.lines] == [True, False, True]
    assert "RuntimeError" in (reading.try_line("bad", load_pack("pt-BR").g2p, "pt-BR", "line 2")[1] or "")


def test_a_line_that_cannot_be_listened_to_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from stages.transcribe import faster_whisper_engine

    class Deaf:
        def __init__(self, path: Path) -> None:
            self.calls = 0

        def recognise(self, samples: np.ndarray, language: str, task: str) -> str:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("deaf")
            return "dois"

    monkeypatch.setattr(faster_whisper_engine, "WhisperEngine", Deaf)
    sound.write(tmp_path / "dub.wav", np.zeros((48_000 * 4, 2)), 48_000)
    mixdown = Mixdown(
        integrated_lufs=None, true_peak_dbtp=-90,
        levels={"speakers": {}, "speech_db": 0, "trim_db": 0, "limit_dbfs": None, "turn_down_db": 0},
    ).at(tmp_path)  # fmt: skip
    texts = ("um", "dois", "três")
    script = Script(
        source="en", target="pt-BR", route=(),
        lines=tuple(
            ScriptLine(id=n, speaker="S1", start_ms=n, end_ms=n + 1, source_text="x", text=text)
            for n, text in enumerate(texts, 1)
        ),
    )  # fmt: skip
    lines = [
        SpokenLine(
            id=n, speaker="S1", sound="x", sound_start_ms=n * 1000, start_ms=n * 1000, end_ms=n * 1000 + 500,
            rate=1, phones=(), similarity=0, failure="it failed" if n == 3 else None,
        )
        for n in (1, 2, 3)
    ]  # fmt: skip
    speech = Speech(language="pt-BR", engine="kokoro", rate_hz=RATE_HZ, lines=tuple(lines))
    found = inspect.inspect(script, speech, mixdown, inspect.InspectConfig(), tmp_path, silent)
    assert isinstance(found, Inspection)
    assert [(check.id, check.cer) for check in found.lines] == [(2, 0.0)]
    assert [(each.id, each.reason) for each in found.unchecked] == [(1, "RuntimeError: deaf")]


class TestEndToEnd:
    """The sample, said twice with a pause between; the engine raises on the second half."""

    @pytest.fixture
    def dubs(self, tmp_path: Path) -> SimpleNamespace:
        clip = tmp_path / "clip.mp4"
        looped(SAMPLE, clip, 17.0)
        return SimpleNamespace(base=tmp_path, clip=clip)

    def run(self, dubs: SimpleNamespace, lines: tuple[int, ...] = ()) -> dict[str, Any]:
        chosen = settings.load("embedded", {"work": dubs.base / "work", "transcribe": {"language": "en"}})
        checked = job.check(dubs.clip, ["pt-BR"], dubs.base / "out", chosen, force=not lines, lines=lines)
        runner = job.Runner(checked, lambda stage, language: silent)
        (delivery,) = job.translate(checked, runner, runner.runs_for)
        return delivery.content

    def test_the_line_stays_in_the_original_voice_and_can_be_made_again(
        self, dubs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        whole = KokoroEngine.speak
        bad: set[str] = set()

        def speak(self: KokoroEngine, ipa: str, *rest: Any, **named: Any) -> Utterance:
            if ipa in bad:
                raise RuntimeError("out of order")
            return whole(self, ipa, *rest, **named)

        def remember(*arguments: Any) -> Any:
            read = plain_read(*arguments)
            bad.add(read.lines[-1].ipa)
            return read

        plain_read = synthesize.read
        monkeypatch.setattr(KokoroEngine, "speak", speak)
        monkeypatch.setattr(pipeline, "READ", replace(pipeline.READ, function=remember))
        report = self.run(dubs)
        left = report["lines"][-1]
        assert needs_person(report)
        assert any(flag.startswith("left in the original voice: synthesis failed") for flag in left["flags"])
        assert left["spoken_start_ms"] is None and left["cer"] is None and left["text"]
        (listed,) = [item for item in report["unprocessed"] if "left in the original voice" in item["reason"]]
        assert (listed["start_ms"], listed["end_ms"]) == (left["start_ms"], left["end_ms"])
        assert "RuntimeError: out of order" in listed["reason"]
        assert report["totals"]["lines_spoken"] == report["totals"]["lines"] - 1
        finished = read_finished(report, media.open_source(dubs.clip), dubs.base / "work")
        assert finished is not None
        shared, dub = finished.shared, finished.dub
        span = slice((left["start_ms"] + 100) * 48, (left["end_ms"] - 100) * 48)
        source, _ = sound.read(shared.media.file(shared.media.mix))
        mixed, _ = sound.read(dub.mixdown.file(dub.mixdown.sound))
        assert np.corrcoef(source[span, 0], mixed[span, 0])[0, 1] > 0.9999
        other = report["lines"][0]
        dubbed = slice(other["spoken_start_ms"] * 48, other["spoken_end_ms"] * 48)
        assert abs(np.corrcoef(source[dubbed, 0], mixed[dubbed, 0])[0, 1]) < 0.5
        closed = [turn for turn in dub.trajectory.left if turn.end_ms == left["end_ms"]]
        assert closed and not any(viseme.line_id == left["id"] for viseme in dub.trajectory.visemes)
        times_ms = np.load(shared.media.file(shared.media.frame_times))
        inside = (times_ms > left["start_ms"] + 300) & (times_ms < left["end_ms"] - 300)
        for demand in demands(shared.faces, dub.trajectory, shared.media).values():
            assert not demand.wanted[inside].any() and demand.wanted.any()
        subtitles = (dubs.base / "out" / "clip.pt-BR.srt").read_text(encoding="utf-8")
        assert " ".join(left["text"].split()[:3]) in " ".join(subtitles.split())

        monkeypatch.setattr(KokoroEngine, "speak", whole)
        again = self.run(dubs, lines=(left["id"],))
        redone = again["lines"][-1]
        assert redone["spoken_start_ms"] is not None and redone["cer"] is not None
        assert not any("original voice" in item["reason"] for item in again["unprocessed"])
        finished = read_finished(again, media.open_source(dubs.clip), dubs.base / "work")
        assert finished is not None
        mixed, _ = sound.read(finished.dub.mixdown.file(finished.dub.mixdown.sound))
        assert abs(np.corrcoef(source[span, 0], mixed[span, 0])[0, 1]) < 0.5


def test_a_single_bad_input_is_still_an_error() -> None:
    with pytest.raises(InputError):
        reading.check_lines(
            (ScriptLine(id=1, speaker="S1", start_ms=0, end_ms=1, source_text="x", text="Привет, мир"),), "pt-BR"
        )
