"""Speaker embeddings: the GE2E d-vector of Wan et al. (2018, arXiv:1710.10467) with Resemblyzer's weights.

A three-layer LSTM reads 1.6 s of a mel spectrogram; its last state, projected, is a unit vector whose
direction is the speaker. Plain numpy: the weights are converted once, when they are fetched, without torch.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stages.errors import MissingEngineError
from stages.sound import SPEECH_RATE_HZ

WINDOW_FRAMES = 160
HOP_SAMPLES = 160
WINDOW_SAMPLES = WINDOW_FRAMES * HOP_SAMPLES
"""1.6 s at 16 kHz: what the network was trained on."""
DIMENSIONS = 256

_FFT_SAMPLES = 400
_MEL_BANDS = 40
_LAYERS = 3
_TARGET_DBFS = -30.0
_BATCH_WINDOWS = 64
_WEIGHTS = "encoder.npz"


class SpeakerEncoder:
    """Turns speech into unit vectors; the cosine of two says how alike their speakers are."""

    def __init__(self, folder: Path) -> None:
        """Load the converted weights from ``models.path("ge2e-speaker-encoder")``.

        Raises:
            MissingEngineError: the folder does not hold them.
        """
        try:
            with np.load(folder / _WEIGHTS) as weights:
                self._layers = tuple(
                    (weights[f"input_{layer}"], weights[f"state_{layer}"], weights[f"bias_{layer}"])
                    for layer in range(_LAYERS)
                )
                self._projection, self._offset = weights["projection"], weights["offset"]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise MissingEngineError(
                f"{folder / _WEIGHTS} cannot be read ({error}). Run: dubwright models fetch ge2e-speaker-encoder"
            ) from error

    def embed(self, samples_16k: np.ndarray) -> np.ndarray:
        """Return one unit vector, float32 (256,), for float (n,) samples of one speaker's speech at 16 kHz.

        Windows every 0.8 s are averaged; less than 1.6 s is repeated until it fills a window.
        """
        starts = window_starts(len(samples_16k), WINDOW_SAMPLES // 2)
        return unit(self.embed_windows(samples_16k, starts).mean(axis=0))

    def embed_windows(self, samples_16k: np.ndarray, starts: Sequence[int]) -> np.ndarray:
        """Return a unit vector, float32 (len(starts), 256), for each 1.6 s window of (n,) samples.

        Args:
            samples_16k: speech; raised to -30 dBFS where it is softer (the mel bands are linear in power).
            starts: first sample of each window. Less than a whole window of sound is repeated to fill one.
        """
        return self.embed_mels(mel_windows(samples_16k, starts, WINDOW_FRAMES))

    def embed_mels(self, mels: np.ndarray) -> np.ndarray:
        """Return a unit vector, float32 (windows, 256), for each of float32 (windows, frames, bands)."""
        return np.concatenate(
            [self._forward(mels[at : at + _BATCH_WINDOWS]) for at in range(0, len(mels), _BATCH_WINDOWS)]
        )

    def _forward(self, mels: np.ndarray) -> np.ndarray:
        """Run the network over float32 (windows, frames, bands); return unit vectors (windows, 256)."""
        sequence = np.ascontiguousarray(mels.transpose(1, 0, 2))
        for input_weights, state_weights, bias in self._layers:
            sequence = _lstm(sequence, input_weights, state_weights, bias)
        projected = np.maximum(sequence[-1] @ self._projection + self._offset, 0.0)
        return projected / np.linalg.norm(projected, axis=1, keepdims=True)


def mel_windows(samples_16k: np.ndarray, starts: Sequence[int], frames: int) -> np.ndarray:
    """Return float32 (len(starts), frames, 40): the mel bands of windows of (n,) samples, 10 ms a frame.

    Args:
        samples_16k: speech; raised to -30 dBFS where it is softer (the mel bands are linear in power).
        starts: first sample of each window, moved to where a whole window is left.
        frames: length of a window. Less than a whole window of sound is repeated to fill one.
    """
    if len(samples_16k) == 0:
        raise ValueError("an embedding needs at least one sample")
    samples = _raised(np.asarray(samples_16k, np.float32))
    samples = np.resize(samples, max(frames * HOP_SAMPLES, len(samples)))
    mel = mel_spectrogram(samples)
    first_frames = np.clip(np.asarray(starts) // HOP_SAMPLES, 0, len(mel) - frames)
    return np.stack([mel[at : at + frames] for at in first_frames])


def window_starts(samples: int, hop_samples: int) -> list[int]:
    """Return the first samples of windows every ``hop_samples``, the last one ending with the sound."""
    last = max(0, samples - WINDOW_SAMPLES)
    return [*range(0, last, hop_samples), last]


def unit(vector: np.ndarray) -> np.ndarray:
    """Return the vector scaled to length 1."""
    return vector / np.linalg.norm(vector)


def mel_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Return power mel bands float32 (frames, 40) of (n,) samples at 16 kHz, a frame every 10 ms, no log.

    As librosa's ``melspectrogram`` with Resemblyzer's settings: Hann window of 25 ms centred on the frame.
    """
    padded = np.pad(samples, _FFT_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::HOP_SAMPLES]
    window = np.hanning(_FFT_SAMPLES + 1)[:-1].astype(np.float32)
    blocks = [
        np.abs(np.fft.rfft(frames[at : at + 1024] * window, axis=1)) ** 2 @ _mel_filters()
        for at in range(0, len(frames), 1024)
    ]
    return np.concatenate(blocks).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_filters() -> np.ndarray:
    """Return float64 (bins, bands): unit-area triangles on Slaney's mel scale (Auditory Toolbox, 1998)."""
    edges_hz = _slaney_to_hz(np.linspace(0.0, _hz_to_slaney(SPEECH_RATE_HZ / 2), _MEL_BANDS + 2))
    bins_hz = np.fft.rfftfreq(_FFT_SAMPLES, 1 / SPEECH_RATE_HZ)[:, None]
    lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    triangles = np.minimum((bins_hz - lower) / (centre - lower), (upper - bins_hz) / (upper - centre))
    return np.maximum(0.0, triangles) * (2.0 / (upper - lower))


