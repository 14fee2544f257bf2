"""Lay the dub over the background, as loud as the original was.

Every speaker is brought to the level of their own voice in the source; then all speech is moved by one gain
until the integrated loudness (EBU R 128) is that of the source's sound. What was not dubbed keeps its voice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from pydantic import Field

from stages import sound
from stages.artifacts import Line, Media, Mixdown, MixLevels, Record, Separation, Speech, Transcript
from stages.mix import render
from stages.mix.loudness import Loudness, filtered, integrated_lufs, measure, measure_blocks
from stages.progress import Progress

VERSION = 2
_PASSES = 4
"""Renderings at most to find the speech gain; each at least halves the distance."""
_CLOSE_LU = 0.2
_LEVEL_WINDOW_MS = 20
_LEVEL_RANGE_DB = 30.0
"""Windows further than this below the loudest are pauses, and do not count for a voice's level."""
_LIMITER_MARGIN_DB = 0.5
"""The limiter sees samples; the true peak between them is a little higher."""
_LIMITER_STEP_DB = 0.1
_LIMITINGS = 8
"""Attempts with the limiter; after them a plain gain meets the ceiling."""
_ROUNDING_DB = 0.01
"""What writing 16-bit samples may add to a peak."""

__all__ = ["VERSION", "MixConfig", "integrated_lufs", "mix", "undubbed"]


class MixConfig(Record):
    """Settings of the stage."""

    true_peak_dbtp: float = Field(default=-1.0, le=0)
    """Highest true peak of the dub (EBU R 128: -1)."""
    fade_ms: int = Field(default=5, ge=0)
    """Fade at either end of a line."""
    keep_fade_ms: int = Field(default=20, ge=0)
    """Fade at either end of a stretch that keeps its original voice."""
    gain_range_db: float = Field(default=6.0, ge=0)
    """How far the speech, and after it the whole, may be moved to match the source's loudness."""


def mix(
    media: Media,
    separation: Separation,
    transcript: Transcript,
    speech: Speech,
    config: MixConfig,
    out: Path,
    progress: Progress,
) -> Mixdown:
    """Write the dubbed sound: 48 kHz stereo, sample for sample as long as the source's."""
    levels_db = _speaker_gains_db(transcript.lines, speech, separation.file(separation.voice))

    def rendered(gain_db: float) -> Iterator[np.ndarray]:
        lines_db = {line.id: levels_db[line.speaker] + gain_db for line in speech.lines}
        return laid_over(separation, transcript, speech, lines_db, config)

    gain_db, loudness = _matched(rendered, media.integrated_lufs, config.gain_range_db)
    progress(0.6)
    mixdown = out / str(Mixdown.model_fields["sound"].default)
    reached, master = _mastered(mixdown, lambda: rendered(gain_db), loudness, media.integrated_lufs, config)
    progress(1.0)
    return Mixdown(
        integrated_lufs=reached.integrated_lufs,
        true_peak_dbtp=reached.true_peak_dbtp,
        levels=MixLevels(
            speakers_db=levels_db,
            speech_db=gain_db,
            trim_db=master.trim_db,
            limit_dbfs=master.limit_dbfs,
            turn_down_db=master.turn_down_db,
        ),
    )


def laid_over(
    separation: Separation, transcript: Transcript, speech: Speech, lines_db: Mapping[int, float], config: MixConfig
) -> Iterator[np.ndarray]:
    """Yield the background with the lines, each at its gain, and what keeps its voice: float32 (samples, 2) blocks."""
    voice = separation.file(separation.voice)
    keep = [
        render.kept(voice, start_ms, end_ms, config.keep_fade_ms) for start_ms, end_ms in undubbed(transcript, speech)
    ]
    lines = [
        render.spoken(speech.file(line.sound), line.sound_start_ms, amplitude(lines_db[line.id]), config.fade_ms)
        for line in speech.lines
    ]
    return render.blocks(separation.file(separation.background), [*keep, *lines])


