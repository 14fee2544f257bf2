"""Wav2Lip run over the driven frames, a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from stages import models
from stages.devices import device, fitting, in_batches
from stages.errors import MissingEngineError
from stages.lipsync import Wav2LipConfig
from stages.lipsync.framing import Framing
from stages.lipsync.generated import FaceJob
from stages.lipsync.wav2lip.checkpoint import load
from stages.lipsync.wav2lip.mel import heard_at, mel_spectrogram
from stages.progress import Progress

_SETTING = "lipsync.wav2lip"
_SIZE_PX = 96
# The network was trained on the boxes of a face detector, which begin on the forehead and end at the chin; opening
# jaws need some room below.
_FRAMING = Framing(_SIZE_PX, top=-0.12, bottom=0.06, side=0.05, keeps_aspect=False)


class Wav2LipEngine:
    """The network on its device (:class:`stages.lipsync.generated.Generator`)."""

    framing = _FRAMING

    def __init__(self, config: Wav2LipConfig) -> None:
        """Load it.

        Raises:
            InputError: the model is neither a name in the list nor a folder.
            MissingEngineError: it or the device cannot be used.
        """
        network = load(models.find(config.model))
        self._batch_frames = config.batch_frames
        found = device(config.device, f"{_SETTING}.device", auto_on_cuda="float32")
        self._device, self._dtype = torch.device(found.kind), found.dtype
        with fitting(_SETTING):
            self._network = network.to(self._device, self._dtype)

    def generate(self, jobs: Mapping[int, FaceJob], fps: float, scratch: Path, progress: Progress) -> None:
        """Fill the patches of every face from its own frames and voice, in smaller batches where the memory is short.

        Raises:
            MissingEngineError: the memory does not suffice for one frame; or as :meth:`made`.
        """
        done, frames = 0, sum(len(job.frames) for job in jobs.values())
        for job in jobs.values():
            mel = heard_at(mel_spectrogram(job.voice), job.times_ms)

            def work(batch: Sequence[int], job: FaceJob = job, mel: np.ndarray = mel) -> Sequence[int]:
                nonlocal done
                part = slice(batch[0], batch[-1] + 1)
                job.patches[part] = self.made(mel[part], job.crops[part])
                done += len(batch)
                progress(done / frames)
                return batch

            in_batches(range(len(job.frames)), self._batch_frames, work, _SETTING)

    def made(self, mel: np.ndarray, crops: np.ndarray) -> np.ndarray:
        """Return the speaking faces uint8 (n, 96, 96, 3) BGR of mel (n, 80, 16) and crops uint8 (n, 96, 96, 3).

        Raises:
            MissingEngineError: the numbers leave the range of the precision.
        """
        whole = torch.from_numpy(np.array(crops)).to(self._device).permute(0, 3, 1, 2).to(self._dtype) / 255
        masked = whole.clone()
        masked[:, :, _SIZE_PX // 2 :] = 0
        sound = torch.from_numpy(mel)[:, None].to(self._device, self._dtype)
        with torch.inference_mode():
            made = self._network(sound, torch.cat([masked, whole], dim=1)).float()
        if not torch.isfinite(made).all():
            raise MissingEngineError(
                f"{_SETTING}.device.precision: {self._dtype} is not enough for this network; use float32."
            )
        return np.asarray((made * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu())
