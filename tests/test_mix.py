"""The dub's sound: what is heard where, how loud, and how long."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages import sound
from stages.artifacts import Line, Media, PictureStream, Separation, Speech, SpokenLine, Transcript, Unprocessed
from stages.mix import MixConfig, mix, undubbed
from stages.mix.loudness import integrated_lufs, measure, true_peak_dbtp
from stages.progress import silent

RATE_HZ = sound.SAMPLE_RATE_HZ
SPEECH_HZ = 24_000


def tone(seconds: float, frequency_hz: float, amplitude: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def voice_like(seconds: float, amplitude: float, rate_hz: int, seed: int = 0) -> np.ndarray:
    """Noise in syllables."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    return (amplitude * noise * np.sin(np.pi * 4 * time_s) ** 2).astype(np.float32)


class Clip:
    """Ten seconds: background music throughout, the original voice at 1-4 s and 6-9 s."""

    def __init__(self, folder: Path, music: float = 0.02, voice: float = 0.15, seconds: float = 10.0) -> None:
        self.folder = folder
        self.samples = round(seconds * RATE_HZ) + 7
        bed = np.zeros((self.samples, 2), np.float32)
        bed[:, 0] = tone(seconds + 1, 220, music)[: self.samples]
        bed[:, 1] = tone(seconds + 1, 330, music)[: self.samples]
        speech = np.zeros(self.samples, np.float32)
        for start_s in (1, 6):
            speech[start_s * RATE_HZ : (start_s + 3) * RATE_HZ] = voice_like(3, voice, RATE_HZ, start_s)
        sound.write(folder / "background.wav", bed, RATE_HZ)
        sound.write(folder / "voice.wav", speech, RATE_HZ)
        sound.write(folder / "mix.wav", bed + speech[:, None], RATE_HZ)
        picture = PictureStream(
            index=0, width_px=64, height_px=64, rotation_deg=0, fps=Fraction(25), is_variable_rate=False,
            frames=250, end_ms=10000, codec="h264",
        )  # fmt: skip
        self.media = Media(
            file_name="a.mp4", duration_ms=round(1000 * seconds), picture=picture, sounds=(), sound_index=1,
            integrated_lufs=integrated_lufs(folder / "mix.wav"),
        ).at(folder)  # fmt: skip
        self.separation = Separation().at(folder)
        lines = tuple(
            Line(id=n, speaker="S1", start_ms=start, end_ms=start + 3000, text="x", words=())
            for n, start in ((1, 1000), (2, 6000))
        )
        self.transcript = Transcript(language="en", language_probability=1, lines=lines, unprocessed=())

    def spoken(self, line_id: int, start_ms: int, samples: np.ndarray, speaker: str = "S1") -> SpokenLine:
        sound.write(self.folder / f"{line_id}.wav", samples, SPEECH_HZ)
        end_ms = start_ms + 1000 * len(samples) // SPEECH_HZ
        return SpokenLine(
            id=line_id, speaker=speaker, sound=f"{line_id}.wav", sound_start_ms=start_ms, start_ms=start_ms,
            end_ms=end_ms, rate=1, phones=(), similarity=1,
        )  # fmt: skip

    def dub(self, *lines: SpokenLine, config: MixConfig | None = None) -> tuple[np.ndarray, float | None, float]:
        speech = Speech(language="pt-BR", engine="kokoro", rate_hz=SPEECH_HZ, lines=lines).at(self.folder)
        made = mix(self.media, self.separation, self.transcript, speech, config or MixConfig(), self.folder, silent)
        samples, rate_hz = sound.read(self.folder / made.sound)
        assert rate_hz == RATE_HZ
        return samples, made.integrated_lufs, made.true_peak_dbtp


def level_db(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(samples.astype(float) ** 2) + 1e-12)


class TestLoudness:
    def test_of_a_997_hz_sine_is_that_of_the_standard(self, tmp_path: Path):
        """BS.1770: 0 dBFS, 997 Hz in one channel reads -3.01 LKFS; in both, 0."""
        sound.write(tmp_path / "a.wav", np.repeat(tone(5, 997, 0.1)[:, None], 2, axis=1), RATE_HZ)
        sound.write(tmp_path / "b.wav", tone(5, 997, 0.1), RATE_HZ)
        assert integrated_lufs(tmp_path / "a.wav") == pytest.approx(-20.0, abs=0.1)
        assert integrated_lufs(tmp_path / "b.wav") == pytest.approx(-23.0, abs=0.1)

    def test_true_peak_lies_between_samples(self, tmp_path: Path):
        """A sine at a quarter of the rate, 45 degrees off: its samples are 3 dB under its peak."""
        phase = np.pi / 2 * np.arange(RATE_HZ) + np.pi / 4
        samples = (0.5 * np.sin(phase) * np.hanning(RATE_HZ)).astype(np.float32)
        sound.write(tmp_path / "a.wav", samples, RATE_HZ)
        assert true_peak_dbtp(tmp_path / "a.wav") == pytest.approx(-6.02, abs=0.4)
        assert 20 * np.log10(np.abs(samples).max()) < -8.9

    def test_silence_has_none(self, tmp_path: Path):
        sound.write(tmp_path / "a.wav", np.zeros((RATE_HZ, 2)), RATE_HZ)
        assert measure(tmp_path / "a.wav").integrated_lufs is None
        assert true_peak_dbtp(tmp_path / "a.wav") == -np.inf


