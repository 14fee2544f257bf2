"""How long a stage may take, how many of the heavy ones work at once, and how often one is tried again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import Field

from stages.artifacts import Record
from stages.errors import InputError

_BACK_OFF = 2.0
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LimitsConfig(Record):
    """Limits of a run. None of them changes what comes out."""

    stage_s: Seconds | None = None
    """A stage that takes longer is ended, with its process and all that it started; None: never."""
    by_stage_s: Mapping[str, Seconds] = Field(default_factory=dict)
    """The same for stages by name, e.g. ``{"lipsync": 7200}``; counts before ``stage_s``."""
    heavy_stages: int | None = Field(default=None, ge=1)
    """How many stages with a heavy engine, of all runs of this user, may work at once. None: any number."""
    retries: int = Field(default=2, ge=0)
    """How often a stage is tried again where its error may pass by itself."""
    first_wait_s: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    """Before it is tried again the first time; each further wait is twice as long."""

    url_schemes: tuple[str, ...] = ("s3",)
    """What a video or an output folder may be given by, beside a path; another ``scheme://`` is taken for a path."""
    answer_s: Seconds = 7 * 24 * 3600.0
    """How long a run in Prefect waits for a person; then it fails, and the next one asks again."""

    def time_limit_s(self, stage: str) -> float | None:
        """Return how long a stage may take; None: as long as it likes."""
        return self.by_stage_s.get(stage, self.stage_s)

    def waits_s(self) -> list[float]:
        """Return how long is waited before each further try."""
        return [self.first_wait_s * _BACK_OFF**number for number in range(self.retries)]

    def check(self, stages: Collection[str]) -> None:
        """Check the names in ``by_stage_s``.

        Raises:
            InputError: there is no such stage.
        """
        if unknown := sorted(set(self.by_stage_s) - set(stages)):
            raise InputError(
                f"setting limits.by_stage_s.{unknown[0]}: there is no such stage; there are: {', '.join(stages)}."
            )
