"""Settings of the synthesis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from stages import models
from stages.artifacts import Record
from stages.devices import Float32Config
from stages.errors import MissingEngineError


class XttsConfig(Record):
    """Settings of XTTS-v2."""

    model: str | None = None
    """A name in the list of models, or a folder with ``config.json``, ``model.pth`` and ``vocab.json``."""
    temperature: float = Field(default=0.65, gt=0)
    """Of the sampling: higher is livelier, and oftener wrong."""


class PocketConfig(Record):
    """Settings of Pocket TTS."""

    models: Mapping[str, str] = Field(default_factory=dict)
    """Primary language subtag -> a name in the list of models, or a folder with ``model.safetensors`` and
    ``tokenizer.json`` (and ``config.yaml``, where the network is not the package's own for the language)."""
    temperature: float | None = Field(default=None, gt=0)
    """Of the sampling; None: what the model's own settings recommend."""


class MmsConfig(Record):
    """Settings of MMS-TTS."""

    models: Mapping[str, str] = Field(default_factory=dict)
    """Primary language subtag -> a name in the list of models, or the folder of a ``VitsModel`` of transformers:
    ``config.json``, ``model.safetensors``, ``vocab.json``, ``tokenizer_config.json``."""


class SynthesizeConfig(Record):
    """Which synthesiser speaks, and whether its voices are matched to the speakers."""

    engine: str = "kokoro"
    """A name in :data:`stages.synthesize.ENGINES`."""
    match_voices: bool = True
    """Match pitch, vocal-tract length and long-term spectrum to each speaker; else the voices are used as they are.
    Of engines that have voices; those that clone need no matching."""
    audition_characters: int = 80
    """How much of the script each voice reads, to be compared with the speakers."""
    device: Float32Config = Float32Config()
    """Where xtts, pocket and mms run. They compute in float32."""
    xtts: XttsConfig = XttsConfig()
    pocket: PocketConfig = PocketConfig()
    mms: MmsConfig = MmsConfig()


@dataclass(frozen=True)
class Voicing:
    """The chosen synthesiser as an input of stages that are not configured by it."""

    config: SynthesizeConfig
    models: tuple[str, ...]
    """That it needs."""

    @property
    def digest(self) -> str:
        """SHA-256 of the settings and the models."""
        told = [self.config.model_dump(mode="json"), [models.digest(name) for name in self.models]]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def needed(model: str | None, setting: str, what: str) -> str:
    """Return the model that a setting names.

    Raises:
        MissingEngineError: it names none.
    """
    if model is None:
        raise MissingEngineError(
            f"{setting} is not set: give the folder of {what}, as docs/engines-synthesize.md says, or choose "
            "synthesize.engine kokoro."
        )
    return model
