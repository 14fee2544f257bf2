"""What the Prefect UI asks for before a run: the types of the flows' parameters, and how they are described."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from flows.options import Stop
from language_packs import Packs
from stages import settings
from stages.translate.exchange import EXPORTS


def _one_of(values: tuple[str, ...], title: str) -> WithJsonSchema:
    """Offer ``values`` in the form; what is not among them the flow refuses, with one line that says why."""
    return WithJsonSchema({"type": "string", "enum": list(values), "title": title})


Language = Annotated[str, _one_of(Packs(settings.load("embedded", {}).packs).tags, "Language")]
Profile = Annotated[str, _one_of(settings.profiles(), "Profile")]
Export = Annotated[str, _one_of(tuple(EXPORTS), "Export")]


Place = Annotated[str, BeforeValidator(str)]
"""A path, or a URL of one of ``limits.url_schemes``: a path's own type would make ``s3:/`` of ``s3://``."""


class Choices(BaseModel):
    """What can be chosen for any run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile = Field(default="embedded", description="Which engines do the work: a file of configs/.")
    stems: bool = Field(default=False, description="Also write voice, background and dub as sound files of their own.")
    exports: tuple[Export, ...] = Field(
        default=(), description="Files for translators' programs to write beside the dub."
    )
    overrides: dict[str, Any] = Field(
        default={}, description='Settings by section, e.g. {"diarize": {"speakers": 2}}; see docs/settings.md.'
    )


class Options(Choices):
    """What can be chosen for a run, beside the video and its languages."""

    out: Place | None = Field(
        default=None, description="Output folder, or its URL (s3://...); STEM.dub beside the video when not given."
    )
    force: bool = Field(default=False, description="Replace a dub that is already there.")
    lines: tuple[int, ...] = Field(default=(), description="Make only these lines of the finished dub anew.")
    audio: Path | None = Field(
        default=None, description="Sound that takes the place of the video's own; a portrait needs it."
    )
    approve: tuple[Stop, ...] = Field(default=(), description="Where the run waits for a person.")
