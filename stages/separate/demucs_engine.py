"""Demucs (Rouard et al. 2023, "Hybrid Transformers for Music Source Separation"): speech as the vocals of the mix.

Weights are read from safetensors only: Demucs' older ``.th`` files are pickles that name classes, and are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages import models
from stages.devices import device, fitting
from stages.errors import MissingEngineError
from stages.sound import SAMPLE_RATE_HZ, resample

if TYPE_CHECKING:
    from demucs.apply import BagOfModels

    from stages.separate import SeparateConfig

_FULL_SCALE = 32768
_MARGIN_S = 1.0
"""Heard before and after a section, and given up: the network knows little of the sound at its ends."""
_FADE_S = 0.1
_VOCALS = "vocals"
_SETTING = "separate.demucs"
_NETWORKS = {"demucs.demucs.Demucs", "demucs.hdemucs.HDemucs", "demucs.htdemucs.HTDemucs"}


class DemucsSeparator:
    """The whole mix section by section, both channels together."""

    def __init__(self, config: SeparateConfig) -> None:
        """Load the network.

        Raises:
            MissingEngineError: the weights are absent, damaged, pickled or not of Demucs, or there is no such device.
        """
        self._config = config.demucs
        self._where = device(config.demucs.device, f"{_SETTING}.device").kind
        self._network = load(models.find(config.demucs.model))
        if _VOCALS not in self._network.sources:
            raise MissingEngineError(
                f"separate.demucs.model: {config.demucs.model} does not separate {_VOCALS}; choose another."
            )

    def voices(self, blocks: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
        """Yield the voice (:class:`stages.separate.Separator`).

        Raises:
            MissingEngineError: the memory does not suffice.
        """
        section, margin = round(self._config.section_s * SAMPLE_RATE_HZ), round(_MARGIN_S * SAMPLE_RATE_HZ)
        fade = round(_FADE_S * SAMPLE_RATE_HZ)
        carried = np.zeros((0, channels))
        for heard, first, last in _sections(blocks, section, margin):
            voice = self._vocals(heard)[:, :channels]
            begin = 0 if first else margin
            end = len(voice) if last else begin + section
            if not first:  # the section before has left its view of the beginning of this one
                rising = np.linspace(0, 1, len(carried))[:, None]
                voice[begin : begin + len(carried)] *= rising
                voice[begin : begin + len(carried)] += (1 - rising) * carried
            carried = voice[end : end + fade].copy()
            yield voice[begin:end]

    def _vocals(self, heard: np.ndarray) -> np.ndarray:
        """Return the vocals, float (n, 2), of int16 (n, 2)."""
        import torch
        from demucs.apply import apply_model

        rate_hz = int(self._network.samplerate)
        mix = resample(heard.astype(np.float32) / _FULL_SCALE, SAMPLE_RATE_HZ, rate_hz)
        mean, deviation = float(mix.mean()), float(mix.std())
        if deviation == 0:
            return np.zeros((len(heard), 2))
        normal = torch.from_numpy(np.ascontiguousarray((mix - mean).T / deviation))[None]
        # One of the network's own segments is on the device at a time: there is no smaller batch.
        with torch.inference_mode(), fitting(_SETTING):
            # Without random shifts: the same sound gives the same voice.
            separated = apply_model(
                self._network, normal, shifts=0, split=True, overlap=self._config.overlap, device=self._where
            )
        vocals = separated[0, self._network.sources.index(_VOCALS)].cpu().numpy().T * deviation
        return _as_long(resample(np.ascontiguousarray(vocals), rate_hz, SAMPLE_RATE_HZ), len(heard))


def load(folder: Path) -> BagOfModels:
    """Return the network in a folder that holds one ``<name>.yaml`` and the safetensors that it names.

    Raises:
        MissingEngineError: there is none, or it is not safe to read.
    """
    import yaml
    from demucs.apply import BagOfModels
    from demucs.hf import load_safetensors_model
    from safetensors import SafetensorError, safe_open

    bags = sorted(folder.glob("*.yaml"))
    if len(bags) != 1:
        raise MissingEngineError(
            f"{folder} holds no Demucs model: one NAME.yaml with SIGNATURE.safetensors beside it is needed (a .th file "
            "is a pickle and is not read)."
        )
    bag = yaml.safe_load(bags[0].read_text(encoding="utf-8"))
    networks = []
    for signature in bag["models"]:
        weights = folder / f"{signature}.safetensors"
        try:
            with safe_open(str(weights), framework="pt") as file:
                told = file.metadata()
            # Its loader imports whatever classes the file names.
            if told["klass"] not in _NETWORKS or "_class" in json.dumps(told.get("structure", "")):
                raise MissingEngineError(f"{weights} is not a model of Demucs ({told['klass']}).")
            networks.append(load_safetensors_model(weights))
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise MissingEngineError(f"{weights} cannot be read ({error}): fetch the model again.") from error
    network = BagOfModels(networks, bag.get("weights"), bag.get("segment"))
    network.eval()
    return network


def _sections(blocks: Iterable[np.ndarray], section: int, margin: int) -> Iterator[tuple[np.ndarray, bool, bool]]:
    """Yield stretches of a section with a margin on either side, and whether each is the first, and the last."""
    waiting = np.zeros((0, 2), np.int16)
    first = True
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) > (head := 0 if first else margin) + section + margin:
            yield waiting[: head + section + margin], first, False
            waiting, first = waiting[head + section - margin :], False
    if len(waiting):
        yield waiting, first, True


def _as_long(samples: np.ndarray, length: int) -> np.ndarray:
    """Return float64 (length, 2): resampling there and back may be a sample off."""
    fitted = np.zeros((length, samples.shape[1]))
    fitted[: min(length, len(samples))] = samples[:length]
    return fitted
