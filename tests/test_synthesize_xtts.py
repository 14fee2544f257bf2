"""XTTS on a tiny network of its own architecture with random weights (where coqui-tts is installed)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from language_packs import load_pack
from stages.errors import InputError, MissingEngineError
from stages.reading import read_line
from stages.synthesize import ENGINES, SynthesizeConfig, XttsConfig, check_speaks, load, voicing
from stages.synthesize.cloning import CloningEngine, Conditioning, Take
from stages.synthesize.rendering import phones_of
from stages.synthesize.xtts import XttsSampler

torch = pytest.importorskip("torch")
pytest.importorskip("TTS")

from tokenizers import Tokenizer  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402
from tokenizers.pre_tokenizers import Split  # noqa: E402
from TTS.tts.configs import xtts_config  # noqa: E402
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer  # noqa: E402
from TTS.tts.models.xtts import Xtts  # noqa: E402

PACK = load_pack("pt-BR")
TEXT = "Boa noite, papai. Como vai?"
LONG = (
    "Boa noite, papai, como vai? Eu queria contar uma coisa muito bonita que aconteceu hoje na escola. "
    "A professora trouxe um gato, e todos foram para casa."
)
SIGNS = ("[UNK]", "[START]", "[STOP]", "[SPACE]", "[pt]", "[en]", *"abcdefghijklmnopqrstuvwxyzãç.,?!")


def write(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    spelling = Tokenizer(WordLevel({sign: n for n, sign in enumerate(SIGNS)}, unk_token="[UNK]"))
    spelling.add_special_tokens(list(SIGNS[:6]))
    spelling.pre_tokenizer = Split("", "isolated")
    spelling.save(str(folder / "vocab.json"))
    settings = xtts_config.XttsConfig(
        languages=["en", "pt"],
        model_args=xtts_config.XttsArgs(
            gpt_layers=1, gpt_n_model_channels=64, gpt_n_heads=2, gpt_max_audio_tokens=40, gpt_max_text_tokens=80,
            gpt_num_audio_tokens=34, gpt_start_audio_token=32, gpt_stop_audio_token=33, decoder_input_dim=64,
            gpt_use_perceiver_resampler=True, d_vector_dim=512,
        ),
    )  # fmt: skip
    settings.save_json(str(folder / "config.json"))
    model = Xtts(settings)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
    torch.manual_seed(0)
    model.init_models()
    torch.save({"model": model.state_dict(), "config": settings}, folder / "model.pth")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("xtts") / "model")


def config(model: Path | str | None) -> SynthesizeConfig:
    return SynthesizeConfig(engine="xtts", xtts=XttsConfig(model=None if model is None else str(model)))


def made(model: Path, tag: str = "pt-BR") -> CloningEngine:
    engine = load(config(model), tag, load_pack(tag).g2p)
    assert isinstance(engine, CloningEngine)
    return engine


def reference(seconds: float = 2.0) -> np.ndarray:
    times = np.arange(int(seconds * 24_000)) / 24_000
    voice = sum(np.sin(2 * np.pi * 130 * n * times) / n for n in range(1, 15)) * (1 + np.sin(2 * np.pi * 4 * times))
    return (0.1 * voice).astype(np.float32)


@pytest.fixture(scope="module")
def engine(model: Path) -> CloningEngine:
    engine = made(model)
    engine.learn("S1", reference(), "Bom dia.")
    return engine


def test_the_checkpoint_is_left_as_it_is(model: Path, engine: CloningEngine) -> None:
    before = (model / "model.pth").read_bytes()
    made(model).learn("S1", reference(), "...")
    assert (model / "model.pth").read_bytes() == before


def test_a_speaker_is_conditioned_once(engine: CloningEngine) -> None:
    conditioning, pace, audition = engine.learn("S2", reference(0.3), "Bom dia.")
    assert conditioning["gpt_cond_latents"].shape[:1] + conditioning["gpt_cond_latents"].shape[2:] == (1, 64)
    assert conditioning["speaker_embedding"].shape == (1, 512, 1)
    assert pace > 0 and len(audition) and np.isfinite(audition).all()


def test_phones_are_the_packs_in_order_inside_the_sound(engine: CloningEngine) -> None:
    spoken = engine.speak(TEXT, "S1")
    times = [time for phone in spoken.phones for time in (phone.start_ms, phone.end_ms)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(spoken.samples) / 24
    assert "".join(phone.ipa for phone in spoken.phones).startswith("boænoɪt")
    assert spoken.samples.dtype == np.float32 and spoken.samples.ndim == 1


def test_the_same_seed_gives_the_same_sound(model: Path, engine: CloningEngine) -> None:
    other = made(model)
    other.learn("S1", reference(), "Bom dia.")
    first, second = (each.speak(TEXT, "S1") for each in (engine, other))
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.phones == second.phones


def test_its_own_speed_changes_the_length_within_bounds(engine: CloningEngine) -> None:
    own = engine.speak(TEXT, "S1")
    faster = engine.speak(TEXT, "S1", 1.2)
    assert len(own.samples) / len(faster.samples) == pytest.approx(1.2, rel=0.05)
    assert engine.speak(TEXT, "S1", 2.0).flags == ("spoken at speed 1.30, not 2.00: the voice cannot be changed more",)


def test_a_line_longer_than_the_network_holds_is_spoken_in_pieces(
    model: Path, engine: CloningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    take = XttsSampler.take

    def watched(self: XttsSampler, text: str, conditioning: Conditioning, seed: int) -> Take:
        taken.append(text)
        return take(self, text, conditioning, seed)

    monkeypatch.setattr(XttsSampler, "take", watched)
    spoken = engine.speak(LONG, "S1")
    said = list(dict.fromkeys(taken))
    assert " ".join(said) == LONG and len(said) > 1
    sampler = XttsSampler(model, config(model), "pt-BR")
    assert not sampler.fits(LONG) and all(sampler.fits(text) for text in said)
    assert not sampler.fits("a " * 105), "the package's limit of Portuguese is 203 signs"
    assert [phone.ipa for phone in spoken.phones] == phones_of(read_line(LONG, PACK.g2p, "pt-BR", "the line"))
    times = [time for phone in spoken.phones for time in (phone.start_ms, phone.end_ms)]
    assert times == sorted(times) and times[-1] <= len(spoken.samples) / 24
    faster = engine.speak(LONG, "S1", 1.2)
    assert len(spoken.samples) / len(faster.samples) == pytest.approx(1.2, rel=0.01)


def test_seventeen_languages_and_no_other(model: Path) -> None:
    assert len(ENGINES["xtts"].languages or ()) == 17
    with pytest.raises(InputError, match="xtts does not speak Swedish"):
        check_speaks(config(model), "sv")
    with pytest.raises(MissingEngineError, match=r"does not speak de; it speaks: en pt\."):
        made(model, "de").learn("S1", reference(), "Guten Tag.")


def test_a_reader_of_the_language_that_is_missing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cutlet" else found(name))
    with pytest.raises(MissingEngineError, match=r"xtts reads Japanese by cutlet, not installed\. Run: pip install"):
        check_speaks(config(model), "ja")


def test_no_model_is_named() -> None:
    with pytest.raises(MissingEngineError, match=r"synthesize\.xtts\.model is not set: give the folder of an XTTS-v2"):
        voicing(config(None))


@pytest.mark.parametrize("name", ["config.json", "model.pth", "vocab.json"])
def test_a_file_that_is_absent_or_damaged(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "model")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingEngineError, match=r"cannot be read .* fetch the model again"):
        made(folder).learn("S1", reference(), TEXT)
    (folder / name).unlink()
    with pytest.raises(MissingEngineError, match=f"is no model of XTTS-v2: it holds no {name}"):
        made(folder).learn("S1", reference(), TEXT)


def test_a_pickle_that_could_run_code_is_not_read(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "run",)

    folder = write(tmp_path / "model")
    torch.save({"model": {}, "config": Evil()}, folder / "model.pth")
    with pytest.raises(MissingEngineError, match="is not read: it holds more than weights"):
        made(folder).learn("S1", reference(), TEXT)
    (folder / "model.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(MissingEngineError, match="is not read: it holds more than weights"):
        made(folder).learn("S1", reference(), TEXT)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_size(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    told = json.loads((folder / "config.json").read_text())
    told["model_args"]["gpt_n_model_channels"] = 128
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.raises(MissingEngineError, match="does not fit"):
        made(folder).learn("S1", reference(), TEXT)
