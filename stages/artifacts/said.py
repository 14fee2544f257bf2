"""What the dub says: the script, the voices, the plan and the speech."""

from __future__ import annotations

from typing import Literal

from language_packs.schema import G2P
from stages.artifacts.base import Artifact, Record


class ScriptLine(Record):
    """One line to be spoken in the target language, in the slot of its source line."""

    id: int
    speaker: str
    start_ms: int
    end_ms: int
    source_text: str
    text: str
    flags: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    """Shorter ways of saying the same, longest first."""
    full_text: str | None = None
    """The whole translation, where ``text`` is an alternative that was chosen because it fits; else None."""
    origin: Literal["engine", "memory", "edit"] = "engine"
    """Whose text it is: the route's engines', or a person's, in a translation memory or in the dub's edits."""


class Script(Artifact):
    """The translation of a transcript."""

    source: str
    target: str
    route: tuple[str, ...]
    """Engines in the order they were applied, e.g. ``("bergamot en>pt-BR", "apertium pt>es")``."""
    lines: tuple[ScriptLine, ...]


class PhraseEnd(Record):
    """Where punctuation ends a phrase inside a line, at speed 1, from the line's first phone on."""

    phone: int
    """Index of the last phone before it."""
    end_ms: int
    """When that phone has ended."""
    next_ms: int
    """When the next one sounds."""


class ReadLine(Record):
    """How a line is read: its phones and how long the synthesiser takes for it unhurried."""

    id: int
    ipa: str
    """espeak-ng IPA with stress marks and punctuation."""
    text: str | None = None
    """What an engine that reads letters is given; None: it is given the IPA."""
    duration_ms: int
    """Length at speed 1, leading and trailing silence included."""
    lead_ms: int
    """Silence before the first phone at speed 1."""
    tail_ms: int
    """Silence after the last phone at speed 1."""
    phrase_ends: tuple[PhraseEnd, ...] = ()
    failure: str | None = None
    """Why the line cannot be read; it has no phones then."""

    @property
    def said(self) -> str:
        """What the engine is given."""
        return self.ipa if self.text is None else self.text

    @property
    def sounding_ms(self) -> int:
        """First phone's onset to last phone's end at speed 1."""
        return self.duration_ms - self.lead_ms - self.tail_ms


class Reading(Artifact):
    """Every line of a script as phones, with measured durations."""

    engine: str
    how: G2P | None = None
    """How the language's pack reads."""
    lines: tuple[ReadLine, ...]


class AddedPause(Record):
    """Silence that a line gets where a phrase ends, beside the synthesiser's own."""

    after_phone: int
    """Index of the phrase's last phone."""
    added_ms: int
    """Below 0: so much of the synthesiser's own pause is left out."""


class PlannedLine(Record):
    """Where a line is spoken, and how fast."""

    id: int
    start_ms: int
    """When its first phone sounds."""
    end_ms: int
    """When its last phone has ended."""
    rate: float
    """Speed of the phones relative to the synthesiser's unhurried reading; above 1 is faster."""
    pauses: tuple[AddedPause, ...] = ()
    flags: tuple[str, ...] = ()


class Plan(Artifact):
    """The timing of a dub."""

    lines: tuple[PlannedLine, ...]


class VoiceSettings(Record):
    """How one speaker is voiced for the whole video."""

    speaker: str
    voice: str
    warp: float
    """Vocal-tract length factor applied to the spectral envelope's frequency axis; 1 leaves it alone."""
    f0_mean_log_hz: float
    """Mean of ln F0 of the speaker's own voiced frames."""
    f0_std_log: float
    similarity_unmatched: float
    """Cosine of the speaker embeddings: synthesiser's own voice against the speaker."""
    similarity_matched: float
    """The same after matching, or of the clone."""
    kind: Literal["matched", "cloned"] = "matched"
    """One of the engine's own voices, brought nearer to the speaker; or a voice made of the speaker's own seconds,
    which has no likeness before matching (0)."""
    pace: float = 1.0
    """Of a clone: how long it takes for what espeak-ng says in one second."""


class Cast(Artifact):
    """A voice for every speaker."""

    voices: tuple[VoiceSettings, ...]
    spectra: str = "spectra.npz"
    """Per speaker name: float64 (bins,) long-term log-spectrum correction of the matched voice, in nepers."""
    conditioning: str | None = None
    """Of an engine that clones: arrays ``<speaker>/<name>`` as it made them of the speaker's own seconds."""


class Phone(Record):
    """A phone (IPA, length and nasalisation marks attached) and when it sounds, on the clip's clock."""

    ipa: str
    start_ms: int
    end_ms: int


class Prosody(Record):
    """How a line of the source is said, against its speaker's habit: what its dub is given.

    Measured on the separated voice, shrunk towards the habit where the line is short, and bounded.
    """

    f0_shift_st: float
    """Semitones by which its mean ln F0 lies above the speaker's."""
    f0_range_ratio: float
    """Its spread of ln F0 over the speaker's usual spread within a line."""
    level_db: float
    """Its level over the speaker's median line."""
    rise_st: float | None = None
    """Of a question: semitones by which its end lies above the low before it; None where it is none or not voiced."""
    contour_db: tuple[float, float, float] | None = None
    """Level of its thirds over their mean; None where they are too short to tell."""


class SpokenLine(Record):
    """One synthesised line, placed in time."""

    id: int
    speaker: str
    sound: str
    """Mono 16-bit WAV at ``Speech.rate_hz``; its first sample is at ``sound_start_ms``."""
    sound_start_ms: int
    start_ms: int
    """Onset of the first phone."""
    end_ms: int
    """End of the last phone."""
    rate: float
    phones: tuple[Phone, ...]
    similarity: float
    """Cosine of this line's speaker embedding with its speaker's."""
    flags: tuple[str, ...] = ()
    prosody: Prosody | None = None
    """What was taken over from the source; None where too little is voiced there."""
    failure: str | None = None
    """Why the line is left in the original voice: its sound is silence, it has no phones, and its times are the source
    line's. None: it is dubbed."""

    @property
    def is_dubbed(self) -> bool:
        """Whether the dub stands for the original voice."""
        return self.failure is None


class Speech(Artifact):
    """The spoken dub, line by line."""

    language: str
    engine: str
    rate_hz: int
    lines: tuple[SpokenLine, ...]
