"""How the sound of a dub was mixed, in figures beside the goals.

Usage: python -m bench.mix DIR [DIR ...]   folders that translate wrote
       python -m bench.mix                 the sample's speech over made music and in made rooms, with known stems
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import scipy.signal
import soundfile

from flows.finished import read_finished
from stages import separate, sound
from stages.artifacts import Media, Room
from stages.evaluate.sound_measures import followed_db, power_db, step_ratio
from stages.media import open_source
from stages.mix.bed import write_bed
from stages.mix.loudness import measure_blocks
from stages.mix.room import falls_db, placed_in
from stages.mix.spans import removed
from stages.settings import load

RATE_HZ = sound.SAMPLE_RATE_HZ
SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
THIRDS_HZ = 1000 * 2.0 ** (np.arange(-10, 10) / 3)


def peak_dbtp(samples: np.ndarray) -> float:
    """Return the peak of (n, channels) after oversampling by 4, independent of FFmpeg's."""
    return float(20 * np.log10(np.abs(scipy.signal.resample_poly(samples, 4, 1, axis=0)).max() + 1e-12))


def spectrum_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the long-term level of thirds of an octave from 100 Hz to 8 kHz, their mean 0 dB."""
    hz, density = scipy.signal.welch(samples, rate_hz, nperseg=4096)
    bands = [density[(hz >= f / 2 ** (1 / 6)) & (hz < f * 2 ** (1 / 6))].sum() for f in THIRDS_HZ]
    levels = 10 * np.log10(np.array(bands) + 1e-20)
    return levels - levels.mean()


def decoded(path: Path) -> np.ndarray:
    """Return a file's first sound track, float (n, 2)."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE_HZ)
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1).T


