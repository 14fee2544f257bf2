"""Pocket TTS on a tiny network of its own architecture with random weights, and what all cloning engines share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from language_packs import load_pack
from stages import models, sound
from stages.artifacts import (
    Cast,
    Diarization,
    Plan,
    PlannedLine,
    Reading,
    Script,
    ScriptLine,
    Separation,
    Speech,
    Turn,
)
from stages.errors import InputError, MissingEngineError
from stages.progress import silent
from stages.synthesize import PocketConfig, SynthesizeConfig, cast, check_speaks, load, read, speak, voicing
from stages.synthesize.cloning import CloningEngine

torch = pytest.importorskip("torch")
pytest.importorskip("pocket_tts")

import yaml  # noqa: E402
from pocket_tts import TTSModel  # noqa: E402
from pocket_tts.utils.config import CONFIGS_DIR  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402
from tokenizers.pre_tokenizers import Split  # noqa: E402

PACK = load_pack("pt-BR")
TEXT = "Boa noite, papai. Como vai?"
SIGNS = " abcdefghijlmnopqrstuvwxyzABCDEFGHIJLMNOPQRSTUVWXYZ.,?!"


def write(folder: Path) -> Path:
    """A network of the released one's parts, each as small as it may be."""
    folder.mkdir(exist_ok=True)
    spelling = Tokenizer(WordLevel({sign: n for n, sign in enumerate(SIGNS)} | {"?": len(SIGNS) - 2}, unk_token="?"))
    spelling.pre_tokenizer = Split("", "isolated")
    spelling.save(str(folder / "tokenizer.json"))
    told = yaml.safe_load((CONFIGS_DIR / "portuguese.yaml").read_text())
    told |= {"weights_path": None, "weights_path_without_voice_cloning": None}
    flow, codec = told["flow_lm"], told["mimi"]
    flow["flow"] |= {"depth": 1, "dim": 16}
    flow["transformer"] |= {"d_model": 32, "num_heads": 2, "num_layers": 1}
    flow["lookup_table"] |= {
        "dim": 32, "n_bins": spelling.get_vocab_size(), "tokenizer_path": str(folder / "tokenizer.json"),
    }  # fmt: skip
    codec |= {"inner_dim": 8, "outer_dim": 16}
    codec["seanet"] |= {"dimension": 16, "n_filters": 4}
    codec["transformer"] |= {
        "d_model": 16, "num_heads": 2, "num_layers": 1, "dim_feedforward": 16, "input_dimension": 16,
        "output_dimensions": [16],
    }  # fmt: skip
    codec["quantizer"] |= {"dimension": 8, "output_dimension": 16}
    (folder / "config.yaml").write_text(yaml.safe_dump(told))
    torch.manual_seed(0)
    network = TTSModel.load_model(config=folder / "config.yaml")
    network.load_state_dict({name: _random(value) for name, value in network.state_dict().items()})
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors")
    return folder


def _random(value: torch.Tensor) -> torch.Tensor:
    return torch.randn_like(value) * 0.2 if value.is_floating_point() else value


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pocket") / "portuguese")


def config(model: Path | str) -> SynthesizeConfig:
    return SynthesizeConfig(engine="pocket", pocket=PocketConfig(models={"pt": str(model)}), audition_characters=20)


def reference(seconds: float = 2.0) -> np.ndarray:
    times = np.arange(int(seconds * 24_000)) / 24_000
    voice = sum(np.sin(2 * np.pi * 130 * n * times) / n for n in range(1, 15)) * (1 + np.sin(2 * np.pi * 4 * times))
    return (0.1 * voice).astype(np.float32)


def loaded(model: Path) -> CloningEngine:
    engine = load(config(model), "pt-BR", PACK.g2p)
    assert isinstance(engine, CloningEngine)
    return engine


@pytest.fixture(scope="module")
def engine(model: Path) -> CloningEngine:
    made = loaded(model)
    made.learn("S1", reference(), "Bom dia.")
    return made


@pytest.fixture(scope="module")
def chain(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cast, Reading, Speech]:
    """One speaker through cast, read and speak."""
    if models.missing(("ge2e-speaker-encoder",)):
        pytest.skip("the speaker encoder is not here")
    root = tmp_path_factory.mktemp("chain")
    voice = sound.resample(reference(4), 24_000, 48_000)
    sound.write(root / "voice.wav", voice, 48_000)
    sound.write(root / "background.wav", np.zeros((len(voice), 2)), 48_000)
    np.savez(root / "embeddings.npz", S1=np.full(256, 1 / 16, np.float32))
    separation = Separation().at(root)
    diarization = Diarization(turns=(Turn(speaker="S1", start_ms=0, end_ms=4000),), speakers=("S1",)).at(root)
    lines = tuple(
        ScriptLine(id=n, speaker="S1", start_ms=start, end_ms=start + 1500, source_text="x", text=text)
        for n, start, text in ((1, 100, TEXT), (2, 2000, "..."))
    )
    script = Script(source="en", target="pt-BR", route=("x",), lines=lines)
    made = cast(script, diarization, separation, PACK, config(model), root, silent).at(root)
    reading = read(script, made, PACK, config(model), root, silent)
    plan = Plan(
        lines=(
            PlannedLine(id=1, start_ms=100, end_ms=1700, rate=1.0),
            PlannedLine(id=2, start_ms=2000, end_ms=2000, rate=1.0),
        )
    )
    out = root / "speech"
    out.mkdir()
    spoken = speak(script, reading, plan, made, separation, diarization, config(model), out, silent).at(out)
    return made, reading, spoken


