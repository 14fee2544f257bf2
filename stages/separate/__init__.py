"""Speech apart from everything else: the voice is enhanced, the background is what is left of the mix.

Subtracting keeps what the listener notices most: music and effects stay as they were mixed, in stereo.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import Field

from stages.artifacts import Media, Record, Separation
from stages.devices import Float32Config
from stages.engines import Engine, chosen
from stages.errors import InputError
from stages.progress import Progress
from stages.sound import SAMPLE_RATE_HZ, SPEECH_RATE_HZ

VERSION = 1
_BLOCK_SAMPLES = 10 * SAMPLE_RATE_HZ
_FULL_SCALE = 32768


class DemucsConfig(Record):
    """Settings of Demucs."""

    model: str = "htdemucs"
    """A name in the list of models, or a folder that holds ``<name>.yaml`` and the weights it names (safetensors)."""
    device: Float32Config = Float32Config()
    """Where it runs; it computes in float32."""
    section_s: float = Field(default=30.0, ge=5)
    """Sound that is separated in one go: bounds the memory; sections are cross-faded."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """Of the network's own segments inside a section."""


class SeparateConfig(Record):
    """Settings of the separation."""

    engine: str = "deepfilternet"
    """A name in :data:`ENGINES`."""
    demucs: DemucsConfig = DemucsConfig()
    attenuation_limit_db: float = 100.0
    """By how much the background may be turned down in the voice; 100 means without limit. A lower limit
    leaves some background in the voice, and takes as much out of the background track. Of DeepFilterNet only."""
    heard_background_db: float = -20.0
    """Level of the background that is left in the 16 kHz voice. Recognisers were trained on sound with some
    noise in it and mishear speech that was scrubbed clean: with music as loud as the speech, Whisper base's WER
    was .16 without any background and .05 with this."""


class Separator(Protocol):
    """A loaded engine."""

    def voices(self, blocks: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
        """Yield the voice, float (samples, channels), in time with and as long as what the blocks hold.

        Args:
            blocks: int16 (samples, 2) at 48 kHz, one after the other.
            channels: 1 where both channels are equal: then one voice is enough; else 2.
        """
        ...


ENGINES: Mapping[str, Engine] = {
    "deepfilternet": Engine("DeepFilterNet3", "stages.separate.deepfilter:DeepFilterSeparator"),
    "demucs": Engine(
        "Demucs",
        "stages.separate.demucs_engine:DemucsSeparator",
        modules=("demucs", "torch"),
        extra="demucs",
        device="demucs.device",
        models=lambda config: (config.demucs.model,),
    ),
}


def separate(media: Media, config: SeparateConfig, out: Path, progress: Progress) -> Separation:
    """Split the mix into voice and background, block by block.

    Channels that differ are enhanced one by one, so that ``background = mix - voice`` keeps the stereo
    picture; the mono voice is then their mean. In 16-bit steps ``voice + background == mix`` holds where
    the channels are equal, and for the mean of the channels within one step where they differ.

    Args:
        media: its mix is 48 kHz stereo 16-bit.
        config: see :class:`SeparateConfig`.
        out: folder to write ``voice.wav``, ``voice_16k.wav`` and ``background.wav`` to.
        progress: told the share of the mix that is done.

    Raises:
        MissingEngineError: DeepFilterNet3 is not installed or does not verify.
        InputError: the mix is not what :func:`stages.media.ingest` writes.
    """
    import soundfile
    import soxr

    mix_path = media.file(media.mix)
    with soundfile.SoundFile(mix_path) as mix:
        frames, channels = mix.frames, mix.channels
        if (mix.samplerate, channels, mix.subtype) != (SAMPLE_RATE_HZ, 2, "PCM_16"):
            raise InputError(f"{mix_path} is not 48 kHz stereo 16-bit: ingest the video again.")
    voices = 1 if _channels_are_equal(mix_path) else channels
    separator: Separator = chosen(ENGINES, config.engine, "separate.engine").make()(config)

    heard_share = 10 ** (config.heard_background_db / 20)
    artifact = Separation()
    down = soxr.ResampleStream(SAMPLE_RATE_HZ, SPEECH_RATE_HZ, 1, dtype="int16")
    with ExitStack() as open_things:

        def writer(name: str, rate_hz: int, channels: int) -> soundfile.SoundFile:
            sound = soundfile.SoundFile(out / name, "w", rate_hz, channels, subtype="PCM_16")
            return open_things.enter_context(sound)

        voice_file = writer(artifact.voice, SAMPLE_RATE_HZ, 1)
        speech_file = writer(artifact.voice_16k, SPEECH_RATE_HZ, 1)
        background_file = writer(artifact.background, SAMPLE_RATE_HZ, channels)
        mixed = _Reader(mix_path)
        for voice in separator.voices(_blocks(mix_path), voices):
            mono, background = _split(mixed.next(len(voice)), voice)
            voice_file.write(mono)
            heard = mono + heard_share * background.mean(axis=1)
            heard_steps = np.clip(np.rint(heard), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
            speech_file.write(down.resample_chunk(heard_steps))
            background_file.write(background)
            progress(voice_file.frames / frames if frames else 1.0)
        speech_file.write(down.resample_chunk(np.zeros(0, np.int16), last=True))
        progress(1.0)
    return artifact


def _split(mix: np.ndarray, voice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return voice (n,) and background (n, 2), int16, of a mix int16 (n, 2) and float voices (n, 1 or 2)."""
    steps = np.rint(voice * _FULL_SCALE).astype(np.int32)
    # A voice that overshoots by more than 16 bits can balance is held back, so that the sum stays the mix.
    steps = np.clip(steps, mix.astype(np.int32) - 32767, mix.astype(np.int32) + 32768)
    steps = np.clip(steps, -32768, 32767)
    background = (mix - steps).astype(np.int16)
    mono = np.rint(steps[:, : voice.shape[1]].mean(axis=1)).astype(np.int16)
    return mono, background


class _Reader:
    """The mix once more, in pieces as long as the voice's."""

    def __init__(self, path: Path) -> None:
        self._blocks = _blocks(path)
        self._waiting = np.zeros((0, 2), np.int16)

    def next(self, samples: int) -> np.ndarray:
        while len(self._waiting) < samples:
            self._waiting = np.concatenate([self._waiting, next(self._blocks)])
        piece, self._waiting = self._waiting[:samples], self._waiting[samples:]
        return piece


def _blocks(path: Path) -> Iterator[np.ndarray]:
    """Yield int16 (n, channels) blocks."""
    import soundfile

    with soundfile.SoundFile(path) as sound:
        while len(block := sound.read(_BLOCK_SAMPLES, dtype="int16", always_2d=True)):
            yield block


def _channels_are_equal(path: Path) -> bool:
    return all(np.array_equal(block[:, 0], block[:, 1]) for block in _blocks(path))
