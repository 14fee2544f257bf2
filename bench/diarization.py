"""Who speaks when, in conversations made of five real people's voices, beside the truth.

Usage: python -m bench.diarization [--tuning] [--work DIR] [SEED ...]

Every conversation goes through the chain's own separation and diarization, once with the number of speakers
unknown and once known. ``--tuning`` takes the seeds that the settings were chosen on instead of those that the
figures are given for; ``--work`` keeps the separations for the next run. DER by ``simpleder``: no collar, overlaps
count. A confusion of 0 with a known number of speakers says nothing of people the weights have never heard: the
five people are few, and what one says recurs in a conversation.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import cast

import numpy as np
from simpleder import DER

from bench.mix import stereo_music
from stages import separate, sound
from stages.artifacts import Media, Separation
from stages.diarize import DiarizeConfig, diarize

CLIPS = Path(__file__).parents[1].parent / "shared" / "clips"
RATE_HZ = sound.SAMPLE_RATE_HZ
SPEECH_MS: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "talker-a.mp4": ((1240, 1990), (2600, 3840), (5230, 6550), (7650, 8650)),
        "talker-b.mp4": ((0, 860), (1330, 4610), (5240, 7800)),
        "statement-en.mp4": ((1030, 3710), (4210, 5360), (5670, 7460), (8030, 8740)),
        "speech-de.wav": ((1290, 8630),),
        "speech-en-long.wav": (
            (1200, 4550), (5030, 6190), (6660, 8190), (8810, 10140), (10760, 12730), (13470, 14770), (15140, 16680),
            (17560, 18620), (18970, 20430), (21230, 24000), (24630, 25990), (26540, 28240), (29100, 29600),
            (29930, 32230), (32780, 36500), (36940, 38340), (38690, 41630),
        ),
    }
)  # fmt: skip
"""Speech in the clips, marked by hand on spectrograms and on the level of 10 ms frames (120-7000 Hz), without any voice
detector; clicks and breaths are no speech, and pauses up to 300 ms belong to it, as in NIST's evaluations."""
REPORTED = tuple(range(1, 15))
TUNED_ON = tuple(range(101, 109))
GOALS = MappingProxyType({"unknown": 0.12, "known": 0.08})

Segment = tuple[str, float, float]


@dataclass(frozen=True)
class Conversation:
    """A made conversation: float (n, 2) at 48 kHz, and who speaks from when to when, in seconds."""

    mix: np.ndarray
    truth: list[Segment]
    title: str


@dataclass(frozen=True)
class Voice:
    """One person's clip."""

    name: str
    samples: np.ndarray
    level_db: np.ndarray
    """Of every 10 ms."""


