"""The mixed sound, and what was found when the result was listened to."""

from __future__ import annotations

from stages.artifacts.base import Artifact, Record


class Room(Record):
    """Reverberation that is added to a dry voice."""

    decay_s: float
    """Time in which it falls by 60 dB."""
    level_db: float
    """Energy of the reverberation, relative to the direct sound."""


class Place(Record):
    """Where one speaker's voice is heard, after their own voice in the source."""

    gain_db: float
    left: float = 1.0
    """Factor of the left channel."""
    right: float = 1.0
    room: Room | None = None
    """None: dry."""


class MixLevels(Record):
    """Everything that was found for a mix, so that a part of it can be made anew like the rest; gains in dB."""

    speakers: dict[str, Place]
    speech_db: float
    trim_db: float
    limit_dbfs: float | None
    """Ceiling of the limiter; None where none was needed."""
    turn_down_db: float


class Mixdown(Artifact):
    """The dubbed sound."""

    sound: str = "dub.wav"
    """48 kHz stereo 16-bit, as long as the clip."""
    bed: str = "bed.wav"
    """The source's sound without the original voice where it was dubbed, before the mastering gains; same format."""
    lines: str = "lines.wav"
    """The dubbed voices alone, as loud as in the dub but not limited; same format."""
    integrated_lufs: float | None
    true_peak_dbtp: float
    levels: MixLevels


class LineCheck(Record):
    """What a second listening found in one line."""

    id: int
    heard: str
    cer: float


class Unchecked(Record):
    """A line that could not be listened to, and why."""

    id: int
    reason: str


class Inspection(Artifact):
    """The dub transcribed back."""

    lines: tuple[LineCheck, ...]
    unchecked: tuple[Unchecked, ...] = ()
    cer: float
    """Over all lines: edits over characters."""
