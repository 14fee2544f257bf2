"""The timing of a dub on a made dialogue, in figures beside the goals.

Usage: python -m bench.dialogue [--minutes 10] [--work DIR] [--off-screen] [--plan-only]

Phrases of four clips, whose onsets and ends were read off their waveforms, are put together with known pauses: turns
.2-1.5 s apart, sentences of a turn .25-.9 s, phrases of a sentence .25-.65 s. So the true time of every line is known.
The picture is plain. The dub's lines are held as if the speakers' lips were seen, or freely with ``--off-screen``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from language_packs import Packs
from stages import pipeline, synthesize
from stages.artifacts import (
    Diarization,
    FaceTurn,
    Plan,
    Script,
    SourceVideo,
    SpeakerFaces,
    Speech,
    SpokenLine,
    Transcript,
)
from stages.edits import Edits
from stages.media import open_source
from stages.settings import load
from stages.sound import SAMPLE_RATE_HZ, write
from stages.store import Stage, Store
from stages.transcribe.vocabulary import Vocabulary

CLIPS = Path(__file__).parents[2] / "shared" / "clips"
TARGET = "pt-BR"
LEVEL_DBFS, NOISE_DBFS = -23.0, -66.0
MARGIN_MS = 10
MINUTE_MS = 60_000
NEAR_MS = 700
"""A line that starts farther than this from every true onset began inside a phrase."""

SENTENCES: dict[str, tuple[tuple[tuple[int, int], ...], ...]] = {
    "speech-en-long.wav": (
        ((1205, 2815), (2985, 4555)),
        ((5020, 6200), (6660, 8200)),
        ((8825, 10150), (10765, 12790)),
        ((13470, 14775), (15155, 16690)),
        ((17570, 18730), (18990, 20460)),
        ((21250, 22615), (22730, 24000)),
        ((24645, 26020), (26550, 28285)),
        ((29115, 29600), (29930, 32230), (32790, 36570), (36950, 41635)),
    ),
    "talker-b.mp4": (((1340, 4600),), ((5250, 7750),)),
    "talker-a.mp4": (((1260, 1950), (2645, 3830)), ((5280, 6500), (7700, 8655))),
    "statement-en.mp4": (((1045, 1475), (2085, 3670)), ((4230, 5325), (5690, 7440))),
}
"""By clip, its sentences as phrases (start, end) in ms: where the level rises out of the noise, and is back in it."""


@dataclass(frozen=True)
class Phrase:
    """A phrase of the dialogue and its true time."""

    clip: str
    start_ms: int
    end_ms: int
    begins_sentence: bool


def decoded(path: Path) -> np.ndarray:
    """Return a file's sound as float32 (n,) at 48 kHz."""
    if path.suffix == ".wav":
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        return soxr.resample(samples.mean(axis=1), rate_hz, SAMPLE_RATE_HZ)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ)
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1)[0]