def mask(length: int, spans_ms: Sequence[tuple[int, int]], margin_ms: int = 0) -> np.ndarray:
    """Return bool (n,): inside the spans."""
    inside = np.zeros(length, bool)
    for start_ms, end_ms in spans_ms:
        inside[max(0, start_ms - margin_ms) * RATE_HZ // 1000 : (end_ms + margin_ms) * RATE_HZ // 1000] = True
    return inside


def say(title: str, value: str, goal: str = "") -> None:
    """Print one row."""
    print(f"  {title:<58} {value:>28}  {goal}", flush=True)


def judge(report: Path) -> None:
    """Print the figures of one dub."""
    content = json.loads(report.read_text(encoding="utf-8"))
    stem = report.with_name(report.name.removesuffix(".report.json"))
    video = open_source(Path(content["source"]["path"]))
    finished = read_finished(content, video, load("embedded", content["settings"]).work)
    if finished is None:
        sys.exit(f"{report}: the work folder no longer holds what this dub was made from; dub it again.")
    shared, dub = finished.shared, finished.dub
    mixdown, levels = dub.mixdown, dub.mixdown.levels
    source, _ = sound.read(shared.media.file(shared.media.mix))
    mixed, bed, lines = (sound.read(mixdown.file(name))[0] for name in (mixdown.sound, mixdown.bed, mixdown.lines))
    gain = 10 ** ((levels.trim_db - levels.turn_down_db) / 20)
    voice = source - bed
    spans = removed(shared.transcript, dub.speech, shared.separation.file(shared.separation.voice))
    tail_ms = max([1200 * place.room.decay_s for place in levels.speakers.values() if place.room] or [0])
    touched = mask(len(source), spans, 50)
    heard = mask(len(source), [(line.sound_start_ms, line.end_ms + 100 + round(tail_ms)) for line in dub.speech.lines])
    print(stem)
    loud = [measure_blocks([np.ascontiguousarray(x)], RATE_HZ, 2).integrated_lufs for x in (source, mixed)]
    say("loudness, source / dub, LUFS", f"{loud[0]:.2f} / {loud[1]:.2f}", "within 1 LU")
    delivered = decoded(stem.with_name(stem.name + ".mp4"))
    say("true peak, 4x, mix / AAC track, dBTP", f"{peak_dbtp(mixed):.2f} / {peak_dbtp(delivered):.2f}", "<= -1")
    outside = ~touched & ~heard
    difference = np.abs(mixed[outside] - gain * source[outside]).max() if outside.any() else 0.0
    say("largest difference to the source where nothing is dubbed", f"{difference * 32768:.1f} steps", "untouched")
    said = mask(len(source), [(line.start_ms, line.end_ms) for line in dub.speech.lines])
    inside = mask(len(source), [(line.start_ms, line.end_ms) for line in shared.transcript.lines])
    gaps = inside & touched & ~said
    say("length of gaps of the dub in the lines", f"{gaps.sum() / RATE_HZ:.2f} s")
    left_db = followed_db(bed.mean(axis=1) * touched, voice.mean(axis=1))
    say("what in the bed follows the voice that was taken out", f"{left_db:.1f} dB", "<= -20")
    if gaps.any():
        share = power_db(bed[gaps]) - power_db(voice[inside])
        say("all sound in the gaps, relative to the original voice", f"{share:.1f} dB")
    limited = "limited" if levels.limit_dbfs is not None else ""
    summed = np.abs(mixed - (gain * bed + lines)).max() * 32768
    say("mix - (background + dub)", f"{summed:.1f} steps {limited}", "rounding")
    joins = [t * RATE_HZ // 1000 for span in spans for t in span]
    joins += [t * RATE_HZ // 1000 for line in dub.speech.lines for t in (line.start_ms, line.end_ms)]
    say("largest step at joins over the largest elsewhere", f"{step_ratio([mixed], joins):.2f}", "<= 1")
    for speaker, place in levels.speakers.items():
        own = [(line.start_ms, line.end_ms) for line in shared.transcript.lines if line.speaker == speaker]
        files = [dub.speech.file(line.sound) for line in dub.speech.lines if line.speaker == speaker]
        dry = np.concatenate([sound.read(file)[0] for file in files])
        room_of(speaker, voice[mask(len(voice), own)].mean(axis=1), dry, dub.speech.rate_hz, place.room)


def room_of(speaker: str, own: np.ndarray, dry: np.ndarray, rate_hz: int, room: Room | None) -> None:
    """Print how a voice falls and its spectrum, in the source, dry and placed."""
    placed = dry if room is None else placed_in(room, dry, rate_hz)
    say(f"{speaker}: room", "dry" if room is None else f"{room.decay_s} s at {room.level_db:g} dB")
    wanted = falls_db(own, RATE_HZ)
    for title, samples in (("before", dry), ("after", placed)):
        falls = falls_db(samples, rate_hz)
        if wanted is not None and falls is not None:
            text = " ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(falls, wanted, strict=True))
            error = np.sqrt(np.mean((falls - wanted) ** 2))
            say(f"{speaker}: falls over 50-300 ms, dub/own, dB, {title}", text, f"error {error:.1f} dB")
        apart = np.abs(spectrum_db(samples, rate_hz) - spectrum_db(own, RATE_HZ)).mean()
        say(f"{speaker}: long-term spectrum, mean difference, {title}", f"{apart:.1f} dB")


def chords(samples: int, roots_hz: Sequence[float], seed: int) -> np.ndarray:
    """Return plucked chords, one every 2 s, peak 1."""
    rng, result = np.random.default_rng(seed), np.zeros(samples)
    for number, begin in enumerate(range(0, samples, 2 * RATE_HZ)):
        time_s = np.arange(min(2 * RATE_HZ, samples - begin)) / RATE_HZ
        envelope = np.minimum(1, time_s / 0.02) * np.exp(-time_s / 1.2)
        for interval in (1, 1.26, 1.498, 2):
            for harmonic in range(1, 7):
                hz = roots_hz[number % len(roots_hz)] * interval * harmonic
                wave = np.sin(2 * np.pi * hz * time_s + rng.uniform(0, 6)) / harmonic**1.5
                result[begin : begin + len(time_s)] += envelope * wave
    return result / np.abs(result).max()


def stereo_music(samples: int) -> np.ndarray:
    """Return chords panned to the left and others to the right, (n, 2)."""
    left, right = chords(samples, (130.8, 174.6, 196, 110), 1), chords(samples, (261.6, 220, 293.7, 329.6), 2)
    return np.stack([0.9 * left + 0.2 * right, 0.2 * left + 0.6 * right], axis=1)


def judge_made(speech: np.ndarray, room: Room | None, music_db: float | None) -> None:
    """Print the figures of speech over music whose stems are known."""
    voice = speech if room is None else placed_in(room, speech, RATE_HZ)[: len(speech)]
    voice = voice * (0.25 / np.abs(voice).max())
    music = np.zeros((len(voice), 2))
    if music_db is not None:
        music = stereo_music(len(voice))
        music *= voice.std() * 10 ** (music_db / 20) / music.std()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound.write(folder / "mix.wav", voice[:, None] + music, RATE_HZ)
        media = cast(Media, SimpleNamespace(mix="mix.wav", file=lambda each: folder / each))
        separate.separate(media, separate.SeparateConfig(), folder, lambda _: None)
        write_bed(folder / "mix.wav", folder / "background.wav", [(0, len(voice) // 48 + 1)], 20, folder / "bed.wav")
        print(f"room {room}, music {music_db} dB relative to the voice")
        for title in ("background", "bed"):
            found, _ = soundfile.read(folder / f"{title}.wav")
            rest = found - music
            say(f"{title}: what follows the original voice", each(followed_db(rest[:, c], voice) for c in (0, 1)))
            if music_db is not None:
                changes = [power_db(found[:, c]) - power_db(music[:, c]) for c in (0, 1)]
                parts = [20 * np.log10(found[:, c] @ music[:, c] / (music[:, c] @ music[:, c])) for c in (0, 1)]
                say(f"{title}: level of left and right", each(changes), "within .5 dB")
                say(f"{title}: of that, the music itself", each(parts))


def each(values: Any) -> str:
    """Return dB values as text."""
    return " ".join(f"{value:+.2f}" for value in values) + " dB"


def main(folders: list[str]) -> None:
    """Judge the folders, or the made clips."""
    for report in [found for folder in folders for found in sorted(Path(folder).glob("*.report.json"))]:
        judge(report)
    if not folders:
        speech = decoded(SAMPLE).mean(axis=1)
        for room in (None, Room(decay_s=0.3, level_db=-8), Room(decay_s=0.6, level_db=-3)):
            for music_db in (None, -12, -3):
                judge_made(speech, room, music_db)


if __name__ == "__main__":
    main(sys.argv[1:])