def test_a_clone_is_kept_in_the_cast_and_called_so(chain: tuple[Cast, Reading, Speech]) -> None:
    (voice,) = chain[0].voices
    assert (voice.kind, voice.voice, voice.warp, voice.similarity_unmatched) == ("cloned", "S1", 1.0, 0.0)
    assert voice.pace > 0
    with np.load(chain[0].file(chain[0].conditioning or "")) as kept:
        assert kept.files and all(name.startswith("S1/") for name in kept.files)


def test_lengths_are_estimated_before_anything_is_spoken(chain: tuple[Cast, Reading, Speech]) -> None:
    line, empty = chain[1].lines
    assert (line.said, line.lead_ms, line.tail_ms) == (TEXT, 0, 0)
    assert line.duration_ms > 300 and empty.duration_ms == 0
    assert all(0 < end.end_ms < end.next_ms < line.duration_ms for end in line.phrase_ends) and line.phrase_ends


def test_a_line_is_spoken_or_says_why_not(chain: tuple[Cast, Reading, Speech]) -> None:
    line, empty = chain[2].lines
    assert empty.failure == "nothing to say in the translation"
    samples, rate_hz = sound.read(chain[2].file(line.sound))
    assert rate_hz == 24_000
    if line.is_dubbed:  # what random weights say may be no speech
        assert line.start_ms == 100 and line.phones[-1].end_ms <= line.sound_start_ms + len(samples) / 24 + 1
    else:
        assert line.failure.startswith("synthesis failed: ")


def test_the_same_seed_gives_the_same_sound(model: Path, engine: CloningEngine) -> None:
    other = loaded(model)
    other.learn("S1", reference(), "Bom dia.")
    first, second = (each.speak(TEXT, "S1") for each in (engine, other))
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.phones == second.phones
    assert np.isfinite(first.samples).all() and first.samples.dtype == np.float32


def test_phones_are_the_packs_in_order_inside_the_sound(engine: CloningEngine) -> None:
    spoken = engine.speak(TEXT, "S1")
    times = [time for phone in spoken.phones for time in (phone.start_ms, phone.end_ms)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(spoken.samples) / 24
    assert "".join(phone.ipa for phone in spoken.phones).startswith("boænoɪt")


def test_a_speed_changes_the_tempo_within_bounds_and_says_what_is_beyond(engine: CloningEngine) -> None:
    own = engine.speak(TEXT, "S1")
    faster = engine.speak(TEXT, "S1", 1.2)
    assert len(own.samples) / len(faster.samples) == pytest.approx(1.2, rel=0.01)
    assert faster.flags == ()
    beyond = engine.speak(TEXT, "S1", 2.0)
    assert len(own.samples) / len(beyond.samples) == pytest.approx(1.3, rel=0.01)
    assert beyond.flags == ("spoken at speed 1.30, not 2.00: the voice cannot be changed more",)


def test_what_was_spoken_has_its_exact_length(engine: CloningEngine) -> None:
    wanted_ms = 1500
    speed = engine.speed_for(TEXT, "S1", wanted_ms)
    assert engine.durations(TEXT, "S1", speed).sounding_ms == pytest.approx(wanted_ms, abs=2)


def test_a_short_reference_is_repeated_and_none_is_an_error(engine: CloningEngine) -> None:
    conditioning, pace, audition = engine.learn("S2", reference(0.2), "Bom dia.")
    assert conditioning and pace > 0 and len(audition)
    with pytest.raises(InputError, match="S3 has no speech to clone a voice from"):
        engine.learn("S3", np.zeros(0, np.float32), "Bom dia.")


def test_a_language_that_it_does_not_speak_and_one_without_a_model(model: Path) -> None:
    with pytest.raises(InputError, match="pocket does not speak Polish"):
        check_speaks(config(model), "pl")
    with pytest.raises(MissingEngineError, match=r"synthesize\.pocket\.models\.fr is not set: give the folder"):
        check_speaks(config(model), "fr")
    with pytest.raises(MissingEngineError, match=r"synthesize\.pocket\.models is not set"):
        voicing(SynthesizeConfig(engine="pocket"))


def test_another_model_is_another_key(model: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other")
    (other / "note.txt").write_text("x")
    assert voicing(config(model)).digest != voicing(config(other)).digest


def test_a_truncated_file(model: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "cut")
    (folder / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(MissingEngineError, match=r"cannot be read .* fetch the model again"):
        loaded(folder).learn("S1", reference(), TEXT)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "model.pt")
    with pytest.raises(MissingEngineError, match=r"no model\.safetensors \(model\.pt: a pickle, which is not read"):
        loaded(folder).learn("S1", reference(), TEXT)


def test_weights_without_voice_cloning_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "deaf")
    weights = load_file(folder / "model.safetensors")
    weights["flow_lm.speaker_proj_weight"].zero_()
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(MissingEngineError, match="holds weights without voice cloning"):
        loaded(folder).learn("S1", reference(), TEXT)


def test_too_little_memory_is_one_line(engine: CloningEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TTSModel, "generate_audio", full)
    with pytest.raises(MissingEngineError, match="pocket: the memory does not suffice for one line"):
        engine.speak("Outra coisa.", "S1")
