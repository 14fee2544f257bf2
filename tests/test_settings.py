from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from flows import finished
from stages import models, pipeline, settings
from stages.errors import InputError, MissingEngineError

CONFIGS = ROOT / "configs"


def test_later_layers_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settings.load("embedded", {}).synthesize.engine == "kokoro"
    monkeypatch.setenv("DUBWRIGHT_LIPSYNC__CRF", "23")
    monkeypatch.setenv("DUBWRIGHT_WORK", str(tmp_path))
    loaded = settings.load("embedded", {})
    assert loaded.lipsync.crf == 23 and loaded.work == tmp_path
    assert settings.load("embedded", {"lipsync": {"crf": 30}}).lipsync.crf == 30


def test_a_file_is_below_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("lipsync: {crf: 11}\nmix: {fade_ms: 7}\n")
    (tmp_path / "mine.yaml").write_text("lipsync: {crf: 12}\n")
    monkeypatch.setattr(settings, "_CONFIGS", tmp_path)
    assert settings.profiles() == ("mine",)
    loaded = settings.load("mine", {})
    assert (loaded.lipsync.crf, loaded.mix.fade_ms) == (12, 7)
    monkeypatch.setenv("DUBWRIGHT_LIPSYNC__CRF", "13")
    assert settings.load("mine", {}).lipsync.crf == 13


@pytest.mark.parametrize(
    ("profile", "overrides", "message"),
    [
        ("nothing", {}, "there is no profile 'nothing'; there are: draft, embedded, neural"),
        ("embedded", {"lipsync": {"sharpness": 2}}, "lipsync.sharpness"),
        ("embedded", {"lipsync": {"crf": "high"}}, "lipsync.crf"),
    ],
)
def test_mistakes_are_named(profile: str, overrides: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        settings.load(profile, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("profile", settings.profiles())
def test_a_profile_names_models_that_there_are(profile: str) -> None:
    loaded = settings.load(profile, {})
    for stage in (*pipeline.SHARED_STAGES, *pipeline.LANGUAGE_STAGES):
        config = getattr(loaded, stage.config)
        try:
            names = stage.engines[config.engine].models(config) if stage.engines else stage.models
        except MissingEngineError as error:  # an engine that looks into its model's files
            assert "Run: dubwright models fetch" in str(error)
        else:
            assert set(names) <= set(models.catalogue()), stage.name


def test_how_a_line_is_made_anew_may_differ_where_nothing_depends_on_it(tmp_path: Path) -> None:
    before = settings.load("embedded", {"work": tmp_path / "before"}).model_dump(mode="json")
    again = settings.load("embedded", {"work": tmp_path, "models_per_gpu": 2})
    assert finished._settings(before, again).models_per_gpu == 2
    assert finished._settings(before, settings.load("embedded", {})).work == tmp_path / "before"
    with pytest.raises(InputError, match=r"setting mix\.true_peak_dbtp is"):
        finished._settings(before, settings.load("embedded", {"mix": {"true_peak_dbtp": -3.0}}))


@pytest.mark.parametrize(
    "file", [CONFIGS / f"{name}.yaml" for name in ("base", *settings.profiles())], ids=lambda file: file.stem
)
def test_a_profile_is_documented_line_by_line_and_every_line_counts(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines and all(re.search(r"\S  +# \S", line) for line in lines)
    written = yaml.safe_load(file.read_text())
    loaded = settings.load("embedded" if file.stem == "base" else file.stem, {}).model_dump()
    defaults = settings.Settings().model_dump()

    def leaves(values: dict, *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from leaves(value, *path, key)
            else:
                yield (*path, key), value

    def at(values: dict, path: tuple[str, ...]) -> object:
        return reduce(getitem, path, values)

    for path, value in leaves(written):
        assert at(loaded, path) == value, path
        if file.stem == "embedded":
            assert at(defaults, path) == value, f"{path}: the defaults are this profile's choices"
    if file.stem == "draft":
        assert all(at(defaults, path) != value for path, value in leaves(written))


def test_the_readme_names_every_profile() -> None:
    readme = (CONFIGS.parent / "README.md").read_text()
    assert all(f"configs/{name}.yaml" in readme for name in settings.profiles())
