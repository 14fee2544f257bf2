from pathlib import Path

import numpy as np
import pytest

from language_packs import load_pack
from stages import sound, synthesize
from stages.artifacts import (
    Cast,
    Diarization,
    Plan,
    PlannedLine,
    Reading,
    Script,
    ScriptLine,
    Separation,
    Turn,
)
from stages.errors import MissingEngineError
from stages.progress import silent
from stages.synthesize import SynthesizeConfig
from stages.synthesize.kokoro import KokoroEngine
from stages.synthesize.voices import shares

PORTUGUESE = load_pack("pt-BR")
TEXT = "Boa noite, papai. Como vai?"


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Script, Cast, Reading, synthesize.Speech]:
    """One speaker, lower than any voice, made of a voice played slower; one line of text, one without."""
    root = tmp_path_factory.mktemp("chain")
    engine = KokoroEngine()
    speech = engine.speak("ɡˈʊd mˈɔːɹnɪŋ, maɪ nˈeɪm ɪz dʒˈoʊ. aɪ wˈɜːk hˈɪɹ ˈɛvɹi dˈeɪ.", "jm_kumo", 1.2).samples
    lower = 0.3 * sound.resample(speech, 20_000, 48_000)
    place = folder(root / "separation")
    sound.write(place / "voice.wav", lower, 48_000)
    sound.write(place / "background.wav", np.zeros((len(lower), 2)), 48_000)
    separation = Separation().at(place)
    end_ms = len(lower) // 48
    place = folder(root / "diarization")
    np.savez(place / "embeddings.npz", S1=np.full(256, 1 / 16, np.float32))
    diarization = Diarization(turns=(Turn(speaker="S1", start_ms=0, end_ms=end_ms),), speakers=("S1",)).at(place)
    lines = tuple(
        ScriptLine(id=id, speaker="S1", start_ms=start, end_ms=start + 2500, source_text="x", text=text)
        for id, start, text in ((3, 40, TEXT), (4, 2600, "..."))
    )
    script = Script(source="en", target="pt-BR", route=("x",), lines=lines)
    config = SynthesizeConfig(audition_characters=40)
    place = folder(root / "cast")
    cast = synthesize.cast(script, diarization, separation, PORTUGUESE, config, place, silent).at(place)
    reading = synthesize.read(script, cast, PORTUGUESE, config, root, silent)
    plan = Plan(
        lines=(
            PlannedLine(id=3, start_ms=40, end_ms=1900, rate=1.0),
            PlannedLine(id=4, start_ms=2600, end_ms=2600, rate=1.0),
        )
    )
    out = folder(root / "speech")
    spoken = synthesize.speak(script, reading, plan, cast, separation, diarization, config, out, silent).at(out)
    return script, cast, reading, spoken


def test_the_cast_matches_the_speaker(chain: tuple) -> None:
    (voice,) = chain[1].voices
    assert "jm_kumo" in shares(voice.voice)
    assert voice.similarity_matched > voice.similarity_unmatched
    assert 0.85 <= voice.warp <= 1.12
    assert np.exp(voice.f0_mean_log_hz) == pytest.approx(78, rel=0.1)


def test_the_reading_is_of_the_packs_language(chain: tuple) -> None:
    line, empty = chain[2].lines
    assert line.ipa.startswith("bˈoæ nˈoɪtʃy, pap")
    assert 0 < line.lead_ms < 500 < line.duration_ms
    assert empty.duration_ms == 0


def test_the_line_is_spoken_in_its_place(chain: tuple) -> None:
    line, empty = chain[3].lines
    samples, rate_hz = sound.read(chain[3].file(line.sound))
    assert rate_hz == chain[3].rate_hz == 24_000
    assert line.start_ms == line.phones[0].start_ms == 40
    assert line.sound_start_ms >= 0
    assert abs(line.end_ms - 1900) <= 120
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    assert abs(loud[0] / 24 + line.sound_start_ms - 40) < 40
    assert (empty.phones, empty.flags, empty.start_ms) == ((), (), 2600)
    assert (line.failure, empty.failure) == (None, "nothing to say in the translation")


def test_an_unknown_engine_is_one_line() -> None:
    with pytest.raises(MissingEngineError, match=r"no engine 'espeak'; choose one of: kokoro, xtts, pocket, mms\.$"):
        synthesize.engine_spec("espeak")


@pytest.mark.parametrize(
    ("tag", "engines"),
    [("pt-BR", {"kokoro": "good"}), ("EN", {"kokoro": "good"}), ("sv", {"kokoro": "rough"}), ("ja", {}), ("zxx", {})],
)
def test_engines_for(tag: str, engines: dict[str, str]) -> None:
    assert synthesize.engines_for(tag) == engines
