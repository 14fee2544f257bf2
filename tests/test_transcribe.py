import itertools
import re
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile

from stages import models
from stages.artifacts import Diarization, Separation, Transcript, Turn
from stages.diarize import DiarizeConfig, diarize
from stages.errors import InputError
from stages.progress import silent
from stages.transcribe import TranscribeConfig, Vocabulary, transcribe
from stages.transcribe.faster_whisper_engine import WhisperEngine
from stages.transcribe.faults import is_loop
from stages.transcribe.heard import HeardWord, whisper_code, whole_words, writes_spaces

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
CLIPS = Path(__file__).parents[1].parent / "shared" / "clips"

# Dickens, A Tale of Two Cities (1859), the opening.
TWO_CITIES = """It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season
of Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing before
us, we were all going direct to Heaven, we were all going direct the other way - in short, the period was so far like
the present period, that some of its noisiest authorities insisted on its being received, for good or for evil, in the
superlative degree of comparison only."""
STATEMENT = """Today, after two years of negotiations, the United States, together with our international partners, has
achieved some"""


def sound(path: Path) -> np.ndarray:
    from faster_whisper.audio import decode_audio

    if not path.is_file():
        pytest.skip(f"{path.name} is not among the shared clips here")
    return decode_audio(str(path), sampling_rate=16_000)


def separated(folder: Path, samples: np.ndarray) -> Separation:
    """Write samples at 16 kHz as a voice without any background."""
    soundfile.write(folder / "voice_16k.wav", samples, 16_000, subtype="PCM_16")
    soundfile.write(folder / "voice.wav", samples, 16_000, subtype="PCM_16")
    soundfile.write(folder / "background.wav", np.zeros((len(samples), 2)), 16_000, subtype="PCM_16")
    return Separation().at(folder)


def run(folder: Path, samples: np.ndarray, config: TranscribeConfig | None = None) -> tuple[Transcript, Diarization]:
    separation = separated(folder, samples)
    diarization = diarize(separation, DiarizeConfig(), folder, silent).at(folder)
    return transcribe(separation, diarization, Vocabulary(), config or TranscribeConfig(), folder, silent), diarization


def normal(text: str) -> str:
    return " ".join(re.findall(r"[a-zà-ÿ']+", text.lower()))


def wer(truth: str, transcript: Transcript) -> float:
    return jiwer.wer(normal(truth), normal(" ".join(line.text for line in transcript.lines)))


def test_ten_sentences_word_for_word(tmp_path: Path) -> None:
    transcript, _ = run(tmp_path, sound(CLIPS / "speech-en-long.wav"))
    assert wer(TWO_CITIES, transcript) <= 0.05
    assert transcript.language == "en" and transcript.language_probability > 0.8
    assert transcript.unprocessed == ()
    assert [line.id for line in transcript.lines] == list(range(1, len(transcript.lines) + 1))
    assert 8 <= len(transcript.lines) <= 16
    assert transcript.lines[0].text.startswith("It was the best of times")
    assert abs(transcript.lines[0].start_ms - 1205) <= 30  # read off the waveform
    for line in transcript.lines:
        assert " ".join(word.text for word in line.words) == line.text
        assert (line.start_ms, line.end_ms) == (line.words[0].start_ms, line.words[-1].end_ms)
        assert line.end_ms - line.start_ms <= 14_000
    words = [word for line in transcript.lines for word in line.words]
    assert all(word.end_ms - word.start_ms >= 40 for word in words)
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(words))


def test_the_sample_s_statement(tmp_path: Path) -> None:
    samples = sound(SAMPLE)
    transcript, _ = run(tmp_path, samples)
    # Whisper base leaves out "our"; the clip ends inside "something".
    assert wer(STATEMENT, transcript) <= 0.12
    assert transcript.lines[0].text.startswith("Today, after two years of negotiations")
    assert {line.speaker for line in transcript.lines} == {"S1"}
    assert transcript.lines[0].start_ms == pytest.approx(1030, abs=80)


def test_an_unsure_language_is_asked_for(tmp_path: Path) -> None:
    samples = sound(CLIPS / "talker-a.mp4")
    with pytest.raises(InputError, match=r"best guesses: .*\ben \d+%.*--from") as refusal:
        run(tmp_path, samples)
    assert "%" in str(refusal.value) and "\n" not in str(refusal.value)
    transcript, _ = run(tmp_path, samples, TranscribeConfig(language="en"))
    assert wer("Good morning, my name is Jordi Mas. I am from Barcelona, and I love the city.", transcript) <= 0.1
    assert (transcript.language, transcript.language_probability) == ("en", 1.0)


def test_german_is_heard(tmp_path: Path) -> None:
    transcript, _ = run(tmp_path, sound(CLIPS / "speech-de.wav"))
    truth = """Über unsere Homepage steht Ihnen unser Mandantenportal zur sicheren und rechtsverbindlichen
    Kommunikation zur Verfügung."""
    assert transcript.language == "de"
    assert wer(truth, transcript) <= 0.1


