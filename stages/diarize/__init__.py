"""Who spoke when: speech is found (Silero VAD), embedded by windows (GE2E), clustered and resegmented."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from stages import models
from stages.artifacts import Diarization, Record, Separation, Turn
from stages.progress import Progress
from stages.sound import SPEECH_RATE_HZ, read_span

if TYPE_CHECKING:
    from stages.diarize.ge2e import SpeakerEncoder
    from stages.diarize.turns import Cell
    from stages.diarize.voice_activity import Span

VERSION = 2
_SAMPLES_PER_MS = SPEECH_RATE_HZ // 1000
_LONGEST_PIECE_MS = 60_000
_WINDOW_FRAMES = 80
"""0.8 s: with known speakers 98.6 % of the cells of made conversations are likest to their own, with the 1.6 s that the
network was trained on 97.1 %, as the other speakers' neighbouring turns reach into more windows."""
_WINDOWS_AT_ONCE = 256
_MOST_EMBEDDED_MS = 60_000


class DiarizeConfig(Record):
    """Settings of the diarization."""

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


def diarize(separation: Separation, config: DiarizeConfig, out: Path, progress: Progress) -> Diarization:
    """Find the turns of every speaker in the separated voice.

    A clip without speech has no turns and no speakers; that is no error here. Where two speak at once the turn is of
    the one who is heard better.

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
    from stages.diarize.ge2e import SpeakerEncoder
    from stages.diarize.resegmentation import resegmented
    from stages.diarize.turns import join_cells
    from stages.diarize.voice_activity import earlier, speech_probabilities, speech_spans

    voice = separation.file(separation.voice_16k)
    probabilities = speech_probabilities(voice)
    found = speech_spans(
        probabilities,
        config.speech_threshold,
        config.min_speech_ms,
        config.min_dip_ms,
        config.speech_pad_ms,
    )
    spans = earlier(found, soundfile.info(voice).frames // _SAMPLES_PER_MS)
    encoder = SpeakerEncoder(models.path("ge2e-speaker-encoder"))
    artifact = Diarization(turns=(), speakers=())
    embeddings: dict[str, np.ndarray] = {}
    if spans:
        cells, vectors = _embedded(voice, spans, config.hop_ms, encoder, progress)
        weights_ms = np.array([cell.end_ms - cell.start_ms for cell in cells], float)
        least_ms = max(
            config.min_speaker_ms, min(config.min_speaker_share * weights_ms.sum(), config.most_min_speaker_ms)
        )
        labels = cluster(vectors, weights_ms, config.speaker_distance, config.speakers, least_ms)
        labels = resegmented(vectors, weights_ms, [cell.span for cell in cells], labels)
        turns = join_cells(cells, labels.tolist(), probabilities, config.hop_ms, config.min_pause_ms)
        speakers = tuple(f"S{number + 1}" for number in range(labels.max() + 1))
        embeddings = {speaker: _embedding(voice, turns, speaker, encoder) for speaker in speakers}
        artifact = Diarization(turns=turns, speakers=speakers)
    np.savez(out / artifact.embeddings, allow_pickle=False, **embeddings)
    return artifact


def _embedded(
    voice: Path, spans: Sequence[Span], cell_ms: int, encoder: SpeakerEncoder, progress: Progress
) -> tuple[list[Cell], np.ndarray]:
    """Return the cells of the spans and a unit vector for each, float32 (cells, 256), of the 0.8 s around it."""
    from stages.diarize.ge2e import HOP_SAMPLES, mel_windows
    from stages.diarize.turns import cells_of
    from stages.diarize.voice_activity import Span

    cells: list[Cell] = []
    vectors: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    half_ms = _WINDOW_FRAMES * HOP_SAMPLES // _SAMPLES_PER_MS // 2
    for index, span in enumerate(spans):
        for start_ms in range(span.start_ms, span.end_ms, _LONGEST_PIECE_MS):
            piece = Span(start_ms, min(start_ms + _LONGEST_PIECE_MS, span.end_ms))
            own = cells_of(piece, index, cell_ms)
            starts = [((cell.start_ms + cell.end_ms) // 2 - half_ms - piece.start_ms) * _SAMPLES_PER_MS for cell in own]
            waiting.append(mel_windows(read_span(voice, piece.start_ms, piece.end_ms), starts, _WINDOW_FRAMES))
            cells += own
        # Windows of many short spans together: a step of the network costs little more for 64 than for one.
        if sum(map(len, waiting)) >= _WINDOWS_AT_ONCE or index + 1 == len(spans):
            vectors.append(encoder.embed_mels(np.concatenate(waiting)))
            waiting = []
            progress((index + 1) / len(spans))
    return cells, np.concatenate(vectors)


def _embedding(voice: Path, turns: Sequence[Turn], speaker: str, encoder: SpeakerEncoder) -> np.ndarray:
    """Return the unit vector of a speaker's longest turns, up to a minute, in windows of 1.6 s, float32 (256,)."""
    from stages.diarize.ge2e import unit

    total, left_ms = np.zeros(0, np.float32), _MOST_EMBEDDED_MS
    own = [turn for turn in turns if turn.speaker == speaker]
    for turn in sorted(own, key=lambda turn: (turn.start_ms - turn.end_ms, turn.start_ms)):
        if left_ms <= 0:
            break
        length_ms = min(turn.end_ms - turn.start_ms, left_ms)
        vector = encoder.embed(read_span(voice, turn.start_ms, turn.start_ms + length_ms)) * length_ms
        total = vector if not len(total) else total + vector
        left_ms -= length_ms
    return unit(total).astype(np.float32)
