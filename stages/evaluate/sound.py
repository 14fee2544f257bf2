"""A dub's sound judged, line by line and in total: timing, voices, words, mix, and that no speech was lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from stages import models, sound
from stages.artifacts import (
    Artifact,
    Cast,
    Diarization,
    Inspection,
    Line,
    Media,
    Mixdown,
    Record,
    Separation,
    Speech,
    SpokenLine,
    Transcript,
)
from stages.evaluate.goals import ROWS, Figure, figure
from stages.evaluate.sound_measures import followed_db, power_db, speech_level_db, step_ratio
from stages.inspect import InspectConfig
from stages.mix.spans import removed
from stages.progress import Progress

VERSION = 1

ON_TIME_MS = 80
"""Well inside what ITU-R BT.1359 lets pass unseen."""
_UNHURRIED_RATES = (0.85, 1.2)
_RATES = (0.8, 1.35)
_ROUNDING = 0.005
"""Of a rate: lines last whole frames of the synthesiser."""
_HEARD_BEYOND_MS = 300
"""Speech so close to a line or a listed stretch belongs to it: words' times are cut shorter than the voice."""
_PITCH_BORDER_HZ = 165.0
"""Between the usual F0 of men and women (Titze 1989: about 125 and 210 Hz)."""
_NEAR_SEMITONES = 4.0
"""A line this near its speaker's own pitch is in their class, on whichever side of the border."""
_DRIFT_FROM_MS = 180_000
_MINUTE_MS = 60_000
_LONGEST_SPAN_MS = 30_000
_SHORTEST_SPAN_MS = 500
_BLOCK_SAMPLES = 1 << 18


class LineSound(Record):
    """One dubbed line's sound in figures; None where something cannot be measured."""

    id: int
    start_error_ms: int
    """Onset of the dub after that of the source line."""
    rate: float
    overlaps: bool
    """It begins before its speaker's line before has ended."""
    similarity: float | None
    """Cosine of its speaker embedding with its speaker's."""
    source_similarity: float | None
    """The same of the source line."""
    most_like: str | None
    """Whose embedding is nearest; None with a single speaker."""
    pitch_semitones: float | None
    """Mean F0 above the speaker's."""
    in_pitch_class: bool | None
    level_db: float | None
    """Level of the speech in the mix, above that of the source line."""
    cer: float | None
    missed: tuple[str, ...] = ()
    """Keys of the goals (:data:`stages.evaluate.goals.ROWS`) that this line misses."""


class SoundEvaluation(Artifact):
    """One dub's sound."""

    lines: tuple[LineSound, ...]
    total: tuple[Figure, ...]

    @property
    def met(self) -> bool:
        """Whether no goal is missed."""
        return all(each.met is not False for each in self.total)


def evaluate_sound(
    media: Media,
    separation: Separation,
    diarization: Diarization,
    transcript: Transcript,
    voices: Cast,
    speech: Speech,
    mixdown: Mixdown,
    inspection: Inspection,
    config: InspectConfig,
    out: Path,
    progress: Progress,
) -> SoundEvaluation:
    """Measure a dub's sound beside the source's.

    Args:
        media: the source's sound.
        separation: its voice.
        diarization: where speech is, and the speakers' embeddings.
        transcript: what of it is lines or listed as unprocessed.
        voices: how alike each speaker's voice was before and after matching.
        speech: the dubbed lines.
        mixdown: the whole.
        inspection: the dub transcribed back.
        config: not read; it is the section that this stage belongs to.
        out: not written to.
        progress: told the share done.

    Raises:
        MissingEngineError: the speaker encoder is not here.
    """
    measured = _Lines(separation, diarization, transcript, voices, speech, mixdown, inspection)
    spoken = [line for line in speech.lines if line.is_dubbed]
    lines = []
    for line in spoken:
        lines.append(measured.figures(line))
        progress(0.8 * len(lines) / len(spoken))
    total = (
        *_timing(lines, transcript, speech),
        *_voices(lines, voices, speech, inspection),
        *_mix(lines, media, separation, diarization, transcript, speech, mixdown),
    )
    progress(1.0)
    return SoundEvaluation(lines=tuple(lines), total=total)


