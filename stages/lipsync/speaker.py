"""Which face speaks: the mouth that moves when the voice does.

Each speaker's voice is compared with each face, over all that the clip shows of both, because a voice has one face and
a face one voice. The score of a face is ``motion * (base + correlation)``. The correlation is the mean of two, at the
lag between picture and sound that suits the whole clip best: of the jaw with the loudness, syllable by syllable, and of
how fast jaw and lips move with the loudness over phrases and pauses. The amount of motion makes that a still mouth
cannot win by chance and a clearly moving one need not correlate well (fast speech often does not). What a face has of
another speaker's voice counts against it, the more surely the two voices are two persons. The idea is that of Hershey &
Movellan 1999, "Audio vision: using audio-visual synchrony to locate sounds".
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
from stages.lipsync.geometry import picture_gap_iod, picture_iod_px
from stages.lipsync.landmarks import CHIN, NOSE_BASE
from stages.lipsync.track_file import FaceStates
from stages.progress import Progress

_BASE_SCORE = 0.3
_FULL_MOTION_IOD = 0.04
"""Standard deviation of the aperture of a mouth that speaks for certain."""
_HOP_MS, _ENERGY_WINDOW_MS, _LAG_STEP_MS = 10, 80, 20
_TREND_MS, _PHRASE_MS = 1000, 400
_LOUD_RANGE_DB = 40.0
"""Below the loud parts of the clip by this, all is silence."""
_BESIDE_MS = 500.0
"""So much beside a turn is looked at as well: the mouth of a speaker rests there."""
_SAME_VOICE, _OTHER_VOICE = 0.85, 0.65
"""Cosine of the embeddings of two speakers who may well be one that was heard as two, and of two for certain."""
_MIN_SEEN = 0.4
"""Share of a turn's frames in which a face must be seen to be asked."""
_MIN_FRAMES = 5
_UNSEEN = -1.0
"""Score of a face that is not seen in a turn: below every other."""
_MIN_LEAD = 1.25
"""By how much the largest face must exceed the next for a voice to be given to it unheard."""


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
        sound = _Sound(_level_db(voice))
    evidence = _evidence(diarization, mouths, sound, config)
    turns: list[FaceTurn] = []
    for shot, pieces in _pieces_by_shot(track, diarization, times_ms):
        assigned = _assign_shot(pieces, mouths, evidence, config)
        turns += (_given(turn, pieces, mouths) for turn in assigned) if media.speaks_in_picture else assigned
        progress((shot + 1) / len(track.shots))
    return SpeakerFaces(turns=tuple(sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker))))


def _given(turn: FaceTurn, pieces: list[_Piece], mouths: dict[int, _Mouth]) -> FaceTurn:
    """Give a turn for which no mouth moves to the largest face in it: sound and picture were put together for that."""
    if turn.face is not None:
        return turn
    own = [piece for piece in pieces if (piece.turn.speaker, piece.start_ms) == (turn.speaker, turn.start_ms)]
    sizes = {face: mouth.size_px(mouth.inside(own)) for face, mouth in mouths.items() if len(mouth.inside(own))}
    ranked = sorted(sizes, key=lambda face: -sizes[face])
    if not ranked or (len(ranked) > 1 and sizes[ranked[0]] < _MIN_LEAD * sizes[ranked[1]]):
        return turn
    return turn.model_copy(update={"face": ranked[0], "reason": ""})


class _Mouth:
    """The lips and the jaw of one face over time."""

    def __init__(self, states: FaceStates, times_ms: np.ndarray) -> None:
        self.frames = states.frames
        self.times_ms = times_ms[states.frames]
        self.aperture = np.concatenate([picture_gap_iod(block) for _, block in states.blocks()])
        self._iod_px = np.concatenate([picture_iod_px(block) for _, block in states.blocks()])
        jaw = np.concatenate([_jaw(block) for _, block in states.blocks()])
        self.frame_ms = float(np.median(np.diff(times_ms))) if len(times_ms) > 1 else 40.0
        self.jaw = jaw - uniform_filter1d(jaw, self._rows(_TREND_MS))
        moved = np.abs(np.diff(self.aperture, prepend=self.aperture[0])) + np.abs(np.diff(jaw, prepend=jaw[0])) / 2
        moved[np.diff(self.frames, prepend=self.frames[0]) > 1] = 0.0
        self.speed = uniform_filter1d(moved, self._rows(_PHRASE_MS))

    def size_px(self, rows: np.ndarray) -> float:
        """Return how large the face is in some rows: its IOD."""
        return float(np.median(self._iod_px[rows]))

    def _rows(self, length_ms: float) -> int:
        return max(3, round(length_ms / self.frame_ms))

    def around(self, turns: list[Turn], others: list[Turn]) -> np.ndarray:
        """Return the rows in and beside some turns, but not in the others."""
        return np.flatnonzero(_within(self.times_ms, turns, _BESIDE_MS) & ~_within(self.times_ms, others, 0.0))

    def inside(self, pieces: list[_Piece]) -> np.ndarray:
        """Return the rows that lie in the pieces; empty where the face is seen in too little of them."""
        rows = np.concatenate(
            [np.flatnonzero((self.frames >= p.first_frame) & (self.frames <= p.last_frame)) for p in pieces]
        )
        asked = sum(piece.last_frame - piece.first_frame + 1 for piece in pieces)
        return rows if len(rows) >= max(_MIN_SEEN * asked, min(_MIN_FRAMES, asked)) else rows[:0]


