"""Wav2Lip run over the driven frames, a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from stages import models
from stages.errors import MissingEngineError
from stages.lipsync import Wav2LipConfig
from stages.lipsync.framing import Framing
from stages.lipsync.generated import FaceJob
from stages.lipsync.wav2lip.checkpoint import load
from stages.lipsync.wav2lip.mel import heard_at, mel_spectrogram
from stages.progress import Progress

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
        self._dtype: torch.dtype = getattr(torch, config.precision)
        self._config = config
        try:
            self._device = torch.device(config.device)
            self._network = network.to(self._device, self._dtype)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise MissingEngineError(
                f"lipsync.wav2lip.device: {config.device} cannot be used ({reason}); cpu always can."
            ) from error

    def generate(self, jobs: Mapping[int, FaceJob], fps: float, scratch: Path, progress: Progress) -> None:
        """Fill the patches of every face from its own frames and voice (errors as :meth:`made`)."""
        done, frames = 0, sum(len(job.frames) for job in jobs.values())
        for job in jobs.values():
            mel = heard_at(mel_spectrogram(job.voice), job.times_ms)
            for first in range(0, len(job.frames), self._config.batch_frames):
                batch = slice(first, first + self._config.batch_frames)
                job.patches[batch] = self.made(mel[batch], job.crops[batch])
                done += len(mel[batch])
                progress(done / frames)

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
                f"lipsync.wav2lip.precision: {self._config.precision} is not enough for this network; use float32."
            )
        return np.asarray((made * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu())