class _Lines:
    """What single lines are measured with."""

    def __init__(
        self,
        separation: Separation,
        diarization: Diarization,
        transcript: Transcript,
        voices: Cast,
        speech: Speech,
        mixdown: Mixdown,
        inspection: Inspection,
    ) -> None:
        from stages.diarize.ge2e import SpeakerEncoder

        self._embed = SpeakerEncoder(models.path("ge2e-speaker-encoder")).embed
        with np.load(diarization.file(diarization.embeddings)) as stored:
            self._speakers = {name: stored[name] for name in diarization.speakers}
        self._sources = {line.id: line for line in transcript.lines}
        self._f0_log_hz = {voice.speaker: voice.f0_mean_log_hz for voice in voices.voices}
        self._cer = {check.id: check.cer for check in inspection.lines}
        self._voice, self._dub = separation.file(separation.voice), mixdown.file(mixdown.lines)
        self._mastered_db = mixdown.levels.trim_db - mixdown.levels.turn_down_db
        self._speech = speech

    def figures(self, line: SpokenLine) -> LineSound:
        source = self._sources[line.id]
        samples, rate_hz = sound.read(self._speech.file(line.sound))
        own = sound.read_span(self._voice, source.start_ms, source.end_ms)
        said, heard = self._embedded(samples, rate_hz), self._embedded(own, sound.SAMPLE_RATE_HZ)
        speaker = self._speakers.get(line.speaker)
        likeness = {name: float(said @ each) for name, each in self._speakers.items()} if said is not None else {}
        semitones, in_class = self._pitch(samples, line.speaker)
        found = LineSound(
            id=line.id,
            start_error_ms=line.start_ms - source.start_ms,
            rate=round(line.rate, 4),
            overlaps=any(
                other.speaker == line.speaker and other.start_ms < line.start_ms < other.end_ms
                for other in self._speech.lines
            ),
            similarity=_rounded(likeness.get(line.speaker)),
            source_similarity=_rounded(float(heard @ speaker) if heard is not None and speaker is not None else None),
            most_like=max(likeness, key=lambda name: likeness[name]) if len(likeness) > 1 else None,
            pitch_semitones=_rounded(semitones),
            in_pitch_class=in_class,
            level_db=self._level_db(line, own),
            cer=self._cer.get(line.id),
        )
        return found.model_copy(update={"missed": tuple(_missed(found, line.speaker))})

    def _embedded(self, samples: np.ndarray, rate_hz: int) -> np.ndarray | None:
        return self._embed(sound.resample(samples, rate_hz, sound.SPEECH_RATE_HZ)) if samples.any() else None

    def _pitch(self, samples: np.ndarray, speaker: str) -> tuple[float | None, bool | None]:
        from stages.synthesize import matching

        f0 = matching.log_f0(matching.clean_f0(samples.astype(np.float64))[0]) if samples.any() else None
        if f0 is None or speaker not in self._f0_log_hz:
            return None, None
        wanted, border = self._f0_log_hz[speaker], np.log(_PITCH_BORDER_HZ)
        semitones = 12 * (f0.mean - wanted) / np.log(2)
        same_side = (f0.mean < border) == (wanted < border)
        return float(semitones), bool(same_side or abs(semitones) <= _NEAR_SEMITONES)

    def _level_db(self, line: SpokenLine, own: np.ndarray) -> float | None:
        dub = sound.read_span(self._dub, line.start_ms, line.end_ms)
        if not dub.any() or not own.any():
            return None
        level_db = speech_level_db(dub.mean(axis=1), sound.SAMPLE_RATE_HZ) - self._mastered_db
        return round(level_db - speech_level_db(own, sound.SAMPLE_RATE_HZ), 2)


def _missed(line: LineSound, speaker: str) -> Iterator[str]:
    """Yield the keys of the goals that a line misses."""
    bounds = {
        "starts_on_time": abs(line.start_error_ms) <= ON_TIME_MS,
        "rate_unhurried": _within(line.rate, _UNHURRIED_RATES),
        "rate_bounded": _within(line.rate, _RATES),
        "overlaps": not line.overlaps,
        "similarity": line.similarity is None or line.similarity >= ROWS["similarity"].low,
        "right_speaker": line.most_like in (None, speaker),
        "pitch_class": line.in_pitch_class is not False,
        "cer": line.cer is None or line.cer <= ROWS["cer"].high,
    }
    yield from (key for key, met in bounds.items() if not met)


def _timing(lines: Sequence[LineSound], transcript: Transcript, speech: Speech) -> Iterator[Figure]:
    errors_ms = [abs(line.start_error_ms) for line in lines]
    yield _share("starts_on_time", lines)
    yield figure("start_error_ms", _mean(errors_ms), None, len(lines))
    yield _share("rate_unhurried", lines)
    yield _share("rate_bounded", lines)
    yield figure("overlaps", sum(line.overlaps for line in lines), None, len(lines))
    spoken = {line.id for line in lines}
    sources = [line for line in transcript.lines if line.id in spoken]
    speech_end_ms = max((line.end_ms for line in speech.lines if line.id in spoken), default=0)
    end_ms = speech_end_ms - max(line.end_ms for line in sources) if sources else None
    yield figure("end_ms", end_ms, None, len(sources))
    yield figure("drift_ms", _drift_ms(lines, sources), None, len(sources))


def _drift_ms(lines: Sequence[LineSound], sources: Sequence[Line]) -> float | None:
    """Return the mean start error of the last minute with speech minus that of the first; None in a short clip."""
    starts_ms = {line.id: line.start_ms for line in sources}
    if not starts_ms or max(starts_ms.values()) - min(starts_ms.values()) < _DRIFT_FROM_MS:
        return None
    first_ms, last_ms = min(starts_ms.values()) + _MINUTE_MS, max(starts_ms.values()) - _MINUTE_MS
    first = [line.start_error_ms for line in lines if starts_ms[line.id] <= first_ms]
    last = [line.start_error_ms for line in lines if starts_ms[line.id] >= last_ms]
    return float(np.mean(last) - np.mean(first))