class TestMix:
    def test_is_as_long_and_as_loud_as_the_source_and_below_the_peak(self, tmp_path: Path):
        clip = Clip(tmp_path)
        samples, lufs, peak = clip.dub(
            clip.spoken(1, 1000, voice_like(2.5, 0.02, SPEECH_HZ)), clip.spoken(2, 6000, voice_like(3, 0.02, SPEECH_HZ))
        )
        assert samples.shape == (clip.samples, 2)
        assert lufs == pytest.approx(clip.media.integrated_lufs, abs=1.0)
        assert integrated_lufs(tmp_path / "dub.wav") == lufs
        assert peak <= -1.0

    def test_lines_sound_where_they_are_placed_and_the_original_voice_is_gone(self, tmp_path: Path):
        clip = Clip(tmp_path, music=0.0)
        samples, _, _ = clip.dub(
            clip.spoken(1, 1250, tone(1.0, 500, 0.1, SPEECH_HZ)),
            clip.spoken(2, 7000, tone(1.0, 700, 0.1, SPEECH_HZ)),
            config=MixConfig(match_room=False),
        )
        heard = np.flatnonzero(np.abs(samples[:, 0]) > 0.005)
        assert heard[0] == pytest.approx(1.25 * RATE_HZ, abs=0.004 * RATE_HZ)
        assert heard[-1] == pytest.approx(8.0 * RATE_HZ, abs=0.004 * RATE_HZ)
        assert np.abs(samples[round(2.3 * RATE_HZ) : round(6.9 * RATE_HZ)]).max() < 0.001
        spectrum = np.abs(np.fft.rfft(samples[round(7.2 * RATE_HZ) : round(7.7 * RATE_HZ), 1]))
        assert 2 * np.argmax(spectrum) == pytest.approx(700, abs=2)

    def test_the_background_keeps_its_channels_and_its_level(self, tmp_path: Path):
        clip = Clip(tmp_path)
        samples, _, _ = clip.dub(
            clip.spoken(1, 1000, voice_like(3, 0.3, SPEECH_HZ)), clip.spoken(2, 6000, voice_like(3, 0.3, SPEECH_HZ))
        )
        bed, _ = sound.read(tmp_path / "background.wav")
        between = slice(round(4.5 * RATE_HZ), round(5.5 * RATE_HZ))
        assert level_db(samples[between]) == pytest.approx(level_db(bed[between]), abs=1.0)
        assert np.corrcoef(samples[between, 0], bed[between, 0])[0, 1] > 0.999
        assert abs(np.corrcoef(samples[between, 0], samples[between, 1])[0, 1]) < 0.1

    def test_every_speaker_gets_back_their_own_level(self, tmp_path: Path):
        clip = Clip(tmp_path, music=0.001)
        voice, _ = sound.read(tmp_path / "voice.wav")
        voice[5 * RATE_HZ :] *= 0.25
        sound.write(tmp_path / "voice.wav", voice, RATE_HZ)
        bed, _ = sound.read(tmp_path / "background.wav")
        sound.write(tmp_path / "mix.wav", bed + voice[:, None], RATE_HZ)
        first, second = clip.transcript.lines
        lines = (first, second.model_copy(update={"speaker": "S2"}))
        clip.transcript = clip.transcript.model_copy(update={"lines": lines})
        samples, _, _ = clip.dub(
            clip.spoken(1, 1000, voice_like(3, 0.05, SPEECH_HZ)),
            clip.spoken(2, 6000, voice_like(3, 0.2, SPEECH_HZ), "S2"),
        )
        loud, soft = samples[RATE_HZ : 4 * RATE_HZ], samples[6 * RATE_HZ : 9 * RATE_HZ]
        assert level_db(loud) - level_db(soft) == pytest.approx(12.0, abs=1.0)

    def test_a_loud_master_is_limited_and_stays_loud(self, tmp_path: Path):
        clip = Clip(tmp_path, music=0.35, voice=0.3)
        samples, lufs, peak = clip.dub(
            clip.spoken(1, 1000, voice_like(3, 0.1, SPEECH_HZ)), clip.spoken(2, 6000, voice_like(3, 0.1, SPEECH_HZ))
        )
        assert peak <= -1.0 and true_peak_dbtp(tmp_path / "dub.wav") <= -1.0
        assert lufs == pytest.approx(clip.media.integrated_lufs, abs=1.0)
        assert samples.shape == (clip.samples, 2)
        bed, _ = sound.read(tmp_path / "background.wav")
        between = slice(round(4.8 * RATE_HZ), round(5.2 * RATE_HZ))
        lag = (
            np.argmax(np.correlate(samples[between, 0], bed[between, 0], "same")) - (between.stop - between.start) // 2
        )
        assert abs(lag) <= 1

    def test_a_limiter_that_does_not_reach_the_ceiling_is_helped_by_a_plain_gain(self, tmp_path: Path, monkeypatch):
        attempts = []

        def useless(blocks, ceiling_dbfs):
            attempts.append(ceiling_dbfs)
            return blocks

        monkeypatch.setattr("stages.mix._limited", useless)
        clip = Clip(tmp_path, music=0.35, voice=0.3)
        _, _, peak = clip.dub(clip.spoken(1, 1000, voice_like(3, 0.1, SPEECH_HZ)))
        assert -1.2 < peak <= -1.0
        assert len(attempts) <= 10

    def test_what_was_not_processed_is_the_source_itself(self, tmp_path: Path):
        clip = Clip(tmp_path)
        unprocessed = (Unprocessed(start_ms=6000, end_ms=9000, reason="not understood"),)
        clip.transcript = clip.transcript.model_copy(
            update={"unprocessed": unprocessed, "lines": clip.transcript.lines[:1]}
        )
        samples, _, _ = clip.dub(clip.spoken(1, 1000, voice_like(3, 0.15, SPEECH_HZ, 1)))
        source, _ = sound.read(tmp_path / "mix.wav")
        kept = slice(round(6.1 * RATE_HZ), round(8.9 * RATE_HZ))
        gain = level_db(samples[kept]) - level_db(source[kept])
        assert gain == pytest.approx(0.0, abs=1.0)
        assert np.corrcoef(samples[kept, 0], source[kept, 0])[0, 1] > 0.9999

    def test_joins_do_not_click(self, tmp_path: Path):
        clip = Clip(tmp_path, music=0.0)
        at_its_peak = (0.2 * np.cos(2 * np.pi * 100 * np.arange(SPEECH_HZ) / SPEECH_HZ)).astype(np.float32)
        samples, _, _ = clip.dub(clip.spoken(1, 1000, at_its_peak), clip.spoken(2, 6000, at_its_peak))
        steepest = 2 * np.pi * 100 / RATE_HZ
        assert np.abs(np.diff(samples[:, 0])).max() < 1.5 * steepest * np.abs(samples).max()

    def test_a_dub_of_silence_and_a_silent_source_are_possible(self, tmp_path: Path):
        clip = Clip(tmp_path, music=0.0, voice=0.0)
        assert clip.media.integrated_lufs is None
        samples, _, peak = clip.dub(clip.spoken(1, 1000, voice_like(1, 0.1, SPEECH_HZ)))
        assert np.abs(samples).max() > 0.05 and peak <= -1.0
        samples, lufs, peak = clip.dub()
        assert lufs is None and peak == -np.inf and not samples.any()

    def test_memory_does_not_grow_with_length(self, tmp_path: Path):
        peaks = []
        for seconds in (20, 60):
            folder = tmp_path / str(seconds)
            folder.mkdir()
            clip = Clip(folder, seconds=seconds)
            line = clip.spoken(1, 1000, voice_like(3, 0.1, SPEECH_HZ))
            lines = [line.model_copy(update={"sound_start_ms": 1000 + 4000 * n}) for n in range(seconds // 4 - 1)]
            tracemalloc.start()
            mix(
                clip.media, clip.separation, clip.transcript,
                Speech(language="pt-BR", engine="kokoro", rate_hz=SPEECH_HZ, lines=tuple(lines)).at(folder),
                MixConfig(), folder, silent,
            )  # fmt: skip
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert soundfile.info(folder / "dub.wav").frames == clip.samples
        assert peaks[1] < 1.15 * peaks[0]


class TestUndubbed:
    def transcript(self, unprocessed: list[tuple[int, int]], lines: list[tuple[int, int]]) -> Transcript:
        return Transcript(
            language="en",
            language_probability=1,
            lines=tuple(
                Line(id=n, speaker="S1", start_ms=a, end_ms=b, text="x", words=()) for n, (a, b) in enumerate(lines, 1)
            ),
            unprocessed=tuple(Unprocessed(start_ms=a, end_ms=b, reason="x") for a, b in unprocessed),
        )

    def speech(self, spans: dict[int, tuple[int, int]]) -> Speech:
        lines = tuple(
            SpokenLine(
                id=n, speaker="S1", sound="", sound_start_ms=a, start_ms=a, end_ms=b, rate=1, phones=(), similarity=1
            )
            for n, (a, b) in spans.items()
        )
        return Speech(language="pt-BR", engine="kokoro", rate_hz=SPEECH_HZ, lines=lines)

    def test_lines_without_a_dub_keep_their_voice(self):
        assert undubbed(self.transcript([], [(0, 1000), (2000, 3000)]), self.speech({1: (0, 900)})) == ((2000, 3000),)

    def test_overlapping_stretches_are_joined(self):
        assert undubbed(self.transcript([(0, 1000), (500, 2000)], []), self.speech({})) == ((0, 2000),)

    def test_the_dub_takes_precedence_where_it_reaches_into_one(self):
        found = undubbed(self.transcript([(1000, 5000)], [(0, 900)]), self.speech({1: (0, 1500)}))
        assert found == ((1500, 5000),)
