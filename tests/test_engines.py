"""Choosing an engine: by name, with its packages, before any work."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from stages import models, pipeline, store, synthesize
from stages.artifacts import Media, Record
from stages.devices import DeviceConfig
from stages.engines import Engine, chosen
from stages.errors import InputError, MissingEngineError
from stages.settings import Settings
from stages.synthesize import SynthesizeConfig, Voicing
from stages.timing import TimingConfig
from stages.transcribe import TranscribeConfig

ENGINES = {
    "here": Engine("here", "pathlib:Path", modules=("pathlib",), models=lambda config: (config.model,)),
    "away": Engine("away", "nowhere.at_all:Nothing", modules=("nowhere",), extra="far"),
}


class Config(Record):
    engine: str = "here"
    model: str = "some-model"


def test_an_engine_is_made_from_its_name() -> None:
    assert chosen(ENGINES, "here", "stage.engine").make()("a").name == "a"


def test_an_unknown_engine_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"stage\.engine: there is no engine 'gone'; choose one of: here, away\."):
        chosen(ENGINES, "gone", "stage.engine")


def test_a_missing_package_is_said_with_what_installs_it() -> None:
    with pytest.raises(MissingEngineError, match=r'away needs nowhere, which is not .* pip install "dubwright\[far\]"'):
        chosen(ENGINES, "away", "stage.engine")


def test_a_stage_needs_the_models_of_the_engine_that_is_chosen() -> None:
    stage = store.Stage("name", "Title", print, Media, 1, "section", models=("always",), engines=ENGINES)
    assert stage.models_for(Config()) == ("always", "some-model")
    assert stage.engine_for(Config()) == "here"
    with pytest.raises(MissingEngineError, match=r"section\.engine: away"):
        stage.models_for(Config(engine="away"))


def stages() -> list[store.Stage]:
    return [each for each in vars(pipeline).values() if isinstance(each, store.Stage)]


def test_every_stage_can_be_done_in_another_process() -> None:
    for stage in stages():
        assert pickle.loads(pickle.dumps(stage.function)) is stage.function


@pytest.mark.parametrize("stage", [each for each in stages() if each.engines], ids=lambda each: each.name)
def test_what_computes_in_torch_says_where(stage: store.Stage) -> None:
    config = getattr(Settings(), stage.config)
    for engine in stage.engines.values():
        where = engine.device_config(config)
        assert isinstance(where, DeviceConfig) or (where is None and "torch" not in engine.modules)


def test_what_is_heavy_has_a_process_of_its_own(tmp_path: Path) -> None:
    for size, is_heavy in ((1 << 20, False), (400 << 20, True)):
        with (tmp_path / "weights").open("wb") as file:
            file.truncate(size)
        assert ENGINES["here"].needs_own_process(Config(model=str(tmp_path))) == is_heavy
    assert Engine("torch", "x:y", modules=("torch",)).needs_own_process(Config())
    assert not Engine("none", "x:y").needs_own_process(Config())


def test_a_gpu_that_may_be_used_is_used_in_a_process_of_its_own() -> None:
    transcriber = pipeline.TRANSCRIBE.engines["faster-whisper"]
    for kind, is_heavy in (("cpu", False), ("auto", True), ("cuda", True)):
        where = DeviceConfig(kind=kind)
        if models.missing(("whisper-base",)):
            pytest.skip("whisper-base is not here")
        assert transcriber.needs_own_process(TranscribeConfig(device=where)) == is_heavy


def test_words_that_fit_are_chosen_where_their_synthesiser_runs() -> None:
    config = SynthesizeConfig(engine="mms")
    engine, chosen_config = pipeline.FIT.worker(("script", Voicing(config, ()), "pack"), TimingConfig())
    assert engine is synthesize.ENGINES["mms"] and chosen_config is config and engine.needs_own_process(config)
