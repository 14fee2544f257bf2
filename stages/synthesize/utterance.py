"""What synthesisers give: how long a reading lasts, and a spoken line with its phones' times."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stages.artifacts import Phone, PhraseEnd


@dataclass(frozen=True)
class Length:
    """How long a reading lasts."""

    lead_ms: int
    """Silence before the first phone."""
    sounding_ms: int
    """First phone's onset to last phone's end, pauses included."""
    tail_ms: int
    """Silence after the last phone."""
    phrase_ends: tuple[PhraseEnd, ...] = ()
    """Where punctuation ends a phrase inside it."""

    @property
    def total_ms(self) -> int:
        """The whole sound."""
        return self.lead_ms + self.sounding_ms + self.tail_ms


@dataclass(frozen=True)
class Utterance:
    """A spoken line."""

    samples: np.ndarray
    """float32 (samples,) at the engine's rate."""
    phones: tuple[Phone, ...]
    """With times from the first sample on; the IPA as it was given."""
    token_frames: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    """int (tokens,): of Kokoro, frames of 600 samples per input token, pads included; they add up to the sound."""
    flags: tuple[str, ...] = ()
    """What a person should know of it."""

    @property
    def sounding_ms(self) -> int:
        """First phone's onset to last phone's end; 0 without phones."""
        return self.phones[-1].end_ms - self.phones[0].start_ms if self.phones else 0
