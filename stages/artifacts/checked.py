"""The mixed sound, and what was found when the result was listened to."""

from __future__ import annotations

from stages.artifacts.base import Artifact, Record


class MixLevels(Record):
    """Every gain of a mix, in dB, so that a part of it can be made anew as loud as the rest."""

    speakers_db: dict[str, float]
    speech_db: float
    trim_db: float
    limit_dbfs: float | None
    """Ceiling of the limiter; None where none was needed."""
    turn_down_db: float


class Mixdown(Artifact):
    """The dubbed sound."""

    sound: str = "dub.wav"
    """48 kHz stereo 16-bit, as long as the clip."""
    integrated_lufs: float | None
    true_peak_dbtp: float
    levels: MixLevels


class LineCheck(Record):
    """What a second listening found in one line."""

    id: int
    heard: str
    cer: float


class Inspection(Artifact):
    """The dub transcribed back."""

    lines: tuple[LineCheck, ...]
    cer: float
    """Over all lines: edits over characters."""
