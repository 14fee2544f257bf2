"""Choosing an engine: by name, with its packages, before any work."""

from __future__ import annotations

import pytest

from stages import store
from stages.artifacts import Media, Record
from stages.engines import Engine, chosen
from stages.errors import InputError, MissingEngineError

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
