"""Which face speaks: the mouth that moves when the voice does.

For every shot, each speaker's turns are compared with each face. The score of a face is ``motion * (base +
correlation)``: the correlation of its aperture with the loudness of the voice at the best lag, and the amount of its
motion, so that a still mouth cannot win by chance and a clearly moving one need not correlate well (fast speech often
does not). The idea is that of Hershey & Movellan 1999, "Audio vision: using audio-visual synchrony to locate sounds".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from scipy.ndimage import uniform_filter1d
from scipy.optimize import linear_sum_assignment

from stages.artifacts import Diarization, FaceTrack, FaceTurn, Media, Separation, SpeakerFaces, Turn
from stages.lipsync import SpeakerConfig
from stages.lipsync.geometry import picture_gap_iod
from stages.lipsync.track_file import FaceStates
from stages.progress import Progress

_BASE_SCORE = 0.3
_FULL_MOTION_IOD = 0.04
"""Standard deviation of the aperture of a mouth that speaks for certain."""
_HOP_MS, _ENERGY_WINDOW_MS, _LAG_STEP_MS = 10, 80, 20
_TREND_MS = 1000
_MIN_SEEN = 0.4
"""Share of a turn's frames in which a face must be seen to be asked."""
_MIN_FRAMES = 5


@dataclass(frozen=True)
class _Piece:
    """The part of a turn inside one shot."""

    turn: Turn
    shot: int
    start_ms: int
    end_ms: int
    first_frame: int
    last_frame: int


def assign_faces(
    track: FaceTrack,
    media: Media,
    diarization: Diarization,
    separation: Separation,
    config: SpeakerConfig,
    progress: Progress,
) -> SpeakerFaces:
    """See :func:`stages.lipsync.assign_faces`."""
    times_ms = np.load(media.file(media.frame_times))
    mouths = {face: _Mouth(states, times_ms) for face, states in FaceStates.all(track).items()}
    with soundfile.SoundFile(separation.file(separation.voice_16k)) as voice:
        level_db = _level_db(voice)
    turns: list[FaceTurn] = []
    for shot, pieces in _pieces_by_shot(track, diarization, times_ms):
        turns += _assign_shot(pieces, mouths, level_db, config)
        progress((shot + 1) / len(track.shots))
    return SpeakerFaces(turns=tuple(sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker))))


class _Mouth:
    """The aperture of one face over time."""

    def __init__(self, states: FaceStates, times_ms: np.ndarray) -> None:
        self.frames = states.frames
        self.times_ms = times_ms[states.frames]
        self.aperture = np.concatenate([picture_gap_iod(block) for _, block in states.blocks()])

    def inside(self, pieces: list[_Piece]) -> np.ndarray:
        """Return the rows that lie in the pieces; empty where the face is seen in too little of them."""
        rows = np.concatenate(
            [np.flatnonzero((self.frames >= p.first_frame) & (self.frames <= p.last_frame)) for p in pieces]
        )
        asked = sum(piece.last_frame - piece.first_frame + 1 for piece in pieces)
        return rows if len(rows) >= max(_MIN_SEEN * asked, min(_MIN_FRAMES, asked)) else rows[:0]


def _assign_shot(
    pieces: list[_Piece], mouths: dict[int, _Mouth], level_db: np.ndarray, config: SpeakerConfig
) -> Iterator[FaceTurn]:
    speakers = list(dict.fromkeys(piece.turn.speaker for piece in pieces))
    own = {speaker: [piece for piece in pieces if piece.turn.speaker == speaker] for speaker in speakers}
    rows = {(s, f): mouths[f].inside(own[s]) for s in speakers for f in mouths}
    faces = [face for face in mouths if any(len(rows[s, face]) for s in speakers)]
    scores = np.array([[_score(mouths[f], rows[s, f], level_db, config) for f in faces] for s in speakers])
    chosen = dict(zip(*linear_sum_assignment(-scores), strict=True)) if faces else {}
    for number, speaker in enumerate(speakers):
        column = chosen.get(number)
        if column is None:
            face, margin, reason = None, 0.0, "no face" if not faces else "more speakers than faces"
        else:
            others = np.delete(scores[number], column)
            margin = float(scores[number, column] - (others.max() if len(others) else 0.0))
            face = faces[column]
            reason = _doubt(mouths[face], rows[speaker, face], margin, len(faces), config)
        for piece in own[speaker]:
            yield FaceTurn(
                speaker=speaker,
                start_ms=piece.start_ms,
                end_ms=piece.end_ms,
                face=None if reason else face,
                margin=round(margin, 3),
                reason=reason,
            )


def _doubt(mouth: _Mouth, rows: np.ndarray, margin: float, faces: int, config: SpeakerConfig) -> str:
    """Return why the best face is not believed, or an empty string."""
    if not len(rows):
        return "no face"
    if np.std(mouth.aperture[rows]) < config.min_motion_iod:
        return "no mouth moves: the voice comes from outside the picture"
    if faces > 1 and margin < config.min_margin:
        return f"unclear which of {faces} faces speaks"
    return ""


def _score(mouth: _Mouth, rows: np.ndarray, level_db: np.ndarray, config: SpeakerConfig) -> float:
    if len(rows) < _MIN_FRAMES:
        return 0.0
    aperture, times_ms = mouth.aperture[rows], mouth.times_ms[rows]
    frame_ms = float(np.median(np.diff(times_ms)))
    aperture = aperture - uniform_filter1d(aperture, max(3, round(_TREND_MS / frame_ms)))
    motion = np.clip((np.std(mouth.aperture[rows]) - config.min_motion_iod) / _FULL_MOTION_IOD, 0.0, 1.0)
    lags = range(-config.max_lag_ms, config.max_lag_ms + 1, _LAG_STEP_MS)
    return float(motion * (_BASE_SCORE + max(_correlation(aperture, _at(level_db, times_ms + lag)) for lag in lags)))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0


def _at(level_db: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    return np.interp(times_ms, np.arange(len(level_db)) * _HOP_MS + _HOP_MS / 2, level_db)


def _level_db(voice: soundfile.SoundFile) -> np.ndarray:
    """Return the smoothed level of the voice every 10 ms, read in blocks."""
    hop = voice.samplerate * _HOP_MS // 1000
    powers = [
        np.mean(block[: len(block) // hop * hop].reshape(-1, hop) ** 2, axis=1)
        for block in voice.blocks(blocksize=hop * 3000, dtype="float32")
        if len(block) >= hop
    ]
    power = uniform_filter1d(np.concatenate([*powers, np.zeros(1)]), _ENERGY_WINDOW_MS // _HOP_MS)
    return 10 * np.log10(np.maximum(power, 0) + 1e-8)


def _pieces_by_shot(
    track: FaceTrack, diarization: Diarization, times_ms: np.ndarray
) -> Iterator[tuple[int, list[_Piece]]]:
    """Yield, per shot, the parts of turns that hold at least one of its frames."""
    for shot, (first, last) in enumerate(track.shots):
        shot_end_ms = times_ms[last + 1] if last + 1 < len(times_ms) else np.inf
        pieces = []
        for turn in diarization.turns:
            start, end = max(turn.start_ms, times_ms[first]), min(turn.end_ms, shot_end_ms)
            rows = np.flatnonzero((times_ms >= start) & (times_ms < end))
            if len(rows):
                pieces.append(_Piece(turn, shot, int(start), int(end), int(rows[0]), int(rows[-1])))
        if pieces:
            yield shot, pieces