def voices() -> list[Voice]:
    """Return the five people's clips, their speech at one level."""
    from faster_whisper.audio import decode_audio

    found = []
    for name, spans in SPEECH_MS.items():
        samples = decode_audio(str(CLIPS / name), sampling_rate=RATE_HZ).astype(np.float64)
        speech = np.concatenate([samples[start * RATE_HZ // 1000 : end * RATE_HZ // 1000] for start, end in spans])
        samples *= 0.05 / np.sqrt(np.mean(speech**2))
        frames = samples[: len(samples) // 480 * 480].reshape(-1, 480)
        found.append(Voice(name, samples, 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)))
    return found


def made(people: Sequence[Voice], seed: int) -> Conversation:
    """Return the conversation of a seed: 2-4 people, 1-3 minutes.

    Turns of 0.6-10 s (log-uniform), half of them cut out of the middle of the speech (where it is softest within
    100 ms); gaps of 0-1.2 s, now and then 2-4 s; about one turn in eight begins 0.2-1 s before the last one ends. In
    every third conversation the first speaker is away for a minute. People differ by up to 4 dB to either side, their
    turns by 1.5 dB. Of four conversations one has music under it, one pink noise, 10-20 dB softer.
    """
    rng = np.random.default_rng(seed)
    chosen = [people[index] for index in rng.permutation(len(people))[: rng.integers(2, 5)]]
    gains_db = rng.uniform(-4, 4, len(chosen))
    length_s = rng.uniform(60, 180)
    away_s = 66.0 if seed % 3 == 0 and len(chosen) > 2 and length_s > 100 else 0.0
    speech = np.zeros(int((length_s + 12) * RATE_HZ))
    truth: list[Segment] = []
    now_s, last = rng.uniform(0.3, 1.5), -1
    while now_s < length_s:
        free = [who for who in range(len(chosen)) if who != last and not (who == 0 and 0 < now_s < away_s and truth)]
        who = int(rng.choice(free)) if truth else 0
        person = chosen[who]
        start_ms, end_ms = cut(person, rng)
        part = person.samples[start_ms * RATE_HZ // 1000 : end_ms * RATE_HZ // 1000].copy()
        fade = np.linspace(0, 1, RATE_HZ // 200)
        part[: len(fade)] *= fade
        part[-len(fade) :] *= fade[::-1]
        begin = int(now_s * RATE_HZ)
        part *= 10 ** ((gains_db[who] + rng.uniform(-1.5, 1.5)) / 20)
        speech[begin : begin + len(part)] += part
        for first, final in SPEECH_MS[person.name]:
            if min(final, end_ms) > max(first, start_ms):
                inside = (max(first, start_ms) - start_ms, min(final, end_ms) - start_ms)
                truth.append((person.name, *(round(now_s + ms / 1000, 3) for ms in inside)))
        ends_s = now_s + (end_ms - start_ms) / 1000
        kind = rng.random()
        if kind < 0.12 and end_ms - start_ms > 1500:
            now_s = ends_s - rng.uniform(0.2, 1.0)
        else:
            now_s = ends_s + (rng.uniform(2, 4) if kind > 0.94 else rng.uniform(0, 1.2))
        last = who
    speech = speech[: int((max(end for _, _, end in truth) + 0.5) * RATE_HZ)]
    under_db = rng.uniform(-20, -10)
    under, title = np.zeros((len(speech), 2)), "clean"
    if seed % 4 == 1:
        under, title = stereo_music(len(speech)), f"music {under_db:.0f} dB"
    elif seed % 4 == 3:
        spectrum = np.fft.rfft(rng.normal(size=len(speech)))
        pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20)), len(speech))
        under, title = np.stack([pink, pink], axis=1), f"noise {under_db:.0f} dB"
    if under.any():
        under *= 0.05 * 10 ** (under_db / 20) / under.std()
    return Conversation(speech[:, None] + under, truth, f"{len(chosen)} people, {title}")


def cut(person: Voice, rng: np.random.Generator) -> tuple[int, int]:
    """Return the times of a turn in a person's clip, in ms."""
    spans = SPEECH_MS[person.name]
    wanted_ms = int(600 * (10 / 0.6) ** rng.random())
    if rng.random() < 0.5:
        start_ms = spans[rng.integers(len(spans))][0]
    else:
        start_ms = softest_ms(person, int(rng.integers(spans[0][0], max(spans[-1][1] - wanted_ms, spans[0][0] + 1))))
    start_ms = next((max(start_ms, first) for first, last in spans if last - 300 > start_ms), spans[0][0])
    end_ms = min(softest_ms(person, start_ms + wanted_ms), spans[-1][1])
    end_ms = next(min(end_ms, last) for first, last in reversed(spans) if first + 200 < end_ms)
    return start_ms, max(end_ms, start_ms + 300)


def softest_ms(person: Voice, time_ms: int) -> int:
    """Return where the person is softest within 100 ms."""
    first = max(0, time_ms // 10 - 10)
    around = person.level_db[first : first + 20]
    return 10 * (first + int(around.argmin())) if len(around) else time_ms


def separated(conversation: Conversation, work: Path) -> Separation:
    """Return the chain's separation of a conversation, from ``work`` where it is there."""
    steps = np.rint(np.clip(conversation.mix, -1, 1) * 32767).astype(np.int16)
    folder = work / f"{hashlib.sha256(steps.tobytes()).hexdigest()[:16]}-{separate.VERSION}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        sound.write(folder / "mix.wav", conversation.mix, RATE_HZ)
        media = cast(Media, SimpleNamespace(mix="mix.wav", file=lambda name: folder / name))
        separate.separate(media, separate.SeparateConfig(), folder, lambda _: None)
        (folder / "done").touch()
    return Separation().at(folder)


def found_in(separation: Separation, speakers: int | None) -> list[Segment]:
    """Return the turns that the diarization finds, in seconds."""
    with tempfile.TemporaryDirectory() as name:
        turns = diarize(separation, DiarizeConfig(speakers=speakers), Path(name), lambda _: None).turns
    return [(turn.speaker, turn.start_ms / 1000, turn.end_ms / 1000) for turn in turns]


def main() -> None:
    """Judge the conversations."""
    parser = argparse.ArgumentParser(prog="python -m bench.diarization")
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    people = voices()
    rows: dict[str, list[list[float]]] = {"unknown": [], "known": []}
    print(
        f"{'seed':>4} {'conversation':<24} {'length':>7} {'overlap':>7}  number: found/true  DER = "
        "missed + false + confused"
    )
    with tempfile.TemporaryDirectory() as temporary:
        for seed in given.seeds or (TUNED_ON if given.tuning else REPORTED):
            conversation = made(people, seed)
            truth, seconds = conversation.truth, len(conversation.mix) / RATE_HZ
            separation = separated(conversation, given.work or Path(temporary))
            true_number = len({name for name, _, _ in truth})
            for known, number in (("unknown", None), ("known", true_number)):
                found = found_in(separation, number)
                judged = DER(truth, found, detailed=True)
                parts = [
                    judged["der"],
                    *(judged[part] / judged["ref_length"] for part in ("miss", "false_alarm", "confusion")),
                ]
                number_found = len({name for name, _, _ in found})
                rows[known].append([*parts, number_found == true_number])
                overlap = (sum(end - start for _, start, end in truth) - covered_s(truth)) / seconds
                print(
                    f"{seed:>4} {conversation.title:<24} {seconds:>5.0f} s {overlap:>7.1%}  {known:>7}: "
                    f"{number_found}/{true_number}  " + "  ".join(f"{part:.3f}" for part in parts),
                    flush=True,
                )
    for known, goal in GOALS.items():
        mean = np.mean(rows[known], axis=0)
        print(
            f"mean of {len(rows[known])}, number {known}: DER {mean[0]:.3f} (goal {goal}) = missed {mean[1]:.3f} + "
            f"false alarm {mean[2]:.3f} + confused {mean[3]:.3f}; right number of speakers in {mean[4]:.0%}"
        )


def covered_s(segments: Sequence[Segment]) -> float:
    """Return how long anybody speaks."""
    total, until = 0.0, 0.0
    for _, start, end in sorted(segments, key=lambda segment: segment[1]):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


if __name__ == "__main__":
    main()
