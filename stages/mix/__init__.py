"""Lay the dub over the background, as loud as the original was.

The original voice is taken away where it was dubbed, and nowhere else (:mod:`.spans`, :mod:`.bed`). Every speaker is
brought to the level, the side and the room of their own voice in the source (:mod:`.placing`, :mod:`.room`); then all
speech is moved by one gain until the integrated loudness (EBU R 128) is that of the source's sound.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from pydantic import Field

from stages import sound
from stages.artifacts import Media, Mixdown, MixLevels, Place, Record, Separation, Speech, Transcript
from stages.mix import placing, render
from stages.mix.bed import write_bed
from stages.mix.loudness import Loudness, filtered, integrated_lufs, measure, measure_blocks
from stages.mix.spans import removed, undubbed
from stages.progress import Progress

VERSION = 4
_PASSES = 4
"""Renderings at most to find the speech gain; each at least halves the distance."""
_CLOSE_LU = 0.2
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
    """How far the speech may be moved to match the source's loudness."""
    trim_range_db: float = Field(default=0.4, ge=0)
    """How far the whole may be moved for it after that: music and effects keep their level. What a limiter takes away
    is given back beyond that."""
    match_room: bool = True
    """Whether the dub is put into the room of the original voices."""


def mix(
    media: Media,
    separation: Separation,
    transcript: Transcript,
    speech: Speech,
    config: MixConfig,
    out: Path,
    progress: Progress,
) -> Mixdown:
    """Write the dubbed sound, what it is laid over, and the dubbed voices: 48 kHz stereo, as long as the source."""
    bed, source = out / str(Mixdown.model_fields["bed"].default), media.file(media.mix)
    lay_bed(media, separation, transcript, speech, config, bed)
    progress(0.3)
    places = placing.places(transcript.lines, speech, source, bed, config.match_room)

    def rendered(gain_db: float) -> Iterator[np.ndarray]:
        return laid_over(bed, speech, places, _gains_db(places, speech, gain_db), config)

    gain_db, loudness = _matched(rendered, media.integrated_lufs, config.gain_range_db)
    progress(0.7)
    mixdown = out / str(Mixdown.model_fields["sound"].default)
    reached, master = _mastered(mixdown, lambda: rendered(gain_db), loudness, media.integrated_lufs, config)
    artifact = Mixdown(
        integrated_lufs=reached.integrated_lufs,
        true_peak_dbtp=reached.true_peak_dbtp,
        levels=MixLevels(
            speakers=places,
            speech_db=gain_db,
            trim_db=master.trim_db,
            limit_dbfs=master.limit_dbfs,
            turn_down_db=master.turn_down_db,
        ),
    )
    write_lines(out / artifact.lines, bed, rendered(gain_db), artifact.levels)
    progress(1.0)
    return artifact


def lay_bed(
    media: Media, separation: Separation, transcript: Transcript, speech: Speech, config: MixConfig, target: Path
) -> None:
    """Write what the dub is laid over: the source without the original voice of what was dubbed."""
    spans = removed(transcript, speech, separation.file(separation.voice))
    write_bed(media.file(media.mix), separation.file(separation.background), spans, config.keep_fade_ms, target)


def laid_over(
    bed: Path, speech: Speech, places: Mapping[str, Place], lines_db: Mapping[int, float], config: MixConfig
) -> Iterator[np.ndarray]:
    """Yield the bed with the lines, each in its speaker's place and at its gain: float32 (samples, 2) blocks."""
    lines = [
        render.spoken(
            speech.file(line.sound),
            line.sound_start_ms,
            places[line.speaker],
            amplitude(lines_db[line.id]),
            config.fade_ms,
        )
        for line in speech.lines
    ]
    return render.blocks(bed, lines)


def write_lines(path: Path, bed: Path, mixed: Iterable[np.ndarray], levels: MixLevels) -> None:
    """Write what ``mixed`` adds to the bed, with the mastering gains but without the limiter."""
    gain = amplitude(levels.trim_db - levels.turn_down_db)
    with soundfile.SoundFile(bed) as under:
        write(path, (gain * (block - under.read(len(block), dtype="float32")) for block in mixed))


def _gains_db(places: Mapping[str, Place], speech: Speech, speech_db: float) -> dict[int, float]:
    return {line.id: places[line.speaker].gain_db + speech_db for line in speech.lines}


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
    missing_lu, most_db = _missing_lu(target_lufs, loudness), config.trim_range_db
    trim_db = float(np.clip(missing_lu, -most_db, most_db)) if abs(missing_lu) > _CLOSE_LU else 0.0
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