class Master(NamedTuple):
    """What is done to the whole, in this order."""

    trim_db: float
    limit_dbfs: float | None
    """None: no limiter."""
    turn_down_db: float

    def applied(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the mastered blocks."""
        trimmed = (block * amplitude(self.trim_db) for block in blocks)
        limited = trimmed if self.limit_dbfs is None else _limited(trimmed, self.limit_dbfs)
        return (block * amplitude(-self.turn_down_db) for block in limited)


def undubbed(transcript: Transcript, speech: Speech) -> tuple[tuple[int, int], ...]:
    """Return the stretches (ms) that keep their voice: what was not processed, and lines without a dub.

    Where a dubbed line is heard, the original voice is not.
    """
    spoken = {line.id for line in speech.lines}
    spans = [(span.start_ms, span.end_ms) for span in transcript.unprocessed]
    spans += [(line.start_ms, line.end_ms) for line in transcript.lines if line.id not in spoken]
    kept: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(spans):
        if kept and start_ms <= kept[-1][1]:
            kept[-1] = (kept[-1][0], max(kept[-1][1], end_ms))
        else:
            kept.append((start_ms, end_ms))
    for line in speech.lines:
        kept = [piece for span in kept for piece in _without(span, (line.start_ms, line.end_ms))]
    return tuple(kept)


def _without(span: tuple[int, int], hole: tuple[int, int]) -> list[tuple[int, int]]:
    pieces = [(span[0], min(span[1], hole[0])), (max(span[0], hole[1]), span[1])]
    return [piece for piece in pieces if piece[0] < piece[1]]


def _matched(
    rendered: Callable[[float], Iterator[np.ndarray]], target_lufs: float | None, range_db: float
) -> tuple[float, Loudness]:
    """Return the speech gain in dB that brings the whole to the target, and the loudness it reaches."""
    gain_db = 0.0
    loudness = measure_blocks(rendered(gain_db), sound.SAMPLE_RATE_HZ, 2)
    for _ in range(_PASSES - 1):
        missing_lu = _missing_lu(target_lufs, loudness)
        wanted_db = float(np.clip(gain_db + missing_lu, -range_db, range_db))
        if abs(missing_lu) <= _CLOSE_LU or wanted_db == gain_db:
            break
        gain_db = wanted_db
        loudness = measure_blocks(rendered(gain_db), sound.SAMPLE_RATE_HZ, 2)
    return gain_db, loudness


def _mastered(
    path: Path,
    rendered: Callable[[], Iterator[np.ndarray]],
    loudness: Loudness,
    target_lufs: float | None,
    config: MixConfig,
) -> tuple[Loudness, Master]:
    """Write the sound at the target loudness and below the peak; return what it measures and what was done.

    What the limiter takes from the loudness is given back before it, a few times. The peak always holds: where the
    limiter does not reach it in as many attempts, the whole is turned down.
    """
    peak_dbtp, range_db = config.true_peak_dbtp, config.gain_range_db
    missing_lu = _missing_lu(target_lufs, loudness)
    trim_db = float(np.clip(missing_lu, -range_db, range_db)) if abs(missing_lu) > _CLOSE_LU else 0.0
    limit_dbfs = peak_dbtp - _LIMITER_MARGIN_DB if loudness.true_peak_dbtp + trim_db > peak_dbtp else math.inf
    turn_down_db = 0.0
    for attempt in itertools.count(1):
        master = Master(trim_db, None if limit_dbfs == math.inf else limit_dbfs, turn_down_db)
        write(path, master.applied(rendered()))
        reached = measure(path)
        excess_db = reached.true_peak_dbtp - peak_dbtp
        missing_lu = _missing_lu(target_lufs, reached)
        if excess_db > 0 and attempt >= _LIMITINGS:
            turn_down_db += excess_db + _ROUNDING_DB
        elif excess_db > 0:
            limit_dbfs = min(limit_dbfs, peak_dbtp) - excess_db - _LIMITER_STEP_DB
        elif attempt < _PASSES and limit_dbfs < math.inf and missing_lu > _CLOSE_LU and trim_db < range_db:
            trim_db = min(range_db, trim_db + missing_lu)
        else:
            return reached, master
    raise AssertionError("counting does not end")


def _missing_lu(target_lufs: float | None, loudness: Loudness) -> float:
    if target_lufs is None or loudness.integrated_lufs is None:
        return 0.0
    return target_lufs - loudness.integrated_lufs


def _speaker_gains_db(lines: Sequence[Line], speech: Speech, voice: Path) -> dict[str, float]:
    """Return per speaker how far the synthesised voice is below the speaker's own, in dB."""
    gains = {}
    for speaker in {line.speaker for line in speech.lines}:
        own = [sound.read_span(voice, line.start_ms, line.end_ms) for line in lines if line.speaker == speaker]
        said = [sound.read(speech.file(line.sound))[0] for line in speech.lines if line.speaker == speaker]
        own_db = _active_level_db(own, sound.SAMPLE_RATE_HZ)
        said_db = _active_level_db(said, speech.rate_hz)
        gains[speaker] = own_db - said_db if math.isfinite(own_db) and math.isfinite(said_db) else 0.0
    return gains


def _active_level_db(pieces: Iterable[np.ndarray], rate_hz: int) -> float:
    """Return the RMS level of the windows that are not pauses, in dBFS; minus infinity for silence."""
    window = _LEVEL_WINDOW_MS * rate_hz // 1000
    powers = np.concatenate([np.zeros(1), *(_window_powers(piece, window) for piece in pieces)])
    if powers.max() == 0:
        return -math.inf
    return 10 * math.log10(float(powers[powers > powers.max() * 10 ** (-_LEVEL_RANGE_DB / 10)].mean()))


def _window_powers(samples: np.ndarray, window: int) -> np.ndarray:
    whole = len(samples) // window * window
    return np.mean(np.square(samples[:whole].reshape(-1, window)), axis=1)


def _limited(blocks: Iterable[np.ndarray], ceiling_dbfs: float) -> Iterator[np.ndarray]:
    """Hold the samples under a ceiling with a look-ahead limiter; length and timing stay."""
    options = f"level_in=1:level_out=1:limit={amplitude(ceiling_dbfs):.6f}:attack=5:release=80:level=0:latency=1"
    chain = [("alimiter", options), ("aformat", "sample_fmts=flt:channel_layouts=stereo")]
    for frame in filtered(blocks, sound.SAMPLE_RATE_HZ, 2, chain):
        yield frame.to_ndarray().reshape(-1, 2)


def write(path: Path, blocks: Iterable[np.ndarray]) -> None:
    """Write float (samples, 2) blocks as 48 kHz stereo 16-bit."""
    with soundfile.SoundFile(path, "w", sound.SAMPLE_RATE_HZ, 2, subtype="PCM_16") as file:
        for block in blocks:
            file.write(np.clip(block, -1.0, 1.0))


def amplitude(gain_db: float) -> float:
    """Return the factor of a gain in dB."""
    return 10.0 ** (gain_db / 20)
