"""Who spoke when: speech is found (Silero VAD), embedded by windows (GE2E) and clustered into speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from stages import models
from stages.artifacts import Diarization, Record, Separation
from stages.progress import Progress
from stages.sound import SPEECH_RATE_HZ, read_span

VERSION = 1
_SAMPLES_PER_MS = SPEECH_RATE_HZ // 1000
_LONGEST_PIECE_MS = 60_000


class DiarizeConfig(Record):
    """Settings of the diarization."""

    speakers: int | None = Field(default=None, ge=1)
    """Number of speakers where it is known; None finds it."""
    speaker_distance: float = Field(default=0.42, gt=0, lt=1)
    """Mean cosine distance above which two clusters are two people. Measured on real clips: inside one
    person at most .39, between two .48 and more."""
    min_speaker_ms: int = Field(default=1000, ge=0)
    """Who has less speech than this in the whole clip is taken for the most similar other speaker."""
    speech_threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which the voice detector's verdict is speech."""
    min_speech_ms: int = Field(default=200, ge=0)
    """Shorter sounds are no speech."""
    min_pause_ms: int = Field(default=200, ge=0)
    """A pause at least this long ends a turn."""
    speech_pad_ms: int = Field(default=60, ge=0)
    """Added before and after speech: the detector is late for soft consonants."""
    hop_ms: int = Field(default=400, ge=10)
    """Step from one embedding window to the next."""


def diarize(separation: Separation, config: DiarizeConfig, out: Path, progress: Progress) -> Diarization:
    """Find the turns of every speaker in the separated voice.

    A clip without speech has no turns and no speakers; that is no error here.

    Args:
        separation: its 16 kHz voice is listened to.
        config: see :class:`DiarizeConfig`.
        out: folder to write ``embeddings.npz`` to.
        progress: told the share of the speech that is done.

    Raises:
        MissingEngineError: the voice detector or the speaker encoder is not installed or does not verify.
    """
    import soundfile

    from stages.diarize.clustering import cluster
    from stages.diarize.ge2e import WINDOW_SAMPLES, SpeakerEncoder, unit, window_starts
    from stages.diarize.turns import Cell, cells_of, join_cells
    from stages.diarize.voice_activity import Span, speech_probabilities, speech_spans

    voice = separation.file(separation.voice_16k)
    probabilities = speech_probabilities(voice)
    spans = speech_spans(
        probabilities,
        config.speech_threshold,
        config.min_speech_ms,
        config.min_pause_ms,
        config.speech_pad_ms,
    )
    end_ms = soundfile.info(voice).frames // _SAMPLES_PER_MS
    encoder = SpeakerEncoder(models.path("ge2e-speaker-encoder"))
    cells: list[Cell] = []
    vectors: list[np.ndarray] = []
    for index, span in enumerate(spans):
        for start_ms in range(span.start_ms, span.end_ms, _LONGEST_PIECE_MS):
            piece = Span(start_ms, min(start_ms + _LONGEST_PIECE_MS, span.end_ms, end_ms))
            samples = read_span(voice, piece.start_ms, piece.end_ms)
            starts = window_starts(len(samples), config.hop_ms * _SAMPLES_PER_MS)
            starts_ms = [piece.start_ms + start // _SAMPLES_PER_MS for start in starts]
            cells += cells_of(piece, index, starts_ms, WINDOW_SAMPLES // _SAMPLES_PER_MS)
            vectors.append(encoder.embed_windows(samples, starts))
        progress((index + 1) / len(spans))

    artifact = Diarization(turns=(), speakers=())
    embeddings: dict[str, np.ndarray] = {}
    if cells:
        windows = np.concatenate(vectors)
        weights_ms = np.array([cell.end_ms - cell.start_ms for cell in cells], float)
        labels = cluster(windows, weights_ms, config.speaker_distance, config.speakers, config.min_speaker_ms)
        embeddings = {
            f"S{label + 1}": unit((windows * weights_ms[:, None])[labels == label].sum(axis=0)).astype(np.float32)
            for label in range(labels.max() + 1)
        }
        turns = join_cells(cells, labels.tolist(), probabilities, config.hop_ms)
        artifact = Diarization(turns=turns, speakers=tuple(embeddings))
    np.savez(out / artifact.embeddings, allow_pickle=False, **embeddings)
    return artifact