# Slaney's scale: linear up to 1 kHz (15 mel), logarithmic above, 27 mel for a factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_slaney(frequency_hz: float) -> float:
    return float(_BREAK_MEL + np.log(frequency_hz / _BREAK_HZ) / _LOG_STEP)


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    logarithmic_hz = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, _LINEAR_HZ_PER_MEL * mel, logarithmic_hz)


def _raised(samples: np.ndarray) -> np.ndarray:
    """Amplify to -30 dBFS; leave louder sound, and digital silence, as it is."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples * max(1.0, 10 ** (_TARGET_DBFS / 20) / rms) if rms > 0 else samples


def _lstm(sequence: np.ndarray, input_weights: np.ndarray, state_weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Run one LSTM layer over float32 (steps, windows, features); gates in torch's order i, f, g, o."""
    steps, windows, features = sequence.shape
    size = len(state_weights)
    driven = (sequence.reshape(-1, features) @ input_weights + bias).reshape(steps, windows, 4 * size)
    cell = np.zeros((windows, size), np.float32)
    state = np.zeros((windows, size), np.float32)
    states = np.empty((steps, windows, size), np.float32)
    for step in range(steps):
        gates = driven[step] + state @ state_weights
        entry, forget, candidate, output = (gates[:, at : at + size] for at in range(0, 4 * size, size))
        cell = _sigmoid(forget) * cell + _sigmoid(entry) * np.tanh(candidate)
        state = _sigmoid(output) * np.tanh(cell)
        states[step] = state
    return states


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * values)


def convert_checkpoint(folder: Path) -> tuple[Path, ...]:
    """Turn ``pretrained.pt`` into ``encoder.npz`` (the same bytes every time); called when fetched."""
    with (folder / "pretrained.pt").open("rb") as stream:
        state = _read_legacy_checkpoint(stream)["model_state"]
    arrays = {"projection": state["linear.weight"].T, "offset": state["linear.bias"]}
    for layer in range(_LAYERS):
        arrays[f"input_{layer}"] = state[f"lstm.weight_ih_l{layer}"].T
        arrays[f"state_{layer}"] = state[f"lstm.weight_hh_l{layer}"].T
        arrays[f"bias_{layer}"] = state[f"lstm.bias_ih_l{layer}"] + state[f"lstm.bias_hh_l{layer}"]
    target = folder / _WEIGHTS
    np.savez(
        target,
        allow_pickle=False,
        **{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()},
    )
    return (target,)


class _CheckpointUnpickler(pickle.Unpickler):
    """Reads tensors as numpy arrays and refuses every other object: nothing of the file is executed."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream, encoding="utf-8")
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "FloatStorage"): np.dtype("<f4"),
            ("torch._utils", "_rebuild_tensor_v2"): _strided,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not expected in the speaker encoder's checkpoint")
        return allowed[module, name]

    def persistent_load(self, reference: Any) -> np.ndarray:
        """Return the (still empty) storage of ``("storage", type, key, place, elements, view)``."""
        _kind, dtype, key, _place, elements, _view = reference
        return self.storages.setdefault(key, np.zeros(elements, dtype))


def _strided(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_unused: object
) -> np.ndarray:
    """Stand in for torch's ``_rebuild_tensor_v2``: a view, filled when the storage is."""
    bytes_per_step = tuple(step * storage.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, bytes_per_step)


def _read_legacy_checkpoint(stream: BinaryIO) -> dict[str, Any]:
    """Read torch's format of before 1.6: three header pickles, the object, the storages' keys, their data."""
    for _header in ("magic number", "protocol", "system"):
        _CheckpointUnpickler(stream).load()
    unpickler = _CheckpointUnpickler(stream)
    checkpoint: dict[str, Any] = unpickler.load()
    for key in _CheckpointUnpickler(stream).load():
        (elements,) = struct.unpack("<q", stream.read(8))
        unpickler.storages[key][:] = np.frombuffer(stream.read(4 * elements), "<f4")
    return checkpoint
