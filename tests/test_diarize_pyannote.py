"""pyannote.audio on tiny networks of its own architectures with random weights, in a folder of community-1's form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError
from test_diarize import CLIPS, sound

from stages import models, pipeline
from stages import settings as all_settings
from stages.artifacts import Diarization, Separation, Turn
from stages.diarize import ENGINES, DiarizeConfig, PyannoteConfig, alone, diarize
from stages.diarize.voice_activity import Span
from stages.errors import InputError, MissingEngineError
from stages.progress import silent
from stages.transcribe.heard import HeardWord
from stages.transcribe.lines import with_speakers
from stages.transcribe.pieces import speech_spans

RATE_HZ = 16_000
CONFIG = """
dependencies:
  pyannote.audio: 4.0.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: VBxClustering
    segmentation: $model/segmentation
    segmentation_batch_size: 32
    embedding: $model/embedding
    embedding_batch_size: 32
    embedding_exclude_overlap: true
    plda: $model/plda
params:
  clustering: {threshold: 0.6, Fa: 0.07, Fb: 0.8}
  segmentation: {min_duration_off: 0.0}
"""


def turns(*found: tuple[str, int, int]) -> tuple[Turn, ...]:
    return tuple(Turn(speaker=speaker, start_ms=start, end_ms=end) for speaker, start, end in found)


# What needs no pyannote


def test_a_speaker_is_known_by_what_is_said_alone() -> None:
    found = turns(("S1", 0, 4000), ("S2", 3000, 6000), ("S1", 5500, 7000), ("S2", 6200, 6300))
    assert alone(found, "S1") == [Span(0, 3000), Span(6000, 6200), Span(6300, 7000)]
    assert alone(found, "S2") == [Span(4000, 5500)]
    covered = turns(("S1", 0, 5000), ("S2", 1000, 3000))
    assert alone(covered, "S2") == [Span(1000, 3000)], "who is never alone is known by what there is"
    assert alone(turns(("S1", 0, 100), ("S2", 100, 200)), "S1") == [Span(0, 100)], "what is short is kept"


def test_overlapping_turns_reach_the_lines() -> None:
    found = turns(("S1", 0, 2000), ("S2", 1500, 3500))
    assert speech_spans(found) == [Span(0, 3500)]
    words = [HeardWord(" One.", 100, 1400, 0.9), HeardWord(" Two.", 1600, 3400, 0.9)]
    assert [each.speaker for each in with_speakers(words, found)] == ["S1", "S2"]


def test_a_model_that_is_not_here_says_what_to_accept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBWRIGHT_MODELS", str(tmp_path))
    (name,) = ENGINES["pyannote"].models(DiarizeConfig(engine="pyannote"))
    with pytest.raises(MissingEngineError, match="models fetch pyannote-community-1") as raised:
        models.find(name)
    assert "First accept the conditions on the page of pyannote/speaker-diarization-community-1" in str(raised.value)


def test_a_missing_extra_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", nowhere)
    with pytest.raises(MissingEngineError, match=r'pyannote needs pyannote\.audio and .*"dubwright\[pyannote\]"'):
        pipeline.DIARIZE.models_for(DiarizeConfig(engine="pyannote"))


def test_a_range_of_speakers_that_is_none() -> None:
    with pytest.raises(ValidationError, match="min_speakers is more than max_speakers"):
        PyannoteConfig(min_speakers=3, max_speakers=2)


# The real thing, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyannote.audio")
    place = tmp_path_factory.mktemp("pyannote")
    make(place)
    return place


def make(place: Path) -> None:
    """Write the pipeline."""
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import XVectorMFCC
    from pyannote.audio.models.segmentation import PyanNet

    torch.manual_seed(0)
    segmentation = PyanNet(lstm={"hidden_size": 8, "num_layers": 1}, linear={"hidden_size": 8, "num_layers": 1})
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION, resolution=Resolution.FRAME, duration=2.0, warm_up=(0.0, 0.0),
        classes=["speaker#1", "speaker#2", "speaker#3"], powerset_max_classes=2, permutation_invariant=True,
    )  # fmt: skip
    segmentation.build()
    with torch.no_grad():
        segmentation.classifier.weight *= 3  # surer of one or another, sometimes of two at once
    embedding = XVectorMFCC(dimension=16)
    embedding.specifications = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=2.0)
    save(segmentation, place / "segmentation")
    save(embedding, place / "embedding")
    (place / "plda").mkdir()
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(16, 16)))[0][:, :8]
    np.savez(place / "plda" / "xvec_transform.npz", mean1=np.zeros(16), mean2=np.zeros(8), lda=basis)
    rotation = np.linalg.qr(random.normal(size=(8, 8)))[0]
    np.savez(place / "plda" / "plda.npz", mu=np.zeros(8), tr=rotation, psi=np.linspace(2, 0.5, 8))
    (place / "config.yaml").write_text(CONFIG)


def save(network: Any, place: Path, **more: object) -> None:
    """Write a checkpoint as Lightning does."""
    import lightning
    import torch

    stored = {
        "pytorch-lightning_version": lightning.__version__, "epoch": 0, "global_step": 0,
        "hyper_parameters": dict(network.hparams), "state_dict": network.state_dict(), **more,
    }  # fmt: skip
    network.on_save_checkpoint(stored)
    place.mkdir(exist_ok=True)
    torch.save(stored, place / "pytorch_model.bin")


def config(folder: Path, speakers: int | None = None, **values: Any) -> DiarizeConfig:
    asked = PyannoteConfig(model=str(folder), **values)
    return DiarizeConfig(engine="pyannote", speakers=speakers, min_speech_ms=0, min_pause_ms=0, pyannote=asked)


def clip(seconds: float = 6) -> np.ndarray:
    return sound(CLIPS / "talker-a.mp4")[: int(seconds * RATE_HZ)]


def run(out: Path, samples: np.ndarray, settings: DiarizeConfig) -> Diarization:
    out.mkdir(exist_ok=True)
    soundfile.write(out / "voice_16k.wav", samples, RATE_HZ, subtype="PCM_16")
    return diarize(Separation().at(out), settings, out, silent).at(out)


def check(found: Diarization, seconds: float) -> None:
    assert found.speakers == tuple(f"S{number + 1}" for number in range(len(found.speakers)))
    assert found.speakers == tuple(dict.fromkeys(turn.speaker for turn in found.turns))
    assert all(0 <= turn.start_ms < turn.end_ms <= seconds * 1000 for turn in found.turns)
    assert list(found.turns) == sorted(found.turns, key=lambda turn: turn.start_ms)
    with np.load(found.file(found.embeddings)) as vectors:
        assert tuple(vectors.files) == found.speakers
        for vector in vectors.values():
            assert vector.shape == (256,) and vector.dtype == np.float32
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_turns_overlap_and_embeddings_are_ge2es(tmp_path: Path, folder: Path) -> None:
    found = run(tmp_path, clip(), config(folder, speakers=2))
    check(found, 6)
    assert len(found.speakers) == 2
    pairs = [(one, other) for one in found.turns for other in found.turns if one.speaker < other.speaker]
    assert any(one.start_ms < other.end_ms and other.start_ms < one.end_ms for one, other in pairs)


@pytest.mark.parametrize("speakers", [1, 2, 3])
def test_a_known_number_of_speakers(tmp_path: Path, folder: Path, speakers: int) -> None:
    found = run(tmp_path, clip(), config(folder, speakers=speakers))
    check(found, 6)
    assert len(found.speakers) == speakers


def test_more_speakers_than_can_be_told_apart(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="too little speech by one alone to tell so many people apart"):
        run(tmp_path, clip(), config(folder, speakers=500))


def test_at_least_and_at_most(tmp_path: Path, folder: Path) -> None:
    assert len(run(tmp_path / "a", clip(), config(folder, min_speakers=3)).speakers) >= 3
    assert len(run(tmp_path / "b", clip(), config(folder, max_speakers=1)).speakers) == 1


def test_the_same_sound_gives_the_same_turns(tmp_path: Path, folder: Path) -> None:
    first, second = (run(tmp_path / name, clip(), config(folder)) for name in "ab")
    assert first.turns == second.turns
    assert (tmp_path / "a" / "embeddings.npz").read_bytes() == (tmp_path / "b" / "embeddings.npz").read_bytes()


@pytest.mark.parametrize("seconds", [0, 0.05, 1])
def test_a_short_sound(tmp_path: Path, folder: Path, seconds: float) -> None:
    found = run(tmp_path, clip(seconds), config(folder))
    check(found, seconds)


def test_pauses_are_joined_and_short_sounds_dropped(folder: Path) -> None:
    from stages.diarize.pyannote_engine import named

    tracks = [(900, 2000, "b"), (0, 500, "a"), (600, 1000, "a"), (1400, 1450, "c"), (2500, 9000, "a")]
    found = named(tracks, length_ms=5000, pause_ms=200, least_ms=150)
    assert found == turns(("S1", 0, 1000), ("S2", 900, 2000), ("S1", 2500, 5000))


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyannote.audio.pipelines import SpeakerDiarization

    whole, asked = SpeakerDiarization.get_embeddings, []

    def narrow(self: SpeakerDiarization, *args: Any, **kwargs: Any) -> np.ndarray:
        asked.append(self.embedding_batch_size)
        if self.embedding_batch_size > 3:
            raise MemoryError
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(SpeakerDiarization, "get_embeddings", narrow)
    check(run(tmp_path, clip(3), config(folder, batch_size=8)), 3)
    assert asked == [8, 4, 2]

    def full(self: SpeakerDiarization, *args: Any, **kwargs: Any) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(SpeakerDiarization, "get_embeddings", full)
    with pytest.raises(MissingEngineError, match="does not suffice even for one window"):
        run(tmp_path, clip(3), config(folder, batch_size=2))


def test_it_reports_nothing_about_its_use(folder: Path) -> None:
    code = (
        "import sys; import stages.diarize.pyannote_engine; from pyannote.audio.telemetry import metrics;"
        "sys.exit(metrics.is_metrics_enabled())"
    )
    environment = {**os.environ, "PYANNOTE_METRICS_ENABLED": "true"}
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=False).returncode == 0


# Folders that cannot be used


def copied(folder: Path, place: Path) -> Path:
    for file in folder.rglob("*.*"):
        (place / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (place / file.relative_to(folder)).write_bytes(file.read_bytes())
    return place


def refused(place: Path) -> str:
    from stages.diarize.pyannote_engine import load

    with pytest.raises(MissingEngineError) as raised:
        load(place)
    message = str(raised.value)
    assert "\n" not in message and "dubwright models fetch pyannote-community-1" in message
    return message


def test_only_weights_are_read(tmp_path: Path, folder: Path) -> None:
    from stages.diarize.pyannote_engine import network

    place = copied(folder, tmp_path)
    part = place / "segmentation"
    save(network(part / "pytorch_model.bin"), part, callbacks=subprocess.Popen)
    assert "holds more than weights" in refused(place)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_truncated_checkpoint(tmp_path: Path, folder: Path, share: float) -> None:
    place = copied(folder, tmp_path)
    file = place / "embedding" / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    assert "pytorch_model.bin" in refused(place)


def test_weights_that_are_not_all_there(tmp_path: Path, folder: Path) -> None:
    import torch

    place = copied(folder, tmp_path)
    file = place / "embedding" / "pytorch_model.bin"
    stored = torch.load(file, weights_only=False)
    stored["state_dict"].popitem()
    torch.save(stored, file)
    assert "1 of its weights are not there" in refused(place)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("pyannote.audio.pipelines.SpeakerDiarization", "subprocess.Popen", "holds subprocess.Popen, not"),
        ("$model/embedding", "pyannote/embedding", "is not in the folder"),
        ("$model/embedding", "$model/../embedding", "is not in the folder"),
        ("VBxClustering", "Guessing", "cannot be used"),
        ("pipeline:", "pipeline: [", "cannot be read"),
    ],
)
def test_another_pipeline(tmp_path: Path, folder: Path, before: str, after: str, says: str) -> None:
    place = copied(folder, tmp_path)
    (place / "config.yaml").write_text(CONFIG.replace(before, after))
    assert says in refused(place)


def test_another_architecture(tmp_path: Path, folder: Path) -> None:
    import torch

    place = copied(folder, tmp_path)
    file = place / "segmentation" / "pytorch_model.bin"
    stored = torch.load(file, weights_only=False)
    stored["pyannote.audio"]["architecture"] = {"module": "subprocess", "class": "Popen"}
    torch.save(stored, file)
    assert "subprocess is no architecture of pyannote.audio" in refused(place)


@pytest.mark.parametrize("name", ["config.yaml", "segmentation/pytorch_model.bin", "plda/plda.npz"])
def test_a_file_that_is_not_there(tmp_path: Path, folder: Path, name: str) -> None:
    place = copied(folder, tmp_path)
    (place / name).unlink()
    assert name.rpartition("/")[2] in refused(place)


def test_a_folder_that_is_nowhere(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="there is no model"):
        run(tmp_path, clip(1), config(tmp_path / "nowhere"))


def test_a_precision_that_it_does_not_have() -> None:
    with pytest.raises(InputError, match=r"^setting diarize\.pyannote\.device\.precision: .*'auto' or 'float32'"):
        all_settings.load("embedded", {"diarize": {"pyannote": {"device": {"precision": "float16"}}}})


def test_another_model_makes_another_key(tmp_path: Path, folder: Path) -> None:
    place = copied(folder, tmp_path)
    names = pipeline.DIARIZE.models_for(config(place))
    before = [models.digest(name) for name in names]
    assert names == ("ge2e-speaker-encoder", str(place))
    (place / "plda" / "plda.npz").write_bytes(b"")
    assert [models.digest(name) for name in names] != before
