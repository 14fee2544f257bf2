"""Estimates: what is known by rates, what by finished runs, and what is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SAMPLE

from flows import estimates
from flows.estimates import Rate, estimate, rates
from flows.history import Done, Task, read_task, recall, remember
from stages import models, pipeline
from stages.settings import Settings, load
from stages.still import StillConfig, open_inputs
from stages.store import StageRun

TASK = Task(seconds=10, frames=250, megapixels=0.25)
STAGES = (*pipeline.SHARED_STAGES, *pipeline.LANGUAGE_STAGES)


@pytest.fixture
def settings() -> Settings:
    return load("embedded", {})


def stage_run(name: str, engine: str, seconds: float, needs: tuple[str, ...] = ()) -> StageRun:
    digest = ",".join(models.digest(model) for model in needs) or None
    return StageRun(
        name=name, language=None, engine=engine, model_sha256=digest, seconds=seconds, from_store=False, key="k"
    )


def test_every_stage_of_the_embedded_profile_was_measured_with_the_models_it_has(settings: Settings) -> None:
    for stage in STAGES:
        config = getattr(settings, stage.config)
        rate = rates()[stage.name][stage.engine_for(config)]
        assert rate.models == stage.models_for(config), stage.name
        found = estimate(stage, settings, TASK, "cpu", ())
        assert found.seconds is not None and found.memory_bytes is not None and found.disk_bytes is not None
        assert 0 < found.least_memory_bytes < 0.5 * found.memory_bytes


def test_twice_the_clip_takes_longer_but_not_more_than_twice(settings: Settings) -> None:
    twice = Task(seconds=20, frames=500, megapixels=0.25)
    for stage in (pipeline.SEPARATE, pipeline.TRANSCRIBE, pipeline.TRACK, pipeline.SPEAK, pipeline.LIPSYNC):
        once_s, twice_s = (estimate(stage, settings, task, "cpu", ()).seconds for task in (TASK, twice))
        assert once_s is not None and twice_s is not None and once_s < twice_s <= 2.001 * once_s, stage.name


def test_a_sum_of_start_and_units_over_the_cores_it_keeps_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = Rate(
        cpu_s={"start": 1, "seconds": 0.5, "further_speakers": 4},
        cores=1.5,
        memory_mb={"start": 100, "megapixels": 40},
        least_memory_mb=90,
        disk_mb={"megapixel_frames": 0.1},
    )
    monkeypatch.setattr(estimates, "rates", lambda: {"mix": {"": rate}})
    for here, seconds in ((1, 10.0), (4, 10.0 / 1.5)):
        monkeypatch.setattr(estimates, "cores", lambda here=here: here)
        found = estimate(pipeline.MIX, Settings(), TASK.model_copy(update={"speakers": 2}), "cpu", ())
        assert found.seconds == pytest.approx(seconds)
    assert (found.memory_bytes, found.least_memory_bytes, found.disk_bytes) == (110_000_000, 36_000_000, 6_250_000)


def test_finished_runs_correct_the_time_of_their_stage_and_then_of_all(settings: Settings) -> None:
    cast_s, speak_s = (estimate(stage, settings, TASK, "cpu", ()).seconds for stage in (pipeline.CAST, pipeline.SPEAK))
    assert cast_s is not None and speak_s is not None
    names = pipeline.CAST.models_for(settings.synthesize)
    done = Done(task=TASK, runs=(stage_run("cast", "kokoro", 3 * cast_s, names),))
    cast = estimate(pipeline.CAST, settings, TASK, "cpu", [done])
    speak = estimate(pipeline.SPEAK, settings, TASK, "cpu", [done])
    assert (cast.seconds, cast.measured_here) == (pytest.approx(3 * cast_s), 1)
    assert (speak.seconds, speak.measured_here) == (pytest.approx(3 * speak_s), 0)


def test_runs_of_another_model_tell_nothing(settings: Settings) -> None:
    done = Done(task=TASK, runs=(stage_run("cast", "kokoro", 1000.0, ("whisper-base",)),))
    assert estimate(pipeline.CAST, settings, TASK, "cpu", [done]) == estimate(pipeline.CAST, settings, TASK, "cpu", ())


def test_an_engine_that_was_never_measured_has_only_the_size_of_its_model() -> None:
    settings = load("embedded", {"inspect": {"model": "faster-whisper-large-v3"}})
    found = estimate(pipeline.INSPECT, settings, TASK, "cpu", ())
    assert (found.seconds, found.memory_bytes, found.disk_bytes) == (None, None, None)
    size_bytes = models.catalogue()["faster-whisper-large-v3"].size_bytes
    assert (found.models_bytes, found.least_memory_bytes) == (size_bytes, round(size_bytes / 4))
    elsewhere = estimate(pipeline.INSPECT, settings, TASK, "cuda", ())
    assert (elsewhere.models_bytes, elsewhere.least_memory_bytes) == (0, 0)


def test_its_finished_runs_are_gone_by_in_proportion(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"12345")
    settings = load("embedded", {"inspect": {"model": str(tmp_path)}})
    done = Done(task=TASK, runs=(stage_run("inspect", "faster-whisper", 30.0, (str(tmp_path),)),))
    twice = Task(seconds=20, frames=500, megapixels=0.25)
    found = estimate(pipeline.INSPECT, settings, twice, "cpu", [done])
    assert found.seconds == pytest.approx(60.0) and found.models_bytes == 5


def test_only_what_was_done_is_remembered(tmp_path: Path) -> None:
    fresh = stage_run("mix", "", 1.0)
    remember(tmp_path, TASK, [fresh, fresh.model_copy(update={"name": "speak", "from_store": True})])
    remember(tmp_path, TASK, [fresh.model_copy(update={"from_store": True})])
    assert recall(tmp_path) == [Done(task=TASK, runs=(fresh,))]


def test_a_record_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "finished.jsonl").mkdir()
    remember(tmp_path, TASK, [stage_run("mix", "", 1.0)])
    assert "finished.jsonl cannot be written" in caplog.text


def test_lines_of_another_version_and_cut_off_ones_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "finished.jsonl").write_text('{"other": 1}\n{"task": {"sec\n')
    remember(tmp_path, TASK, [stage_run("mix", "", 1.0)])
    assert len(recall(tmp_path)) == 1
    assert recall(tmp_path / "nowhere") == []


def test_the_size_of_a_clip_is_read_from_its_headers() -> None:
    task = read_task(open_inputs(SAMPLE, None), StillConfig(), 2)
    assert (task.frames, task.speakers) == (105, 2)
    assert task.seconds == pytest.approx(8.7, abs=0.1) and task.megapixels == pytest.approx(0.0768)


def test_a_portrait_lasts_as_long_as_its_sound(tmp_path: Path) -> None:
    import cv2
    import numpy as np
    import soundfile

    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((200, 300, 3), np.uint8))
    soundfile.write(tmp_path / "s.wav", np.zeros(48_000 * 4), 48_000)
    task = read_task(open_inputs(tmp_path / "p.png", tmp_path / "s.wav"), StillConfig(fps=25), None)
    assert (task.frames, task.speakers) == (100, 1)
    assert (task.seconds, task.megapixels) == (pytest.approx(4.0, abs=0.01), pytest.approx(0.06))
