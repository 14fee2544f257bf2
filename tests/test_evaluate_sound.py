"""The sound's figures must react to what is done to the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run, stored

from stages import sound
from stages.artifacts import (
    Cast,
    Diarization,
    Inspection,
    Media,
    Mixdown,
    Separation,
    Speech,
    Transcript,
    Unprocessed,
)
from stages.evaluate import evaluate_sound
from stages.evaluate.goals import Figure
from stages.evaluate.sound import LineSound, SoundEvaluation
from stages.evaluate.sound_measures import followed_db, power_db, speech_level_db, step_ratio
from stages.inspect import InspectConfig
from stages.progress import silent

RATE_HZ = sound.SAMPLE_RATE_HZ


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE_HZ))


def test_what_is_left_of_a_voice_is_found_through_a_filter() -> None:
    voice, music = noise(2), noise(2, seed=1)
    delayed = np.convolve(voice, np.r_[np.zeros(300), 0.1])[: len(voice)]
    assert followed_db(music + delayed, voice) == pytest.approx(-20, abs=0.5)
    assert followed_db(music, voice) < -30


def test_levels_leave_pauses_out() -> None:
    speech = np.concatenate([noise(1), np.zeros(RATE_HZ)])
    assert speech_level_db(speech, RATE_HZ) == pytest.approx(-20, abs=0.2)
    assert power_db(speech) == pytest.approx(-23, abs=0.2)
    assert speech_level_db(np.zeros(RATE_HZ), RATE_HZ) == -np.inf


def test_a_click_is_found_only_at_a_join_and_across_blocks() -> None:
    wave = 0.3 * np.sin(2 * np.pi * 200 * np.arange(RATE_HZ) / RATE_HZ)[:, None]
    clicked = wave.copy()
    clicked[24_000] += 0.3
    assert step_ratio([wave], [24_000]) == pytest.approx(1, abs=0.01)
    assert step_ratio([clicked[:24_000], clicked[24_000:]], [24_000]) == step_ratio([clicked], [24_000]) > 20  # type: ignore[operator]
    assert step_ratio([clicked], [12_000]) < 0.1  # type: ignore[operator]
    assert step_ratio([wave], []) is None


@pytest.mark.slow
class TestOfADub:
    """The sample's dub, changed on purpose."""

    @pytest.fixture
    def parts(self, run: Run) -> dict:
        return {
            "media": stored(run, "ingest", Media),
            "separation": stored(run, "separate", Separation),
            "diarization": stored(run, "diarize", Diarization),
            "transcript": stored(run, "transcribe", Transcript),
            "voices": stored(run, "cast", Cast),
            "speech": stored(run, "speak", Speech),
            "mixdown": stored(run, "mix", Mixdown),
            "inspection": stored(run, "inspect", Inspection),
        }

    @staticmethod
    def judged(parts: dict, tmp_path: Path) -> tuple[dict[str, Figure], LineSound]:
        found: SoundEvaluation = evaluate_sound(*parts.values(), InspectConfig(), tmp_path, silent)
        return {each.key: each for each in found.total}, found.lines[0]

    def test_it_is_in_the_report(self, run: Run, parts: dict, tmp_path: Path) -> None:
        total, line = self.judged(parts, tmp_path)
        assert run.report["totals"]["sound"] == [each.content() for each in total.values()]
        assert run.report["lines"][0]["sound"] == line.model_dump(mode="json", exclude={"id"})
        for key in ("starts_on_time", "rate_bounded", "overlaps", "loudness_lu", "true_peak_dbtp", "join_step"):
            assert total[key].met is True, key
        assert total["similarity"].source is not None and total["similarity"].source > 0.9
        assert total["drift_ms"].dub is None and total["right_speaker"].dub is None

    def test_a_line_that_is_late_hurried_and_doubled(self, parts: dict, tmp_path: Path) -> None:
        speech: Speech = parts["speech"]
        (first, *_) = speech.lines
        late = first.model_copy(update={"start_ms": first.start_ms + 200, "end_ms": first.end_ms + 400, "rate": 1.5})
        doubled = speech.model_copy(update={"lines": (first, late)}).at(speech.file("."))
        total, _line = self.judged(parts | {"speech": doubled}, tmp_path)
        assert total["starts_on_time"].dub == total["rate_unhurried"].dub == total["rate_bounded"].dub == 0.5
        assert total["overlaps"].dub == 1 and total["overlaps"].met is False

    def test_another_voice(self, parts: dict, tmp_path: Path) -> None:
        speech: Speech = parts["speech"]
        line = speech.lines[0]
        samples, rate_hz = sound.read(speech.file(line.sound))
        sound.write(tmp_path / line.sound, sound.resample(samples, 18_000, 24_000)[: len(samples)], rate_hz)
        total, judged = self.judged(parts | {"speech": speech.at(tmp_path)}, tmp_path)
        assert judged.similarity is not None and judged.similarity < 0.65
        assert judged.pitch_semitones is not None and abs(judged.pitch_semitones) > 3
        assert "similarity" in judged.missed and total["similarity"].met is False

    def test_the_original_voice_under_the_dub(self, parts: dict, tmp_path: Path) -> None:
        mixdown, media = parts["mixdown"], parts["media"]
        for name in (mixdown.sound, mixdown.lines):
            samples, rate_hz = sound.read(mixdown.file(name))
            sound.write(tmp_path / name, samples, rate_hz)
        bed, rate_hz = sound.read(mixdown.file(mixdown.bed))
        source, _rate = sound.read(media.file(media.mix))
        sound.write(tmp_path / mixdown.bed, bed + 0.3 * (source - bed), rate_hz)
        total, _line = self.judged(parts | {"mixdown": mixdown.at(tmp_path)}, tmp_path)
        assert total["voice_left_db"].met is False

    def test_speech_that_nobody_accounts_for(self, parts: dict, tmp_path: Path) -> None:
        diarization, transcript = parts["diarization"], parts["transcript"]
        before, _line = self.judged(parts, tmp_path)
        turn = diarization.turns[0].model_copy(update={"start_ms": 20_000, "end_ms": 21_000})
        more = diarization.model_copy(update={"turns": (*diarization.turns, turn)}).at(diarization.file("."))
        lost, _line = self.judged(parts | {"diarization": more}, tmp_path)
        assert lost["speech_lost_ms"].dub == (before["speech_lost_ms"].dub or 0) + 1000
        listed = transcript.model_copy(
            update={"unprocessed": (Unprocessed(start_ms=20_000, end_ms=21_000, reason="speech not transcribed"),)}
        )
        found, _line = self.judged(parts | {"diarization": more, "transcript": listed}, tmp_path)
        assert found["speech_lost_ms"].dub == before["speech_lost_ms"].dub
