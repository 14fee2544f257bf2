"""Some lines mixed anew, as loud as the first time; all other samples of the dub are the ones that were there.

The gains of the whole (speakers, loudness, limiter) are not found again: a gain for all would change all samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from stages import mix, sound
from stages.artifacts import Media, Mixdown, Separation, Speech, SpokenLine, Transcript
from stages.mix import room
from stages.mix.loudness import measure
from stages.mix.spans import FARTHEST_MS
from stages.progress import Progress

_ATTEMPTS = 8
_STEP_DB = 0.1
_JOIN_SAMPLES = 5 * sound.SAMPLE_RATE_HZ // 1000
_BLOCK_SAMPLES = 1 << 18
_SOUND_MARGIN_MS = 100
"""What a line's sound file holds beside its phones."""


def remix(
    media: Media,
    separation: Separation,
    transcript: Transcript,
    speech: Speech,
    spoken_before: Speech,
    previous: Mixdown,
    lines: tuple[int, ...],
    config: mix.MixConfig,
    out: Path,
    progress: Progress,
) -> Mixdown:
    """Write the dubbed sound with ``lines`` exchanged. Where they would lift the peak over its limit they are lowered.

    The level of a louder or softer line is not made up for elsewhere: what is measured of the whole is what it is now.
    """
    levels = previous.levels
    lines_db = {line.id: levels.speakers[line.speaker].gain_db + levels.speech_db for line in speech.lines}
    master = mix.Master(levels.trim_db, levels.limit_dbfs, levels.turn_down_db)
    tail_ms = max([room.tail_ms(place.room) for place in levels.speakers.values()], default=0)
    both = [line for line in (*speech.lines, *spoken_before.lines) if line.id in lines]
    # Where the original voice is left, or was, it is heard beyond the words.
    margin_ms = config.keep_fade_ms + (0 if all(line.is_dubbed for line in both) else FARTHEST_MS)
    spans = changed_samples(speech.lines, spoken_before.lines, lines, margin_ms, tail_ms)
    fresh, target, bed = out / ".fresh.wav", out / previous.sound, out / previous.bed
    mix.lay_bed(media, separation, transcript, speech, config, fresh)
    exchange(previous.file(previous.bed), fresh, spans, bed)
    for attempt in range(1, _ATTEMPTS + 1):
        mix.write(fresh, master.applied(mix.laid_over(bed, speech, levels.speakers, lines_db, config)))
        exchange(previous.file(previous.sound), fresh, spans, target)
        reached = measure(target)
        progress(attempt / _ATTEMPTS)
        excess_db = reached.true_peak_dbtp - max(config.true_peak_dbtp, previous.true_peak_dbtp)
        if excess_db <= 0:
            break
        lines_db |= {line: lines_db[line] - excess_db - _STEP_DB for line in lines_db if line in lines}
    mix.write_lines(fresh, bed, mix.laid_over(bed, speech, levels.speakers, lines_db, config), levels)
    exchange(previous.file(previous.lines), fresh, spans, out / previous.lines)
    fresh.unlink()
    return Mixdown(integrated_lufs=reached.integrated_lufs, true_peak_dbtp=reached.true_peak_dbtp, levels=levels)


def changed_samples(
    now: Iterable[SpokenLine], before: Iterable[SpokenLine], lines: tuple[int, ...], margin_ms: int, tail_ms: int = 0
) -> list[tuple[int, int]]:
    """Return (first, after the last) sample at 48 kHz of the stretches in which a changed line was or is heard.

    ``tail_ms`` is how long its room answers.
    A kept line keeps its samples from its first phone to its last, unless the changed one speaks at the same time.
    """
    both = [*now, *before]
    kept = [line for line in both if line.id not in lines]
    spans = []
    for changed in (line for line in both if line.id in lines):
        around_ms = _SOUND_MARGIN_MS + margin_ms
        start_ms, end_ms = changed.start_ms - around_ms, changed.end_ms + around_ms + tail_ms
        start_ms = max([start_ms, *(line.end_ms for line in kept if line.end_ms <= changed.start_ms)])
        end_ms = min([end_ms, *(line.start_ms for line in kept if line.start_ms >= changed.end_ms)])
        spans.append(tuple(round(max(0, time_ms) * sound.SAMPLE_RATE_HZ / 1000) for time_ms in (start_ms, end_ms)))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def exchange(old: Path, new: Path, spans: list[tuple[int, int]], target: Path) -> None:
    """Write ``old`` with the samples of ``new`` in the spans, faded over 5 ms inside them; 16 bit, block by block."""
    with (
        soundfile.SoundFile(old) as before,
        soundfile.SoundFile(new) as after,
        soundfile.SoundFile(target, "w", sound.SAMPLE_RATE_HZ, 2, subtype="PCM_16") as out,
    ):
        begin = 0
        while len(was := before.read(_BLOCK_SAMPLES, dtype="int16", always_2d=True)):
            share = _share(np.arange(begin, begin + len(was)), spans)[:, None]
            now = after.read(len(was), dtype="int16", always_2d=True)
            out.write(np.rint(was + share * (now.astype(np.float64) - was)).astype(np.int16))
            begin += len(was)


def _share(samples: np.ndarray, spans: list[tuple[int, int]]) -> np.ndarray:
    """Return (n,) 0-1: how far each sample is the new one."""
    share = np.zeros(len(samples))
    for start, end in spans:
        inside = np.minimum(samples - start, end - 1 - samples) + 1
        share = np.maximum(share, np.clip(inside / _JOIN_SAMPLES, 0.0, 1.0))
    return share