def _evidence(
    diarization: Diarization, mouths: dict[int, _Mouth], sound: _Sound, config: SpeakerConfig
) -> dict[tuple[str, int], float]:
    """Return the score of every face (id) for every speaker, over the whole clip."""
    by_lag: dict[tuple[str, int], np.ndarray] = {}
    for speaker in diarization.speakers:
        own = [turn for turn in diarization.turns if turn.speaker == speaker]
        others = [turn for turn in diarization.turns if turn.speaker != speaker]
        for face, mouth in mouths.items():
            by_lag[speaker, face] = _scores(mouth, mouth.around(own, others), sound, config)
    if not by_lag:
        return {}
    table = np.array([[by_lag[speaker, face] for face in mouths] for speaker in diarization.speakers])
    lag = int(np.argmax([_best_sum(table[..., lag]) for lag in range(table.shape[-1])]))
    scores = {pair: float(values[lag]) for pair, values in by_lag.items()}
    rivals = _rivals(diarization)
    return {
        (speaker, face): score - max((share * scores[other, face] for other, share in rivals[speaker]), default=0.0)
        for (speaker, face), score in scores.items()
    }


def _best_sum(scores: np.ndarray) -> float:
    """Return the largest sum of scores (speakers, faces) with a face of its own for every speaker."""
    return float(scores[linear_sum_assignment(-scores)].sum())


def _rivals(diarization: Diarization) -> dict[str, list[tuple[str, float]]]:
    """Return, per speaker, the others and (0-1) how surely they are other persons by their voices."""
    if len(diarization.speakers) < 2:
        return {speaker: [] for speaker in diarization.speakers}
    with np.load(diarization.file(diarization.embeddings)) as arrays:
        voices = {speaker: arrays[speaker] for speaker in diarization.speakers}

    def unlike(one: str, other: str) -> float:
        cosine = float(voices[one] @ voices[other])
        return float(np.clip((_SAME_VOICE - cosine) / (_SAME_VOICE - _OTHER_VOICE), 0.0, 1.0))

    return {one: [(other, unlike(one, other)) for other in voices if other != one] for one in voices}


def _assign_shot(
    pieces: list[_Piece], mouths: dict[int, _Mouth], evidence: dict[tuple[str, int], float], config: SpeakerConfig
) -> Iterator[FaceTurn]:
    speakers = list(dict.fromkeys(piece.turn.speaker for piece in pieces))
    own = {speaker: [piece for piece in pieces if piece.turn.speaker == speaker] for speaker in speakers}
    rows = {(s, f): mouths[f].inside(own[s]) for s in speakers for f in mouths}
    faces = [face for face in mouths if any(len(rows[s, face]) for s in speakers)]
    scores = np.array([[evidence[s, f] if len(rows[s, f]) else _UNSEEN for f in faces] for s in speakers])
    for number, speaker in enumerate(speakers):
        face, margin, reason = None, 0.0, "no face"
        if faces:
            column = int(scores[number].argmax())
            score = float(scores[number, column])
            margin = score - max(np.delete(scores[number], column), default=0.0)
            face = faces[column]
            reason = _doubt(mouths[face], rows[speaker, face], score, margin, len(faces), config)
        for piece in own[speaker]:
            yield FaceTurn(
                speaker=speaker,
                start_ms=piece.start_ms,
                end_ms=piece.end_ms,
                face=None if reason else face,
                margin=round(margin, 3),
                reason=reason,
            )


def _doubt(mouth: _Mouth, rows: np.ndarray, score: float, margin: float, faces: int, config: SpeakerConfig) -> str:
    """Return why the best face is not believed, or an empty string."""
    if not len(rows):
        return "no face"
    if np.std(mouth.aperture[rows]) < config.min_motion_iod:
        return "no mouth moves: the voice comes from outside the picture"
    if score < -config.min_margin:
        return "the face in the picture has another voice"
    if faces > 1 and margin < config.min_margin:
        return f"unclear which of {faces} faces speaks"
    return ""


def _scores(mouth: _Mouth, rows: np.ndarray, sound: _Sound, config: SpeakerConfig) -> np.ndarray:
    """Return the score for every lag between mouth and sound."""
    lags = range(-config.max_lag_ms, config.max_lag_ms + 1, _LAG_STEP_MS)
    if len(rows) < _MIN_FRAMES:
        return np.zeros(len(lags))
    times_ms = mouth.times_ms[rows]
    motion = np.clip((np.std(mouth.aperture[rows]) - config.min_motion_iod) / _FULL_MOTION_IOD, 0.0, 1.0)
    alike = [
        _correlation(mouth.jaw[rows], _at(sound.syllables, times_ms + lag))
        + _correlation(mouth.speed[rows], _at(sound.phrases, times_ms + lag))
        for lag in lags
    ]
    return motion * (_BASE_SCORE + np.array(alike) / 2)


def _jaw(landmarks: np.ndarray) -> np.ndarray:
    """Return how far the chin is from the nose base in the picture, (n, 478, 3) px, over IOD."""
    return np.linalg.norm(landmarks[:, CHIN] - landmarks[:, NOSE_BASE], axis=-1) / picture_iod_px(landmarks)


def _within(times_ms: np.ndarray, turns: list[Turn], margin_ms: float) -> np.ndarray:
    inside = np.zeros(len(times_ms), dtype=bool)
    for turn in turns:
        inside |= (times_ms >= turn.start_ms - margin_ms) & (times_ms < turn.end_ms + margin_ms)
    return inside


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0


def _at(level: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    return np.interp(times_ms, np.arange(len(level)) * _HOP_MS + _HOP_MS / 2, level)


class _Sound:
    """The voice's loudness every 10 ms."""

    def __init__(self, level_db: np.ndarray) -> None:
        audible = np.maximum(level_db, np.percentile(level_db, 95) - _LOUD_RANGE_DB)
        self.syllables = 10 ** (audible / 40)
        """The square root of the amplitude."""
        self.phrases = uniform_filter1d(audible, round(_PHRASE_MS * 0.75 / _HOP_MS))


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
