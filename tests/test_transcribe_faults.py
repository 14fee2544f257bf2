"""Whisper's faults: each rule by itself, and each in a sound that was made to provoke it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from language_packs import Packs, g2p
from stages import models
from stages.artifacts import Diarization, Separation, Transcript, Turn
from stages.diarize import DiarizeConfig, diarize
from stages.diarize.voice_activity import Span
from stages.errors import InputError
from stages.progress import silent
from stages.sound import read_span, resample
from stages.transcribe import TranscribeConfig, Vocabulary, transcribe
from stages.transcribe.faster_whisper_engine import WhisperEngine
from stages.transcribe.faults import (
    MUSIC,
    NOISE,
    REPEATS,
    SILENCE,
    Evidence,
    Levels,
    fault,
    is_surely,
    levels,
    looping,
    other_language,
)
from stages.transcribe.heard import HeardSegment, HeardWord
from stages.transcribe.listening import Dropped, Heard, Listener, unprocessed
from stages.transcribe.pieces import speech_spans
from stages.transcribe.word_times import mend

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
RATE_HZ = 16_000
SPEECH_DB = -20.0
VOICE = "voice_16k.wav"
PLAIN = Evidence(
    repeats=False,
    mean_log_probability=-0.3,
    no_speech_probability=0.1,
    levels=Levels(SPEECH_DB, -60.0, is_tonal=True),
    speaking_dbfs=SPEECH_DB,
    other_language=None,
    phones=60,
    speech_ms=4000,
)


def test_ordinary_speech_has_no_fault() -> None:
    assert fault(PLAIN, 13.5) is None
    in_loud_music = replace(PLAIN, levels=Levels(SPEECH_DB, SPEECH_DB + 10, is_tonal=True))
    assert fault(in_loud_music, 13.5) is None
    assert fault(replace(PLAIN, no_speech_probability=0.9), 13.5) is None, "sure of its words"
    assert fault(replace(PLAIN, mean_log_probability=-0.9), 13.5) is None, "sure that somebody speaks"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"repeats": True}, REPEATS),
        ({"levels": Levels(-90, -70, is_tonal=False)}, SILENCE),
        ({"levels": Levels(-45, -20, is_tonal=True)}, MUSIC),
        ({"levels": Levels(-45, -20, is_tonal=False)}, NOISE),
        ({"no_speech_probability": 0.78, "mean_log_probability": -0.86}, MUSIC),
        ({"other_language": "Spanish"}, "heard as another language (Spanish)"),
        ({"other_language": ""}, "heard as another language"),
        ({"phones": 76, "speech_ms": 2000}, "impossible rate: 38 phones/s"),
        ({"speech_ms": 0}, "text without speech"),
    ],
)
def test_every_fault_has_its_reason(change: dict, reason: str) -> None:
    assert fault(replace(PLAIN, **change), 13.5) == reason


def test_the_rate_is_judged_by_the_language() -> None:
    fast = replace(PLAIN, phones=100, speech_ms=4000)
    assert fault(fast, 13.5) is None
    assert fault(fast, 11.0) == "impossible rate: 25 phones/s"
    assert fault(replace(fast, phones=11, speech_ms=100), 11.0) is None, "too few to tell"
    assert fault(fast, None) is None and fault(replace(fast, phones=None), 11.0) is None


def test_languages_are_told_apart_only_where_that_is_sure() -> None:
    assert other_language({"es": 0.97, "en": 0.015}, "en") == "Spanish"
    assert other_language({"es": 0.97, "en": 0.015}, "es-419") is None
    assert other_language({"bn": 0.35, "en": 0.2}, "en") is None, "an accent"
    assert other_language({"sr": 0.9, "hr": 0.05}, "hr") is None, "the same to a recogniser"
    assert is_surely({"pt": 0.9, "es": 0.1}, "pt-BR") and not is_surely({"en": 0.58, "es": 0.41}, "en")


def test_the_words_of_a_loop_are_found() -> None:
    words = ["We", "begin", *["and", "so", "it", "goes"] * 4, "on"]
    assert looping(words) == frozenset(range(2, 18))
    assert looping([" Well,", " A" + "h" * 40, " yes."]) == {1}
    assert looping(["Yes,", "yes,", "yes,", "yes!", "No."]) == frozenset()


def tone(seconds: float, amplitude: float = 0.2) -> np.ndarray:
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return amplitude * sum(np.sin(2 * np.pi * hz * times) for hz in (262, 330, 392)) / 3


def hiss(seconds: float, amplitude: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=int(seconds * RATE_HZ)) * amplitude


def test_levels_tell_music_from_noise() -> None:
    nothing = np.zeros((RATE_HZ, 2))
    music = levels(nothing[:, 0], np.stack([tone(1), tone(1)], axis=1), RATE_HZ)
    assert music.is_tonal and music.voice_dbfs == -120
    assert not levels(nothing[:, 0], np.stack([hiss(1)] * 2, axis=1), RATE_HZ).is_tonal
    assert levels(hiss(1), nothing, RATE_HZ).voice_dbfs == pytest.approx(-20, abs=1)
    assert levels(np.zeros(0), np.zeros((0, 2)), RATE_HZ).background_dbfs == -120


spans_and_words = st.tuples(
    st.lists(st.tuples(st.integers(100, 1500), st.integers(200, 3000)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(-500, 20_000), st.integers(0, 2000)), max_size=15),
    st.lists(st.tuples(st.integers(-500, 20_000), st.integers(1, 6000)), max_size=5),
)


@given(spans_and_words, st.integers(100, 1500))
def test_all_speech_is_in_words_or_listed(made: tuple[list, list, list], at_least_ms: int) -> None:
    spans, time_ms = [], 0
    for gap_ms, length_ms in made[0]:
        spans.append(Span(time_ms + gap_ms, time_ms + gap_ms + length_ms))
        time_ms += gap_ms + length_ms
    words, _ = mend([HeardWord(" w", start, start + length, 0.9) for start, length in sorted(made[1])], spans)
    dropped = tuple(Dropped(start, start + length, f"reason {at}") for at, (start, length) in enumerate(made[2]))
    listed = unprocessed(spans, Heard(tuple(words), dropped), at_least_ms)
    for each in dropped:
        assert any(each.reason in item.reason for item in listed), "nothing is dropped in silence"
    for span in spans:
        covers = sorted(
            (max(item.start_ms, span.start_ms), min(item.end_ms, span.end_ms))
            for item in [*words, *listed]
            if item.end_ms > span.start_ms and item.start_ms < span.end_ms
        )
        assert covers
        reached_ms = span.start_ms
        for start_ms, end_ms in covers:
            assert start_ms - reached_ms < at_least_ms
            reached_ms = max(reached_ms, end_ms)
        assert span.end_ms - reached_ms < at_least_ms


# Made sounds, heard by the real recogniser.


def statement() -> np.ndarray:
    from faster_whisper.audio import decode_audio

    return decode_audio(str(SAMPLE), sampling_rate=RATE_HZ)


def said(text: str, tag: str, speed: float = 1.0) -> np.ndarray:
    from stages.synthesize.kokoro import KokoroEngine

    spoken = KokoroEngine().speak(g2p.phonemize(text, Packs().load(tag).g2p), "jf_alpha", speed)
    return resample(spoken.samples, 24_000, RATE_HZ)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE_HZ))


def separated(folder: Path, voice: np.ndarray, background: np.ndarray | None = None) -> Separation:
    """Write what the separation would, at 16 kHz: the recognisers hear the background at a tenth."""
    behind = np.zeros(len(voice)) if background is None else background
    soundfile.write(folder / "voice_16k.wav", voice + 0.1 * behind, RATE_HZ, subtype="PCM_16")
    soundfile.write(folder / "voice.wav", voice, RATE_HZ, subtype="PCM_16")
    soundfile.write(folder / "background.wav", np.stack([behind] * 2, axis=1), RATE_HZ, subtype="PCM_16")
    return Separation().at(folder)


def heard(
    folder: Path, separation: Separation, ghosts: tuple[tuple[int, int], ...] = (), language: str = "en"
) -> Transcript:
    """Transcribe; ``ghosts`` are stretches that the voice detector takes for speech besides."""
    found = diarize(separation, DiarizeConfig(), folder, silent)
    turns = (*found.turns, *(Turn(speaker="S1", start_ms=start, end_ms=end) for start, end in ghosts))
    diarization = Diarization(turns=turns, speakers=found.speakers or ("S1",))
    transcript = transcribe(separation, diarization, Vocabulary(), TranscribeConfig(language=language), folder, silent)
    for span in speech_spans(turns):
        covers = [*transcript.lines, *transcript.unprocessed]
        assert any(each.end_ms > span.start_ms and each.start_ms < span.end_ms for each in covers), span
    return transcript


def text(transcript: Transcript) -> str:
    return " ".join(line.text for line in transcript.lines)


def reasons_after(transcript: Transcript, start_ms: int) -> set[str]:
    return {each.reason for each in transcript.unprocessed if each.end_ms > start_ms}


def test_the_sample_has_no_fault(tmp_path: Path) -> None:
    transcript = heard(tmp_path, separated(tmp_path, statement()))
    assert text(transcript).startswith("Today, after two years of negotiations, the United States")
    assert transcript.unprocessed == ()


def chords(seconds: float) -> np.ndarray:
    """Four chords in turn, each struck every half second."""
    times = np.arange(RATE_HZ // 2) / RATE_HZ
    strokes = []
    for stroke in range(int(seconds * 2)):
        root_hz = (261.6, 220.0, 174.6, 196.0)[stroke // 4 % 4]
        tones = [hz * overtone for hz in (root_hz, 1.26 * root_hz, 1.5 * root_hz) for overtone in range(1, 6)]
        strokes.append(np.exp(-3 * times) * sum(np.sin(2 * np.pi * hz * times) * root_hz / hz for hz in tones))
    sound = np.concatenate(strokes)
    return sound / np.abs(sound).max()


@pytest.fixture(scope="module")
def whisper() -> WhisperEngine:
    return WhisperEngine(models.path("whisper-base"))


def provoked(whisper: WhisperEngine, folder: Path, start_ms: int, end_ms: int) -> str:
    """Return what Whisper writes into a stretch when nobody checks it; a case that provokes nothing shows nothing."""
    text = whisper.recognise(read_span(folder / VOICE, start_ms, end_ms), "en")
    assert text, "Whisper writes nothing here any more: make another case"
    return text


def test_text_over_music_is_dropped(tmp_path: Path, whisper: WhisperEngine) -> None:
    """Six seconds of chords, of which the separation leaves little: Whisper writes "You"."""
    separation = separated(tmp_path, quiet(8), np.concatenate([quiet(1), 0.03 * chords(6), quiet(1)]))
    provoked(whisper, tmp_path, 900, 7100)
    transcript = heard(tmp_path, separation, ghosts=((1000, 7000),))
    assert transcript.lines == () and reasons_after(transcript, 0) == {MUSIC}


def test_text_in_silence_is_dropped(tmp_path: Path, whisper: WhisperEngine) -> None:
    """Whisper writes "You" into six seconds of silence."""
    separation = separated(tmp_path, np.concatenate([statement(), quiet(10)]))
    provoked(whisper, tmp_path, 11_900, 17_900)
    transcript = heard(tmp_path, separation, ghosts=((12_000, 17_800),))
    assert text(transcript).startswith("Today, after two years")
    assert max(line.end_ms for line in transcript.lines) < 9_000
    assert reasons_after(transcript, 10_000) == {SILENCE}


def test_speech_in_another_language_is_listed_by_its_name(tmp_path: Path) -> None:
    spanish = said("Buenos días a todos. Hoy vamos a hablar de la historia de nuestra ciudad.", "es")
    samples = np.concatenate([statement(), quiet(0.6), spanish])
    transcript = heard(tmp_path, separated(tmp_path, samples))
    assert text(transcript).startswith("Today, after two years") and "historia" not in text(transcript)
    assert reasons_after(transcript, 9_500) == {"heard as another language (Spanish)"}


def test_a_clip_in_another_language_is_refused(tmp_path: Path) -> None:
    spanish = said("Buenos días a todos. Hoy vamos a hablar de la historia de nuestra ciudad.", "es")
    with pytest.raises(InputError, match=r"heard as another language \(Spanish\), not as English.*--from"):
        heard(tmp_path, separated(tmp_path, spanish))


def test_text_too_fast_for_its_speech_is_heard_again(tmp_path: Path, whisper: WhisperEngine) -> None:
    """Of a sentence only three short stretches are speech: Whisper writes down all of it, some 70 phones a second."""
    separation = separated(tmp_path, statement())
    assert "negotiations" in provoked(whisper, tmp_path, 928, 7648)
    speech = (Span(1028, 1500), Span(4300, 4600), Span(7200, 7548))
    turns = tuple(Turn(speaker="S1", start_ms=span.start_ms, end_ms=span.end_ms) for span in speech)
    diarization = Diarization(turns=turns, speakers=("S1",))
    transcript = transcribe(separation, diarization, Vocabulary(), TranscribeConfig(language="en"), tmp_path, silent)
    assert "today" in text(transcript).lower() and "negotiations" not in text(transcript)
    for span in speech:
        assert any(
            each.end_ms > span.start_ms and each.start_ms < span.end_ms
            for each in [*transcript.lines, *transcript.unprocessed]
        )


def test_repeated_lines_are_dropped(tmp_path: Path) -> None:
    """The sample's first word, fourteen times: what Whisper writes is no line that anybody wants dubbed."""
    today = statement()[RATE_HZ : RATE_HZ * 7 // 4]
    transcript = heard(tmp_path, separated(tmp_path, np.concatenate([today] * 14)))
    assert not looping(text(transcript).split())
    assert REPEATS in reasons_after(transcript, 0)


def spread(texts: list[str], start_ms: int) -> tuple[HeardWord, ...]:
    """Spread words over 900 ms."""
    edges = [start_ms + 900 * at // len(texts) for at in range(len(texts) + 1)]
    return tuple(HeardWord(f" {text}", edges[at], edges[at + 1], 0.9) for at, text in enumerate(texts))


class Scripted:
    """A recogniser that writes one line a second, whatever it hears, and another where it may not repeat itself."""

    def __init__(self, line: str, again: str) -> None:
        self.lines = {True: line, False: again}
        self.asked: list[bool] = []

    def segments(self, samples: np.ndarray, language: str, may_repeat: bool = True) -> tuple[HeardSegment, ...]:
        self.asked.append(may_repeat)
        return tuple(
            HeardSegment(spread(self.lines[may_repeat].format(start).split(), start), -0.2, 0.1)
            for start in range(0, len(samples) * 1000 // RATE_HZ - 900, 1000)
        )

    def segments_of(self, sounds: list[np.ndarray], language: str) -> list[tuple[HeardSegment, ...]]:
        return [self.segments(samples, language) for samples in sounds]

    def language_probabilities(self, samples: np.ndarray) -> dict[str, float]:
        return {"en": 1.0}


def scripted(folder: Path, engine: Scripted) -> tuple[str, set[str]]:
    """Return the believed words and the reasons for what is listed, of seven seconds of speech with a pause."""
    spans = [Span(0, 3000), Span(3600, 7000)]
    listener = Listener(engine, separated(folder, hiss(7)), "en", Packs().load("en"), spans)  # type: ignore[arg-type]
    found = listener.listen(800, silent)
    return " ".join(word.text.strip() for word in found.words), {each.reason for each in unprocessed(spans, found, 800)}


def test_a_loop_is_heard_again_without_repetition(tmp_path: Path) -> None:
    engine = Scripted("Thanks for watching.", "Sentence {}.")
    believed, reasons = scripted(tmp_path, engine)
    assert engine.asked == [True, False, False], "once whole, then cut at the pause"
    assert believed.startswith("Sentence 0. Sentence 1000.") and "Thanks" not in believed and reasons == set()


def test_a_loop_that_stays_one_is_dropped(tmp_path: Path) -> None:
    assert scripted(tmp_path, Scripted("Thanks for watching.", "Thanks for watching now.")) == ("", {REPEATS})


def test_a_rate_that_stays_impossible_is_dropped(tmp_path: Path) -> None:
    prompt = "internationalisation of intercontinental telecommunications"
    believed, reasons = scripted(tmp_path, Scripted(prompt, prompt))
    assert believed == "" and reasons
    assert all(reason.startswith(("impossible rate: ", REPEATS)) for reason in reasons)


def test_speech_for_which_no_words_come_is_listed(tmp_path: Path) -> None:
    assert scripted(tmp_path, Mute()) == ("", {"speech not transcribed"})


class Mute(Scripted):
    """A recogniser that never hears anything."""

    def __init__(self) -> None:
        super().__init__("", "")

    def segments(self, samples: np.ndarray, language: str, may_repeat: bool = True) -> tuple[HeardSegment, ...]:
        return ()