def _voices(lines: Sequence[LineSound], voices: Cast, speech: Speech, inspection: Inspection) -> Iterator[Figure]:
    alike = [line.similarity for line in lines if line.similarity is not None]
    own = [line.source_similarity for line in lines if line.source_similarity is not None]
    yield figure("similarity", _mean(alike), _mean(own), len(alike))
    said = [line.speaker for line in speech.lines]
    # A speaker who could not be measured has similarities of 0: no voice was matched. A clone is not matched either.
    gains = [
        (each.similarity_matched - each.similarity_unmatched, said.count(each.speaker))
        for each in voices.voices
        if each.kind == "matched" and each.similarity_matched and said.count(each.speaker)
    ]
    count = sum(number for _, number in gains)
    yield figure("similarity_gain", sum(gain * n for gain, n in gains) / count if count else None, None, count)
    yield _share("right_speaker", [line for line in lines if line.most_like is not None])
    yield _share("pitch_class", [line for line in lines if line.in_pitch_class is not None])
    semitones = [abs(line.pitch_semitones) for line in lines if line.pitch_semitones is not None]
    yield figure("pitch_semitones", _mean(semitones), None, len(semitones))
    yield figure("cer", inspection.cer if inspection.lines else None, None, len(inspection.lines))


def _mix(
    lines: Sequence[LineSound],
    media: Media,
    separation: Separation,
    diarization: Diarization,
    transcript: Transcript,
    speech: Speech,
    mixdown: Mixdown,
) -> Iterator[Figure]:
    yield figure("speech_lost_ms", _lost_ms(diarization, transcript), None, len(diarization.turns))
    loudness_lu = (
        mixdown.integrated_lufs - media.integrated_lufs
        if mixdown.integrated_lufs is not None and media.integrated_lufs is not None
        else None
    )
    yield figure("loudness_lu", loudness_lu, None, 1)
    levels_db = [abs(line.level_db) for line in lines if line.level_db is not None]
    yield figure("level_db", _mean(levels_db), None, len(levels_db))
    yield figure("true_peak_dbtp", mixdown.true_peak_dbtp, None, 1)
    spans = removed(transcript, speech, separation.file(separation.voice))
    yield figure("voice_left_db", _voice_left_db(spans, media, mixdown), None, len(spans))
    edges_ms = [edge for span in spans for edge in span]
    edges_ms += [edge for line in speech.lines for edge in (line.sound_start_ms, line.start_ms, line.end_ms)]
    with soundfile.SoundFile(mixdown.file(mixdown.sound)) as file:
        blocks = file.blocks(_BLOCK_SAMPLES, dtype="float32", always_2d=True)
        steps = step_ratio(blocks, [edge * sound.SAMPLE_RATE_HZ // 1000 for edge in edges_ms])
    yield figure("join_step", steps, None, len(edges_ms))


def _lost_ms(diarization: Diarization, transcript: Transcript) -> int:
    """Return how much of the speech that was found lies in no line and is not listed either."""
    known = [(each.start_ms, each.end_ms) for each in transcript.lines]
    known += [(each.start_ms, each.end_ms) for each in transcript.unprocessed]
    end_ms = max((turn.end_ms for turn in diarization.turns), default=0)
    lost = np.zeros(end_ms, bool)
    for turn in diarization.turns:
        lost[turn.start_ms : turn.end_ms] = True
    for start_ms, stop_ms in known:
        lost[max(0, start_ms - _HEARD_BEYOND_MS) : stop_ms + _HEARD_BEYOND_MS] = False
    return int(lost.sum())


def _voice_left_db(spans: Iterable[tuple[int, int]], media: Media, mixdown: Mixdown) -> float | None:
    """Return the power of what in the bed still follows the voice that was taken out, relative to that, over spans."""
    source, bed = media.file(media.mix), mixdown.file(mixdown.bed)
    left = taken = 0.0
    for start_ms, end_ms in _pieces(spans):
        rest = sound.read_span(bed, start_ms, end_ms).mean(axis=1)
        voice = sound.read_span(source, start_ms, end_ms).mean(axis=1) - rest
        if voice.any():
            power = 10 ** (power_db(voice) / 10) * len(voice)
            taken, left = taken + power, left + power * 10 ** (followed_db(rest, voice) / 10)
    return float(10 * np.log10(left / taken)) if left > 0 else None


def _pieces(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for begin_ms, end_ms in spans:
        for start_ms in range(begin_ms, end_ms, _LONGEST_SPAN_MS):
            stop_ms = min(start_ms + _LONGEST_SPAN_MS, end_ms)
            if stop_ms - start_ms >= _SHORTEST_SPAN_MS:
                yield start_ms, stop_ms


def _share(key: str, lines: Sequence[LineSound]) -> Figure:
    """Return the share of lines that do not miss a goal."""
    return figure(key, _mean([key not in line.missed for line in lines]), None, len(lines))


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] - _ROUNDING <= value <= bounds[1] + _ROUNDING


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
