"""Wav2Lip's generator, with the parameter names of the public checkpoints.

A face encoder halves the picture six times; an audio encoder makes one vector of .2 s of sound; a decoder goes from
that vector back to the picture, joined at each size by what the face encoder saw there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

Stride = int | tuple[int, int]


class _Conv(NamedTuple):
    """A convolution of ``kernel`` x ``kernel``; ``into`` channels, padded to keep the size unless told otherwise."""

    into: int
    kernel: int = 3
    stride: Stride = 1
    padding: int = 1
    residual: bool = False


def _same(channels: int, times: int) -> list[_Conv]:
    return [_Conv(channels, residual=True)] * times


_FACE = (
    [_Conv(16, kernel=7, padding=3)],
    [_Conv(32, stride=2), *_same(32, 2)],
    [_Conv(64, stride=2), *_same(64, 3)],
    [_Conv(128, stride=2), *_same(128, 2)],
    [_Conv(256, stride=2), *_same(256, 2)],
    [_Conv(512, stride=2), *_same(512, 1)],
    [_Conv(512, padding=0), _Conv(512, kernel=1, padding=0)],
)
_FACE_CHANNELS = tuple(block[-1].into for block in _FACE)
_AUDIO = [
    *(_Conv(32), *_same(32, 2)),
    *(_Conv(64, stride=(3, 1)), *_same(64, 2)),
    *(_Conv(128, stride=3), *_same(128, 2)),
    *(_Conv(256, stride=(3, 2)), *_same(256, 1)),
    *(_Conv(512, padding=0), _Conv(512, kernel=1, padding=0)),
]
_DECODER_CHANNELS = (512, 512, 512, 384, 256, 128, 64)
_DECODER_RESIDUALS = (0, 1, 2, 2, 2, 2, 2)


class _Block(nn.Module):
    """Convolution, batch normalisation, ReLU; a residual one adds its input before the ReLU."""

    def __init__(self, convolution: nn.Module, channels: int, residual: bool = False) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(convolution, nn.BatchNorm2d(channels))
        self._residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv_block(x)
        return torch.relu(y + x if self._residual else y)


class Wav2Lip(nn.Module):
    """The generator."""

    def __init__(self) -> None:
        super().__init__()
        starts = (6, *_FACE_CHANNELS[:-1])
        self.face_encoder_blocks = nn.ModuleList(_blocks(a, block) for a, block in zip(starts, _FACE, strict=True))
        self.audio_encoder = _blocks(1, _AUDIO)
        self.face_decoder_blocks = nn.ModuleList()
        arriving = _AUDIO[-1].into
        for level, (channels, residuals) in enumerate(zip(_DECODER_CHANNELS, _DECODER_RESIDUALS, strict=True)):
            first = _decoder_start(level, arriving, channels)
            self.face_decoder_blocks.append(nn.Sequential(first, *_blocks(channels, _same(channels, residuals))))
            arriving = channels + _FACE_CHANNELS[-1 - level]
        self.output_block = nn.Sequential(*_blocks(arriving, [_Conv(32)]), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, mel: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Return faces (n, 3, 96, 96) 0-1.

        Args:
            mel: (n, 1, 80, 16), see :mod:`stages.lipsync.wav2lip.mel`.
            faces: (n, 6, 96, 96) 0-1 BGR: the face with its lower half black, then the whole of a face.
        """
        seen = []
        for block in self.face_encoder_blocks:
            faces = block(faces)
            seen.append(faces)
        made = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            made = torch.cat([block(made), seen.pop()], dim=1)
        return self.output_block(made)


def _blocks(channels: int, convolutions: Sequence[_Conv]) -> nn.Sequential:
    made = nn.Sequential()
    for each in convolutions:
        convolution = nn.Conv2d(channels, each.into, each.kernel, each.stride, each.padding)
        made.append(_Block(convolution, each.into, each.residual))
        channels = each.into
    return made


def _decoder_start(level: int, arriving: int, channels: int) -> _Block:
    """Return what enlarges the picture: not at all, from 1 to 3 px, then by two each."""
    if level == 0:
        return _Block(nn.Conv2d(arriving, channels, 1), channels)
    if level == 1:
        return _Block(nn.ConvTranspose2d(arriving, channels, 3), channels)
    return _Block(nn.ConvTranspose2d(arriving, channels, 3, stride=2, padding=1, output_padding=1), channels)