def test_silence_has_no_lines(tmp_path: Path) -> None:
    transcript, _ = run(tmp_path, np.zeros(80_000))
    assert transcript.lines == () and transcript.unprocessed == ()
    assert (transcript.language, transcript.language_probability) == ("und", 0.0)
    transcript, _ = run(tmp_path, np.zeros(80_000), TranscribeConfig(language="pt-BR"))
    assert (transcript.language, transcript.language_probability) == ("pt-BR", 1.0)


def test_silence_taken_for_speech_is_reported(tmp_path: Path) -> None:
    """A turn in which nobody speaks: the statement, then two seconds of digital silence."""
    samples = np.concatenate([sound(SAMPLE), np.zeros(80_000)])
    separation = separated(tmp_path, samples)
    found = diarize(separation, DiarizeConfig(), tmp_path, silent)
    ghost = Turn(speaker="S1", start_ms=11_000, end_ms=13_000)
    haunted = Diarization(turns=(*found.turns, ghost), speakers=("S1",))
    transcript = transcribe(separation, haunted, Vocabulary(), TranscribeConfig(language="en"), tmp_path, silent)
    (stretch,) = transcript.unprocessed
    assert (stretch.start_ms, stretch.end_ms, stretch.reason) == (11_000, 13_000, "silence")


def test_an_unknown_language_is_refused_before_any_work(tmp_path: Path) -> None:
    nothing = Separation().at(tmp_path)
    for wrong in ("tlh", "not a tag"):
        with pytest.raises(InputError, match=wrong):
            transcribe(
                nothing,
                Diarization(turns=(), speakers=()),
                Vocabulary(),
                TranscribeConfig(language=wrong),
                tmp_path,
                silent,
            )


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    nothing = Diarization(turns=(), speakers=())
    with pytest.raises(InputError, match="there is no model 'whisper-huge'"):
        transcribe(
            Separation().at(tmp_path), nothing, Vocabulary(), TranscribeConfig(model="whisper-huge"), tmp_path, silent
        )


def test_whisper_codes() -> None:
    assert [whisper_code(tag) for tag in ("en", "pt-BR", "jv", "nb", "fil", "zh-Hant")] == [
        "en",
        "pt",
        "jw",
        "no",
        "tl",
        "zh",
    ]


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    return WhisperEngine(models.path("whisper-base"))


def test_recognise_transcribes_and_translates(engine: WhisperEngine) -> None:
    german = sound(CLIPS / "speech-de.wav")
    assert "Mandantenportal" in engine.recognise(german, "de")
    english = engine.recognise(german, "de", "translate").lower()
    assert "homepage" in english and "communication" in english and "unsere" not in english
    assert engine.recognise(np.zeros(0, np.float32), "en") == ""


def test_the_same_sound_gives_the_same_words(engine: WhisperEngine) -> None:
    samples = sound(SAMPLE)
    first = engine.words(samples, "en")
    engine.recognise(samples[:40_000], "en")
    assert engine.words(samples, "en") == first


def test_language_tags_are_bcp_47(engine: WhisperEngine) -> None:
    probabilities = engine.language_probabilities(sound(SAMPLE))
    assert probabilities["en"] > 0.9
    assert "jv" in probabilities and "jw" not in probabilities
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)


def test_loops_and_rhetoric_are_told_apart() -> None:
    assert is_loop("so " * 9)
    assert is_loop("We begin. " + "and then we go " * 4)
    assert not is_loop(TWO_CITIES)
    assert not is_loop("No, no, no, no! Never.")
    assert not is_loop("")


def test_loops_are_found_whatever_the_marks_and_the_script() -> None:
    assert is_loop("Ah, ah, ah, Ah, ah ah, ah ah ah ah,")
    assert is_loop("Well, A" + "a" * 60)
    assert is_loop("ご視聴ありがとうございました" * 4)
    assert not is_loop("今日は二年間の交渉の末、アメリカ合衆国は国際的なパートナーとともに成果を上げました。")
    assert not is_loop("Yes, 1000000000 times, yes, yes!")


def heard(*texts: str) -> list[HeardWord]:
    return [HeardWord(text, 100 * at, 100 * at + 90, 0.9 - 0.1 * at) for at, text in enumerate(texts)]


def test_parts_of_a_word_are_joined_where_scripts_have_spaces() -> None:
    words = whole_words(heard(" in", " D", ".C.", " for"))
    assert [word.text for word in words] == [" in", " D.C.", " for"]
    assert (words[1].start_ms, words[1].end_ms) == (100, 290)
    assert words[1].probability == pytest.approx(0.7)
    assert writes_spaces(heard(" in", " D", ".C.")) and not writes_spaces(heard("今日", "は", "晴れ"))
