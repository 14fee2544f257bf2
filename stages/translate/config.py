"""Settings of the stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.artifacts import Record
from stages.devices import DeviceConfig

Embedded = Literal["bergamot", "apertium", "whisper"]
Formality = Literal["formal", "informal"]


class LlmConfig(Record):
    """A server with OpenAI's chat completions interface. Its key is in the environment only (``DUBWRIGHT_LLM_KEY``)."""

    base_url: str | None = None
    """Its address up to the version, e.g. ``http://127.0.0.1:8080/v1``."""
    model: str | None = None
    """The model's name there."""
    batch: int = Field(default=12, ge=1, le=200)
    """Sentences a request."""
    context: int = Field(default=30, ge=0)
    """Sentences that go along before and after those that are asked for."""
    attempts: int = Field(default=2, ge=1, le=5)
    """How often a batch is asked for before it is split."""
    time_limit_s: float = Field(default=120, gt=0)
    """For one answer; a batch that takes longer is split."""
    retries: int = Field(default=4, ge=0, le=20)
    """How often a request is sent again after a 429, a server error or a lost connection."""
    longest_wait_s: float = Field(default=60, gt=0)
    """Longest pause before that; a server that asks for a longer one ends the run."""
    temperature: float | None = 0.0
    """None: not sent, for models that refuse it."""
    seed: int | None = 1
    """None: not sent."""
    max_tokens: int | None = Field(default=None, gt=0)
    """Most tokens of an answer; None: the server's own limit."""
    reply: Literal["json_schema", "json_object", "text"] = "json_schema"
    """How the server is told the form of the answer, for those that refuse a schema."""


class TranslateConfig(Record):
    """Settings of the stage."""

    engine: str = "measured"
    """A name in :data:`stages.translate.ENGINES`."""
    engines: tuple[Embedded, ...] = ("bergamot", "apertium", "whisper")
    """Embedded engines that a measured route may use."""
    formality: Formality | None = None
    """Register; None: the engine's own choice."""
    model: str | None = None
    """For m2m100, nllb, madlad and opus-mt: a folder with the model, or a name of ``dubwright models list``."""
    device: DeviceConfig = DeviceConfig()
    """For the same."""
    batch: int = Field(default=16, ge=1)
    """For the same: texts at once."""
    beams: int = Field(default=5, ge=1, le=32)
    """For the same: width of the beam search; its whole beam gives the candidates for shorter lines."""
    longest_tokens: int = Field(default=256, ge=8)
    """For the same: where a translation that does not end is cut off."""
    llm: LlmConfig = LlmConfig()
    hearing_margin_ms: int = 150
    """Sound given to the recogniser before and after a line that it translates from speech."""
    longest_join_pause_ms: int = Field(default=1500, ge=0)
    """A sentence that was cut into lines is translated as a whole across pauses up to this length."""
    longest_join_ms: int = Field(default=28_000, gt=0)
    """Longest stretch that is translated as one sentence; the recogniser hears 30 s at once."""