def dialogue(minutes: float, seed: int = 5) -> tuple[np.ndarray, list[Phrase]]:
    """Return the sound, float32 (n,) at 48 kHz, and its phrases."""
    rng = np.random.default_rng(seed)
    sounds = {clip: decoded(CLIPS / clip) for clip in SENTENCES}
    sounds = {clip: sound * levelled(sound, SENTENCES[clip]) for clip, sound in sounds.items()}
    length_ms = round(minutes * MINUTE_MS)
    made = (rng.standard_normal((length_ms + 1000) * SAMPLE_RATE_HZ // 1000) * 10 ** (NOISE_DBFS / 20)).astype("f4")
    phrases: list[Phrase] = []
    clock_ms, next_of, clip = 700, Counter[str](), ""
    while True:
        clip = str(rng.choice([each for each in SENTENCES if each != clip]))
        for _ in range(int(rng.integers(1, 4))):
            sentence = SENTENCES[clip][next_of[clip] % len(SENTENCES[clip])]
            next_of[clip] += 1
            for number, (start_ms, end_ms) in enumerate(sentence):
                clock_ms += int(rng.integers(250, 650)) if number else 0
                if clock_ms + end_ms - start_ms > length_ms - 1000:
                    return made[: length_ms * SAMPLE_RATE_HZ // 1000], phrases
                put(made, sounds[clip], start_ms, end_ms, clock_ms)
                phrases.append(Phrase(clip, clock_ms, clock_ms + end_ms - start_ms, not number))
                clock_ms = phrases[-1].end_ms
            clock_ms += int(rng.integers(250, 900))
        clock_ms = phrases[-1].end_ms + int(rng.integers(200, 1500))


def levelled(sound: np.ndarray, sentences: Sequence[Sequence[tuple[int, int]]]) -> np.float32:
    """Return the factor that brings a clip's phrases to one level."""
    spoken = np.concatenate([sound[48 * start : 48 * end] for sentence in sentences for start, end in sentence])
    return np.float32(10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(np.square(spoken))))


def put(made: np.ndarray, sound: np.ndarray, start_ms: int, end_ms: int, at_ms: int) -> None:
    """Add a phrase, with a little of what is around it, faded."""
    piece = sound[48 * (start_ms - MARGIN_MS) : 48 * (end_ms + MARGIN_MS)].copy()
    ramp = np.linspace(0, 1, 48 * MARGIN_MS, dtype=np.float32)
    piece[: len(ramp)] *= ramp
    piece[-len(ramp) :] *= ramp[::-1]
    first = 48 * (at_ms - MARGIN_MS)
    made[first : first + len(piece)] += piece


def write_clip(path: Path, sound: np.ndarray) -> None:
    """Write the sound under a plain picture, one frame a second."""
    with tempfile.TemporaryDirectory() as folder, av.open(str(path), "w") as container:
        wave = Path(folder) / "sound.wav"
        write(wave, np.stack([sound, sound], axis=1), SAMPLE_RATE_HZ)
        picture = container.add_stream("libx264", rate=Fraction(1))
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        track = container.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="stereo")
        for _ in range(len(sound) // SAMPLE_RATE_HZ + 1):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        with av.open(str(wave)) as waves:
            for frame in waves.decode(audio=0):
                frame.pts = None
                container.mux(track.encode(frame))
            container.mux(track.encode())


@dataclass(frozen=True)
class Runner(pipeline.RunStage):
    """Runs stages through the store and says how long they took."""

    store: Store
    settings: Any

    def __call__(self, stage: Stage, *inputs: Any, language: str | None = None) -> Any:
        """Run one stage (:class:`stages.pipeline.RunStage`)."""
        artifact, run = self.store.run(stage, inputs, getattr(self.settings, stage.config), language, lambda _: None)
        print(f"  {stage.name:<11} {run.seconds:7.1f} s{' (kept)' if run.from_store else ''}", file=sys.stderr)
        return artifact


def everybody_seen(diarization: Diarization) -> SpeakerFaces:
    """Return faces as if every speaker were in the picture."""
    return SpeakerFaces(
        turns=tuple(
            FaceTurn(speaker=turn.speaker, start_ms=turn.start_ms, end_ms=turn.end_ms, face=1, margin=1.0)
            for turn in diarization.turns
        )
    )


def as_planned(script: Script, plan: Plan) -> Speech:
    """Return the speech as it would be if every line came out as it was planned."""
    speakers = {line.id: line.speaker for line in script.lines}
    lines = tuple(
        SpokenLine(
            id=line.id,
            speaker=speakers[line.id],
            sound="",
            sound_start_ms=line.start_ms,
            start_ms=line.start_ms,
            end_ms=line.end_ms,
            rate=line.rate,
            phones=(),
            similarity=0,
        )
        for line in plan.lines
    )
    return Speech(language=TARGET, engine="none", rate_hz=1, lines=lines)


def report(phrases: Sequence[Phrase], transcript: Transcript, script: Script, plan: Plan, speech: Speech) -> None:
    """Print the figures beside the goals."""
    onsets, ends = np.array([each.start_ms for each in phrases]), np.array([each.end_ms for each in phrases])
    lines = {line.id: line for line in transcript.lines}
    planned = {line.id: line for line in plan.lines}
    texts = {line.id: line.text for line in script.lines}
    spoken = [line for line in speech.lines if line.end_ms > line.start_ms]
    say("phrases, sentences", f"{len(phrases)}, {sum(each.begins_sentence for each in phrases)}")
    say(
        "lines, spoken, with changed pauses",
        f"{len(lines)}, {len(spoken)}, {sum(bool(getattr(each, 'pauses', ())) for each in plan.lines)}",
    )

    starts = np.array([lines[line.id].start_ms for line in spoken])
    nearest = np.array([int(np.argmin(np.abs(onsets - start))) for start in starts])
    true = onsets[nearest]
    known = np.abs(starts - true) <= NEAR_MS
    heard = starts - true
    say("lines that begin inside a phrase (no true onset)", f"{(~known).sum()}")
    spread("line starts that were heard, error", heard[known])
    last = np.array([int(np.argmin(np.abs(ends - lines[line.id].end_ms))) for line in spoken])
    end_errors = np.array([lines[line.id].end_ms for line in spoken]) - ends[last]
    spread("line ends that were heard, error", end_errors[np.abs(end_errors) <= NEAR_MS])
    late = np.array([line.start_ms for line in spoken]) - np.where(known, true, starts)
    spread("starts of the dub, error", late[known])
    say("starts within 80 ms of the true onset", share(np.abs(late[known]) <= 80), ">= 98 %")

    rates = np.array([line.rate for line in spoken])
    say("rate within .85-1.2", share((rates >= 0.85) & (rates <= 1.2)), ">= 95 %")
    say("rate within .8-1.35", share((rates >= 0.8) & (rates <= 1.35)), "100 %")
    for speaker in sorted({line.speaker for line in spoken}):
        own = np.array([line.rate for line in spoken if line.speaker == speaker])
        say(f"rate within .85-1.2, {speaker}", share((own >= 0.85) & (own <= 1.2)))
    say("rate, least, median, most", f"{rates.min():.2f} {np.median(rates):.2f} {rates.max():.2f}")
    overlaps = sum(
        later.start_ms < line.end_ms
        for index, line in enumerate(spoken)
        for later in spoken[index + 1 :]
        if later.speaker == line.speaker
    )
    say("overlaps within a speaker", f"{overlaps}", "0")
    say("end of the dub against the end of the speech", f"{max(line.end_ms for line in spoken) - ends.max():+d} ms")
    minutes = np.array([line.start_ms for line in spoken]) // MINUTE_MS
    final = int(minutes.max())
    drift = [float(np.median(late[known & (minutes == minute)])) for minute in (0, final)]
    say(f"drift in minute 1, in minute {final + 1}, median", f"{drift[0]:+.0f} {drift[1]:+.0f} ms", "equal")
    flags = Counter(flag for line in plan.lines for flag in line.flags)
    say("flags", ", ".join(f"{name} {count}" for name, count in sorted(flags.items())) or "none")
    print("\nmisses: line, source, spoken, error (of what was heard), rate as planned/spoken, flags, texts")
    for line, error, own_error, is_known in zip(spoken, late, heard, known, strict=True):
        if (is_known and abs(error) > 80) or not 0.85 <= line.rate <= 1.2:
            own = lines[line.id]
            place = f"{own.start_ms}-{own.end_ms} {line.start_ms}-{line.end_ms} {error:+d} ({own_error:+d})"
            rates = f"{planned[line.id].rate:.2f}/{line.rate:.2f}"
            flagged = "; ".join(planned[line.id].flags)
            print(f"  {line.id:4d} {line.speaker} {place} {rates} {flagged} | {own.text} | {texts[line.id]}")


def spread(title: str, errors: np.ndarray) -> None:
    """Print how errors in ms are distributed."""
    low, middle, high = np.percentile(errors, (5, 50, 95))
    say(title, f"{middle:+.0f} ({low:+.0f} to {high:+.0f}) ms, within 80: {share(np.abs(errors) <= 80)}")


def share(holds: np.ndarray) -> str:
    """Return how often something holds."""
    return f"{100 * np.mean(holds):.1f} % of {len(holds)}"


def say(title: str, value: str, goal: str = "") -> None:
    """Print one row."""
    print(f"  {title:<52} {value:>44}  {goal}", flush=True)


def main() -> None:
    """Make the dialogue, time its dub, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "dubwright-dialogue")
    parser.add_argument("--off-screen", action="store_true")
    parser.add_argument(
        "--plan-only", action="store_true", help="neither match voices nor speak: the figures are the plan's"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    sound, phrases = dialogue(options.minutes)
    path = options.work / f"dialogue-{options.minutes:g}.mkv"
    if not path.exists():
        write_clip(path, sound)
    video: SourceVideo = open_source(path)
    overrides = {"work": options.work, "transcribe": {"language": "en"}}
    if options.plan_only:
        overrides["synthesize"] = {"match_voices": False}
    settings = load("embedded", overrides)
    run = Runner(Store(options.work, video), settings)
    media = run(pipeline.INGEST, video)
    separation = run(pipeline.SEPARATE, media)
    diarization = run(pipeline.DIARIZE, separation)
    transcript = run(pipeline.TRANSCRIBE, separation, diarization, Vocabulary())
    faces = SpeakerFaces(turns=()) if options.off_screen else everybody_seen(diarization)
    shared = pipeline.Shared(video, media, separation, diarization, transcript, None, faces, None)
    pack = Packs(settings.packs).load(TARGET)
    translation = run(pipeline.TRANSLATE, *pipeline._to_translate(shared, TARGET, settings), language=TARGET)
    cast = run(pipeline.CAST, translation, diarization, separation, pack, language=TARGET)
    voicing = synthesize.voicing(settings.synthesize)
    script = run(pipeline.FIT, translation, cast, media, voicing, pack, Edits(), language=TARGET)
    reading = run(pipeline.READ, script, cast, pack, language=TARGET)
    plan = run(pipeline.PLAN, script, reading, transcript, faces, media, language=TARGET)
    speech = as_planned(script, plan)
    if not options.plan_only:
        speech = run(pipeline.SPEAK, script, reading, plan, cast, separation, diarization, language=TARGET)
    print(f"\ndialogue of {options.minutes:g} minutes, {len(diarization.speakers)} speakers found of {len(SENTENCES)}:")
    report(phrases, transcript, script, plan, speech)


if __name__ == "__main__":
    main()
