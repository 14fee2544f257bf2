import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from stages import models
from stages.diarize.ge2e import (
    WINDOW_SAMPLES,
    SpeakerEncoder,
    _mel_filters,
    _read_legacy_checkpoint,
    convert_checkpoint,
    mel_spectrogram,
    window_starts,
)
from stages.errors import MissingEngineError

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
CLIPS = Path(__file__).parents[1].parent / "shared" / "clips"


def sound(path: Path) -> np.ndarray:
    from faster_whisper.audio import decode_audio

    if not path.is_file():
        pytest.skip(f"{path.name} is not among the shared clips here")
    return decode_audio(str(path), sampling_rate=16_000)


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return SpeakerEncoder(models.path("ge2e-speaker-encoder"))


def test_halves_of_a_clip_are_one_speaker(encoder: SpeakerEncoder) -> None:
    speech = sound(SAMPLE)
    first, second = encoder.embed(speech[: len(speech) // 2]), encoder.embed(speech[len(speech) // 2 :])
    assert first.shape == (256,) and np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert float(first @ second) > 0.8


def test_people_differ(encoder: SpeakerEncoder) -> None:
    names = ("talker-a.mp4", "talker-b.mp4", "speech-de.wav", "speech-en-long.wav", "statement-en.mp4")
    vectors = np.stack([encoder.embed(sound(CLIPS / name)) for name in names])
    alike = vectors @ vectors.T
    assert alike[~np.eye(len(names), dtype=bool)].max() < 0.72


def test_loudness_does_not_matter_below_the_target(encoder: SpeakerEncoder) -> None:
    speech = sound(SAMPLE)
    loud = encoder.embed(speech * (0.03 / np.sqrt(np.mean(speech**2))))
    soft = encoder.embed(speech * (0.003 / np.sqrt(np.mean(speech**2))))
    assert float(loud @ soft) > 0.999


def test_windows_do_not_depend_on_their_batch(encoder: SpeakerEncoder) -> None:
    speech = sound(SAMPLE)
    starts = window_starts(len(speech), 1600)
    together = encoder.embed_windows(speech, starts)
    assert together.shape == (len(starts), 256) and len(starts) > 64
    alone = encoder.embed_windows(speech, starts[70:71])
    assert np.abs(together[70] - alone[0]).max() < 1e-4


def test_short_sound_fills_a_window(encoder: SpeakerEncoder) -> None:
    speech = sound(SAMPLE)[34_000:54_000]
    assert float(encoder.embed(speech) @ encoder.embed(np.tile(speech, 2)[:WINDOW_SAMPLES])) > 0.99
    with pytest.raises(ValueError, match="at least one sample"):
        encoder.embed(np.zeros(0))


def test_window_starts_reach_the_end() -> None:
    assert window_starts(10, 6400) == [0]
    assert window_starts(WINDOW_SAMPLES + 1, 6400) == [0, 1]
    assert window_starts(WINDOW_SAMPLES + 12_800, 6400) == [0, 6400, 12_800]


def test_mel_bands_are_slaney_s() -> None:
    filters = _mel_filters()
    assert filters.shape == (201, 40)
    # First and last values of librosa.filters.mel(sr=16000, n_fft=400, n_mels=40).
    edges_hz = np.array([0.0, 73.57, 147.14])
    peak = 2 / (edges_hz[2] - edges_hz[0])
    assert filters[2, 0] == pytest.approx(peak * (edges_hz[2] - 80) / (edges_hz[2] - edges_hz[1]), rel=2e-3)
    assert filters.sum(axis=0) * 40 == pytest.approx(np.ones(40), abs=0.12)


def test_a_tone_lands_in_its_band_frame_by_frame() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    mel = mel_spectrogram(tone)
    assert mel.shape == (101, 40) and mel.dtype == np.float32
    bands = mel[10:-10].argmax(axis=1)
    assert set(bands) <= {12, 13, 14} and len(set(bands)) == 1


def test_conversion_gives_the_same_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = models.path("ge2e-speaker-encoder")
    made = []
    for number, seconds in enumerate((1e9, 1.5e9)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "pretrained.pt").write_bytes((source / "pretrained.pt").read_bytes())
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda seconds=seconds: seconds)
            (path,) = convert_checkpoint(folder)
        made.append(path.read_bytes())
    assert made[0] == made[1]


class _Malicious:
    def __reduce__(self) -> tuple:
        return (print, ("executed",))


def test_a_checkpoint_cannot_execute_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "evil.pt"
    file.write_bytes(pickle.dumps(_Malicious(), protocol=2))
    with file.open("rb") as stream, pytest.raises(pickle.UnpicklingError, match="print is not expected"):
        _read_legacy_checkpoint(stream)
    assert "executed" not in capsys.readouterr().out


def test_missing_weights_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingEngineError, match="dubwright models fetch ge2e-speaker-encoder"):
        SpeakerEncoder(tmp_path)
    (tmp_path / "encoder.npz").write_bytes(b"damaged")
    with pytest.raises(MissingEngineError, match="dubwright models fetch"):
        SpeakerEncoder(tmp_path)
