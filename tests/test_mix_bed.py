"""What the dub is laid over: the original voice is gone where it was dubbed, and all else is the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from test_mix import RATE_HZ, SPEECH_HZ, Clip, level_db, tone, voice_like

from bench.mix import followed_db, peak_dbtp, step_ratio
from stages import sound
from stages.artifacts import Line, SpokenLine, Transcript, Unprocessed
from stages.mix.bed import residue, write_bed
from stages.mix.spans import grown, removed


class Known:
    """Speech over stereo music, and a separation that left a reverberant tenth of the voice in the background."""

    def __init__(self, folder: Path, seconds: float = 12.0) -> None:
        self.music = np.stack([tone(seconds, 220, 0.05), tone(seconds, 331, 0.02)], axis=1).astype(np.float64)
        self.voice = voice_like(seconds, 0.1, RATE_HZ).astype(np.float64)
        rng = np.random.default_rng(3)
        answer = rng.standard_normal(4800) * np.exp(-np.arange(4800) / 1200)
        answer *= 0.3 / np.sqrt(np.sum(answer**2))
        self.left_over = scipy.signal.fftconvolve(self.voice, answer)[: len(self.voice)]
        self.background = self.music + self.left_over[:, None]
        sound.write(folder / "mix.wav", self.background + self.voice[:, None], RATE_HZ)
        sound.write(folder / "background.wav", self.background, RATE_HZ)
        self.folder = folder

    def bed(self, *spans_ms: tuple[int, int]) -> np.ndarray:
        target = self.folder / "bed.wav"
        write_bed(self.folder / "mix.wav", self.folder / "background.wav", spans_ms, 20, target)
        return sound.read(target)[0]

    @property
    def mix(self) -> np.ndarray:
        return sound.read(self.folder / "mix.wav")[0]


def test_outside_the_spans_the_bed_is_the_source_to_the_sample(tmp_path: Path) -> None:
    known = Known(tmp_path)
    bed = known.bed((3000, 5000), (7000, 8000))
    outside = np.ones(len(bed), bool)
    for start_s, end_s in ((2.98, 5.04), (6.98, 8.04)):
        outside[round(start_s * RATE_HZ) : round(end_s * RATE_HZ) + 1] = False
    assert bed.shape == known.mix.shape and np.array_equal(bed[outside], known.mix[outside])
    assert known.bed().tobytes() == known.mix.tobytes()


def test_the_voice_is_20_db_down_and_the_music_keeps_level_and_balance(tmp_path: Path) -> None:
    known = Known(tmp_path)
    bed = known.bed((0, 12_000))
    for channel in (0, 1):
        before = followed_db(known.background[:, channel] - known.music[:, channel], known.voice)
        after = followed_db(bed[:, channel] - known.music[:, channel], known.voice)
        assert before > -12 and after < -20
        music = known.music[:, channel]
        kept_db = 20 * np.log10(bed[:, channel] @ music / (music @ music))
        assert kept_db == pytest.approx(0, abs=0.5)


def test_sections_join_without_a_trace(tmp_path: Path) -> None:
    """The filters change every 10 s; 25 s hold two joins, at which nothing is heard."""
    known = Known(tmp_path, 25.0)
    bed = known.bed((0, 25_000))
    rest = bed - known.music
    assert step_ratio([rest], [10 * RATE_HZ, 20 * RATE_HZ]) <= 1
    assert level_db(rest[9 * RATE_HZ : 21 * RATE_HZ]) < level_db(known.voice) - 20


def test_music_alone_is_not_taken_for_a_residue() -> None:
    music = np.stack([tone(6, 220, 0.1), tone(6, 330, 0.1)], axis=1).astype(np.float64)
    assert not residue(music, np.zeros_like(music)).any()
    other = voice_like(6, 0.1, RATE_HZ)[:, None] * np.ones((1, 2))
    assert level_db(residue(music, other)) < level_db(music) - 25


class TestRemoved:
    def voice(self, folder: Path, *bursts_ms: tuple[int, int]) -> Path:
        samples = np.zeros(10 * RATE_HZ, np.float32)
        for start_ms, end_ms in bursts_ms:
            first, last = (time_ms * RATE_HZ // 1000 for time_ms in (start_ms, end_ms))
            samples[first:last] = 0.1 * np.random.default_rng(0).standard_normal(last - first)
        sound.write(folder / "voice.wav", samples, RATE_HZ)
        return folder / "voice.wav"

    def test_a_line_is_followed_to_its_last_sound(self, tmp_path: Path) -> None:
        start_ms, end_ms = grown((2000, 4000), self.voice(tmp_path, (1900, 4300)))
        assert 1800 <= start_ms <= 1900 and 4300 <= end_ms <= 4450

    def test_it_is_not_followed_into_the_next_sound_after_a_pause(self, tmp_path: Path) -> None:
        _, end_ms = grown((2000, 4000), self.voice(tmp_path, (2000, 4000), (4300, 5000)))
        assert end_ms <= 4150

    def test_laughter_breath_and_what_is_not_dubbed_stay(self, tmp_path: Path) -> None:
        voice = self.voice(tmp_path, (1000, 2000), (2500, 3200), (5000, 6000), (7000, 8000))
        lines = tuple(
            Line(id=n, speaker="S1", start_ms=a, end_ms=b, text="x", words=())
            for n, (a, b) in enumerate(((1000, 2000), (5000, 6000)), 1)
        )
        transcript = Transcript(
            language="en", language_probability=1, lines=lines,
            unprocessed=(Unprocessed(start_ms=7000, end_ms=8000, reason="x"),),
        )  # fmt: skip
        clip = Clip(tmp_path)
        dub = clip.spoken(1, 1000, voice_like(0.9, 0.1, SPEECH_HZ))
        failed = clip.spoken(2, 5000, np.zeros(480, np.float32)).model_copy(update={"failure": "x", "end_ms": 6000})
        spans = removed(transcript, speech_of(clip, dub, failed), voice)
        assert len(spans) == 1 and 900 <= spans[0][0] <= 1000 and 2000 <= spans[0][1] <= 2150


def speech_of(clip: Clip, *lines: SpokenLine):
    from stages.artifacts import Speech

    return Speech(language="pt-BR", engine="kokoro", rate_hz=SPEECH_HZ, lines=lines).at(clip.folder)


def test_what_nobody_dubbed_is_the_source_to_the_sample_and_the_peak_holds(tmp_path: Path) -> None:
    """A laugh between two lines, that no recogniser wrote down, is heard as it was; the peak by a second measure."""
    clip = Clip(tmp_path)
    voice, _ = sound.read(tmp_path / "voice.wav")
    voice[round(4.9 * RATE_HZ) : round(5.3 * RATE_HZ)] = voice_like(0.4, 0.1, RATE_HZ, 9)
    bed, _ = sound.read(tmp_path / "background.wav")
    sound.write(tmp_path / "voice.wav", voice, RATE_HZ)
    sound.write(tmp_path / "mix.wav", bed + voice[:, None], RATE_HZ)
    samples, _, _ = clip.dub(
        clip.spoken(1, 1000, voice_like(2.5, 0.1, SPEECH_HZ)), clip.spoken(2, 6000, voice_like(3, 0.1, SPEECH_HZ))
    )
    laugh = slice(round(4.85 * RATE_HZ), round(5.35 * RATE_HZ))
    source, _ = sound.read(tmp_path / "mix.wav")
    gain_db = level_db(samples[laugh]) - level_db(source[laugh])
    assert gain_db == pytest.approx(0, abs=0.45)
    assert np.corrcoef(samples[laugh, 0], source[laugh, 0])[0, 1] > 0.9999
    assert peak_dbtp(samples) <= -1.0


def test_the_dub_is_heard_on_the_side_of_its_speaker(tmp_path: Path) -> None:
    clip = Clip(tmp_path, music=0.001)
    voice, _ = sound.read(tmp_path / "voice.wav")
    bed, _ = sound.read(tmp_path / "background.wav")
    sound.write(tmp_path / "mix.wav", bed + voice[:, None] * np.array([1.4, 0.6]), RATE_HZ)
    samples, _, _ = clip.dub(
        clip.spoken(1, 1000, voice_like(3, 0.1, SPEECH_HZ, 5)), clip.spoken(2, 6000, voice_like(3, 0.1, SPEECH_HZ, 6))
    )
    left, right = (level_db(samples[RATE_HZ : 4 * RATE_HZ, channel]) for channel in (0, 1))
    assert left - right == pytest.approx(20 * np.log10(1.4 / 0.6), abs=0.5)
