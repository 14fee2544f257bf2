"""Demucs on a tiny network of its own architecture with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages import pipeline, settings, sound
from stages.artifacts import Media, SourceVideo
from stages.devices import Float32Config
from stages.errors import InputError, MissingEngineError
from stages.progress import silent
from stages.separate import DemucsConfig, SeparateConfig, separate
from stages.separate.demucs_engine import DemucsSeparator
from stages.store import Store

torch = pytest.importorskip("torch")
pytest.importorskip("demucs")

from demucs.htdemucs import HTDemucs  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

RATE_HZ = sound.SAMPLE_RATE_HZ
SOURCES = ["drums", "bass", "other", "vocals"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demucs")
    torch.manual_seed(0)
    arguments = {
        "sources": SOURCES, "channels": 8, "depth": 3, "bottom_channels": 16, "t_layers": 1, "t_heads": 2,
        "segment": 2.0, "samplerate": 44_100,
    }  # fmt: skip
    write(folder, HTDemucs(**arguments), arguments)
    return folder


def write(folder: Path, network: torch.nn.Module, arguments: dict, klass: str = "demucs.htdemucs.HTDemucs") -> None:
    told = {"klass": klass, "args": "[]", "kwargs": json.dumps(arguments)}
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()}, folder / "tiny.safetensors", told
    )
    (folder / "small.yaml").write_text("models: [tiny]\n")


def config(model: Path | str, **values: object) -> SeparateConfig:
    return SeparateConfig(engine="demucs", demucs=DemucsConfig(model=str(model), **values))


def noise(seconds: float, channels: int = 2) -> np.ndarray:
    found = np.random.default_rng(0).normal(0, 0.1, (int(seconds * RATE_HZ), channels))
    return np.repeat(found, 2 // channels, axis=1)


def run(folder: Path, samples: np.ndarray, settings: SeparateConfig) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir(exist_ok=True)
    sound.write(folder / "mix.wav", samples, RATE_HZ)
    media = Media.model_construct(mix="mix.wav").at(folder)
    made = separate(media, settings, folder, silent).at(folder)
    return sound.read(made.file(made.voice))[0], sound.read(made.file(made.background))[0]


@pytest.mark.parametrize("channels", [1, 2])
def test_voice_and_background_add_up_to_the_mix(tmp_path: Path, model: Path, channels: int) -> None:
    samples = noise(3.3, channels)
    voice, background = run(tmp_path, samples, config(model))
    assert len(voice) == len(background) == len(samples)
    assert np.abs(voice).max() > 0.001
    np.testing.assert_allclose(voice + background.mean(axis=1), samples.mean(axis=1), atol=3 / 32768)


def test_the_same_sound_gives_the_same_voice(tmp_path: Path, model: Path) -> None:
    first, _ = run(tmp_path / "a", noise(3), config(model))
    second, _ = run(tmp_path / "b", noise(3), config(model))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seconds", [4.0, 6.9, 7.0, 12.0, 13.1])
def test_sections_join_without_a_seam(model: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    samples = (noise(seconds) * 32768).astype(np.int16)
    monkeypatch.setattr(DemucsSeparator, "_vocals", lambda _self, heard: heard / 32768)
    blocks = np.array_split(samples, 7)
    voice = np.concatenate(list(DemucsSeparator(config(model, section_s=5)).voices(blocks, 2)))
    np.testing.assert_allclose(voice, samples / 32768, atol=1e-9)


def test_silence_has_no_voice(tmp_path: Path, model: Path) -> None:
    voice, _ = run(tmp_path, np.zeros((RATE_HZ, 2)), config(model))
    assert not voice.any()


def test_a_model_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model 'nowhere'"):
        run(tmp_path, noise(1), config("nowhere"))


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tiny.th").write_bytes(b"\x80\x04")
    with pytest.raises(MissingEngineError, match="is a pickle and is not read"):
        run(tmp_path, noise(1), config(tmp_path / "model"))


def test_a_file_that_names_another_class_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder, torch.nn.Linear(1, 1), {}, "subprocess.Popen")
    with pytest.raises(MissingEngineError, match=r"is not a model of Demucs \(subprocess\.Popen\)"):
        run(tmp_path, noise(1), config(folder))


def test_damaged_weights(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "small.yaml").write_text("models: [tiny]\n")
    (folder / "tiny.safetensors").write_bytes((model / "tiny.safetensors").read_bytes()[:100])
    with pytest.raises(MissingEngineError, match=r"cannot be read .* fetch the model again"):
        run(tmp_path, noise(1), config(folder))


def test_no_vocals(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    arguments = {"sources": ["drums", "bass"], "channels": 8, "depth": 3, "bottom_channels": 16, "t_layers": 1,
                 "t_heads": 2, "segment": 2.0, "samplerate": 44_100}  # fmt: skip
    write(folder, HTDemucs(**arguments), arguments)
    with pytest.raises(MissingEngineError, match="does not separate vocals"):
        run(tmp_path, noise(1), config(folder))


def test_a_segment_that_does_not_fit_is_one_clear_line(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HTDemucs, "forward", lambda _self, mix: torch.empty(1 << 60))
    with pytest.raises(MissingEngineError, match=r"^separate\.demucs: the memory does not suffice; choose"):
        run(tmp_path, noise(1), config(model))


def test_another_precision_is_refused_with_the_settings() -> None:
    with pytest.raises(
        InputError, match=r"^setting separate\.demucs\.device\.precision: .*'auto' or 'float32'.*float16"
    ):
        settings.load("embedded", {"separate": {"demucs": {"device": {"precision": "float16"}}}})
    assert DemucsConfig(device={"precision": "float32"}).device.precision == "float32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_here(tmp_path: Path, model: Path) -> None:
    with pytest.raises(MissingEngineError, match=r"separate\.demucs\.device\.kind is cuda, and torch"):
        run(tmp_path, noise(1), config(model, device=Float32Config(kind="cuda")))


def test_a_process_of_its_own_makes_the_same_sound(tmp_path: Path, model: Path) -> None:
    chosen = config(model)
    run(tmp_path / "here", noise(3), chosen)
    media = Media.model_construct(mix="mix.wav").at(tmp_path / "here", "digest")
    store = Store(tmp_path / "work", SourceVideo(path=tmp_path / "v.mp4", sha256="a" * 64))
    assert pipeline.SEPARATE.engines["demucs"].needs_own_process(chosen)
    made, _ = store.run(pipeline.SEPARATE, (media,), chosen, None, silent)
    for name in (made.voice, made.voice_16k, made.background):
        there, here = (soundfile.read(path, dtype="int16")[0] for path in (made.file(name), tmp_path / "here" / name))
        assert there.shape == here.shape
        # What earlier tests have set up in this process, its number of threads for one, decides the last bit.
        assert np.abs(there.astype(int) - here).max() <= 1
