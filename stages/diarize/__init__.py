"""Who spoke when: by an engine of the user's choice; how each speaker sounds, by GE2E whatever the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from stages import models
from stages.artifacts import Diarization, Record, Separation, Turn
from stages.devices import Float32Config
from stages.engines import Engine, chosen
from stages.progress import Progress
from stages.sound import read_span

if TYPE_CHECKING:
    from stages.diarize.ge2e import SpeakerEncoder
    from stages.diarize.voice_activity import Span

VERSION = 2
_MOST_EMBEDDED_MS = 60_000
_LEAST_ALONE_MS = 1_000
"""Who is never heard alone for this long is known by what is said together with others."""


class PyannoteConfig(Record):
    """Settings of pyannote.audio."""

    model: str = "pyannote-community-1"
    """A name in the list of models, or a folder with the whole of pyannote/speaker-diarization-community-1:
    ``config.yaml``, ``segmentation``, ``embedding`` and ``plda``."""
    min_speakers: int | None = Field(default=None, ge=1)
    """At least so many people, where ``diarize.speakers`` is not set."""
    max_speakers: int | None = Field(default=None, ge=1)
    """At most so many."""
    device: Float32Config = Float32Config()
    """Where it runs; it always computes in float32."""
    batch_size: int = Field(default=32, ge=1)
    """Windows at once; halved where they do not fit into the memory."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min_speakers and self.max_speakers and self.min_speakers > self.max_speakers:
            raise ValueError("min_speakers is more than max_speakers")
        return self


class DiarizeConfig(Record):
    """Settings of the diarization."""

    engine: str = "embedded"
    """A name in :data:`ENGINES`."""
    pyannote: PyannoteConfig = PyannoteConfig()
    speakers: int | None = Field(default=None, ge=1)
    """Number of speakers where it is known; None finds it."""
    speaker_distance: float = Field(default=0.37, gt=0, lt=1)
    """Mean cosine distance above which two clusters are two people. On the made conversations of bench.diarization's
    tuning seeds the number of people comes out right with .34 to .42."""
    min_speaker_ms: int = Field(default=1000, ge=0)
    """Who has less speech than this in the whole clip is taken for the most similar other speaker ..."""
    min_speaker_share: float = Field(default=0.04, ge=0, lt=1)
    """... as is who has less than this share of all speech: the more windows, the more of them are odd ..."""
    most_min_speaker_ms: int = Field(default=4000, ge=0)
    """... but not who has as much as this."""
    same_voice: float = Field(default=0.8, gt=0, lt=1)
    """Cosine from which a speaker is one whom the speakers' file knows. Two halves of a clip by one person measure .85,
    two men .63."""
    speech_threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which the voice detector's verdict is speech."""
    min_speech_ms: int = Field(default=150, ge=0)
    """Shorter sounds are no speech."""
    min_dip_ms: int = Field(default=96, ge=0)
    """Where no speech is found for at least this long, the speaker may change; then it belongs to nobody."""
    min_pause_ms: int = Field(default=200, ge=0)
    """A pause at least this long ends a turn."""
    speech_pad_ms: int = Field(default=16, ge=0)
    """Added before and after speech."""
    hop_ms: int = Field(default=200, ge=10)
    """Length of the cells that are given to one speaker each."""


class Diarizer(Protocol):
    """A loaded engine."""

    def turns(self, voice: Path, progress: Progress) -> tuple[Turn, ...]:
        """Return who speaks when in a 16 kHz mono file, in order of time, speakers by first appearance.

        Turns of two who speak at once may overlap; progress is told the share of the work that is done.
        """
        ...


ENGINES: Mapping[str, Engine] = {
    "embedded": Engine("Silero VAD and GE2E", "stages.diarize.embedded:EmbeddedDiarizer"),
    "pyannote": Engine(
        "pyannote.audio",
        "stages.diarize.pyannote_engine:PyannoteDiarizer",
        modules=("pyannote.audio", "torch"),
        extra="pyannote",
        device="pyannote.device",
        models=lambda config: (config.pyannote.model,),
    ),
}


def diarize(separation: Separation, config: DiarizeConfig, out: Path, progress: Progress) -> Diarization:
    """Find the turns of every speaker in the separated voice.

    A clip without speech has no turns and no speakers; that is no error here. Where two speak at once the turn is of
    the one who is heard better, or there is one of each: as the engine finds.

    Args:
        separation: its 16 kHz voice is listened to.
        config: see :class:`DiarizeConfig`.
        out: folder to write ``embeddings.npz`` to.
        progress: told the share of the speech that is done.

    Raises:
        InputError: there is no such engine or model.
        MissingEngineError: the engine, its model or the speaker encoder is not installed or does not verify.
    """
    from stages.diarize.ge2e import SpeakerEncoder

    voice = separation.file(separation.voice_16k)
    engine = chosen(ENGINES, config.engine, "diarize.engine")
    encoder = SpeakerEncoder(models.path("ge2e-speaker-encoder"))
    diarizer: Diarizer = engine.make()(config)
    turns = diarizer.turns(voice, progress)
    speakers = tuple(dict.fromkeys(turn.speaker for turn in turns))
    embeddings = {speaker: _embedding(voice, alone(turns, speaker), encoder) for speaker in speakers}
    artifact = Diarization(turns=turns, speakers=speakers)
    np.savez(out / artifact.embeddings, allow_pickle=False, **embeddings)
    return artifact


def alone(turns: Sequence[Turn], speaker: str) -> list[Span]:
    """Return where a speaker is heard without any other, in order; all own turns where that is nearly nowhere."""
    from stages.diarize.voice_activity import Span

    own = [Span(turn.start_ms, turn.end_ms) for turn in turns if turn.speaker == speaker]
    left = own
    for other in turns:
        if other.speaker != speaker:
            left = [
                rest
                for span in left
                for rest in (
                    Span(span.start_ms, min(span.end_ms, other.start_ms)),
                    Span(max(span.start_ms, other.end_ms), span.end_ms),
                )
                if rest.start_ms < rest.end_ms
            ]
    return left if left == own or sum(span.end_ms - span.start_ms for span in left) >= _LEAST_ALONE_MS else own


def _embedding(voice: Path, spans: Sequence[Span], encoder: SpeakerEncoder) -> np.ndarray:
    """Return the unit vector of a speaker's longest spans, up to a minute, in windows of 1.6 s, float32 (256,)."""
    from stages.diarize.ge2e import unit

    total, left_ms = np.zeros(0, np.float32), _MOST_EMBEDDED_MS
    for span in sorted(spans, key=lambda span: (span.start_ms - span.end_ms, span.start_ms)):
        if left_ms <= 0:
            break
        length_ms = min(span.end_ms - span.start_ms, left_ms)
        vector = encoder.embed(read_span(voice, span.start_ms, span.start_ms + length_ms)) * length_ms
        total = vector if not len(total) else total + vector
        left_ms -= length_ms
    return unit(total).astype(np.float32)
