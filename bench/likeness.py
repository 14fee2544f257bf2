"""How like the speakers the matched voices are, and what it costs: python -m bench.likeness [--to TAG] [CLIP ...]

For each clip with one speaker (the sample and those in ../shared/clips when none is named), spoken in the target
language (pt-BR):

- cosine of the GE2E embeddings of each line and the speaker, unmatched (the most alike voice as it is) and matched;
- the line beside every other clip's speaker: the right one has to come first;
- held out: cast on the first half of the speaker's speech, each line compared with the second half;
- character error rate of all clips' lines in each clip's voice, heard by Whisper base, at speeds 1.0 and 1.2, unmatched
  and matched.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from language_packs import load_pack
from stages import models, pipeline, sound
from stages.artifacts import Cast, SourceVideo, Speech
from stages.diarize.ge2e import SpeakerEncoder
from stages.media import open_source
from stages.settings import Settings, load
from stages.store import Stage, Store
from stages.synthesize import castable, casting, matching, speaking
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.synthesize.matching import Matching
from stages.synthesize.pitch import LogF0
from stages.transcribe.faster_whisper_engine import WhisperEngine
from stages.transcribe.vocabulary import Vocabulary

ROOT = Path(__file__).parents[1]
CLIPS = ROOT.parent / "shared" / "clips"
VIDEOS = (CLIPS / "talker-a.mp4", CLIPS / "talker-b.mp4", ROOT / "data" / "samples" / "statement-en.mp4")
OTHERS = (CLIPS / "speech-de.wav", CLIPS / "speech-en-long.wav")
SPEEDS = (1.0, 1.2)


@dataclass(frozen=True)
class Spoken:
    """A clip's lines in the target language."""

    name: str
    cast: Cast
    matching: Matching
    speech: Speech
    sounds: dict[int, np.ndarray]
    """Line id -> float32 (n,) at 24 kHz."""
    readings: dict[int, str]
    """Line id -> IPA."""
    texts: dict[int, str]
    speaker: np.ndarray
    """float32 (n,) at 24 kHz: what the voice is matched to."""
    embedding: np.ndarray
    cast_s: float


class _SpokenError(Exception):
    """The lines are spoken: the rest of the pipeline is not needed."""


def spoken(video: SourceVideo, target: str, settings: Settings) -> Spoken:
    """Run the stages up to the speech."""
    store = Store(settings.work, video)
    made: dict[str, Any] = {}
    seconds: dict[str, float] = {}

    def run(stage: Stage, *inputs: Any, language: str | None = None) -> Any:
        if stage is pipeline.ARTICULATE:
            raise _SpokenError
        config = getattr(settings, stage.config)
        made[stage.name], done = store.run(stage, inputs, config, language, lambda _: None)
        seconds[stage.name] = done.seconds
        return made[stage.name]

    clip = run(pipeline.INGEST, video)
    separation = run(pipeline.SEPARATE, clip)
    diarization = run(pipeline.DIARIZE, separation)
    transcript = run(pipeline.TRANSCRIBE, separation, diarization, Vocabulary())
    unseen: Any = None
    shared = pipeline.Shared(video, clip, separation, diarization, transcript, unseen, unseen, unseen)
    with contextlib.suppress(_SpokenError):
        pipeline.dub(run, shared, target, settings)
    (speaker,) = {line.speaker for line in made["speak"].lines}
    files = separation.file(separation.voice), separation.file(separation.background)
    with np.load(diarization.file(diarization.embeddings)) as embeddings:
        embedding = embeddings[speaker]
    return Spoken(
        name=video.path.stem,
        cast=made["cast"],
        matching=speaking.matchings(made["cast"])[speaker],
        speech=made["speak"],
        readings={line.id: line.ipa for line in made["read"].lines},
        sounds={line.id: sound.read(made["speak"].file(line.sound))[0] for line in made["speak"].lines},
        texts={line.id: line.text for line in made["fit"].lines},
        speaker=casting.reference(*files, diarization.turns, speaker),
        embedding=embedding,
        cast_s=seconds["cast"],
    )


class Bench:
    """The engine, the encoder and the listener, once."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.pack = load_pack(target)
        self.language = target.split("-")[0].lower()
        self.engine = KokoroEngine()
        self.encoder = SpeakerEncoder(models.path("ge2e-speaker-encoder"))
        self.listener = WhisperEngine(models.path("whisper-base"))

    def embed(self, samples: np.ndarray) -> np.ndarray:
        """Return the embedding of float (n,) samples at 24 kHz."""
        return casting.embed_24k(self.encoder.embed, samples)

    def cer(self, clips: list[Spoken], voice: str, matched: Matching | None, speed: float) -> float:
        """Return the error rate of all clips' lines in one voice, weighted by their length."""
        wanted, heard = [], []
        for clip in clips:
            for line, ipa in clip.readings.items():
                samples = self.line(ipa, voice, matched, speed)
                at_16k = sound.resample(samples, RATE_HZ, sound.SPEECH_RATE_HZ)
                wanted.append(plain(clip.texts[line]))
                heard.append(plain(self.listener.recognise(at_16k, self.language)))
        return float(jiwer.cer(wanted, heard))

    def line(self, ipa: str, voice: str, matched: Matching | None, speed: float = 1.0) -> np.ndarray:
        """Return float32 (n,) at 24 kHz: a line in a voice, matched or as it is."""
        if matched is None:
            return self.engine.speak(ipa, voice, speed).samples
        return matching.match(self.engine.speak(ipa, voice, speed, matched.pitch).samples, matched)

    def nearest(self, clip: Spoken) -> str:
        """Return the most alike of the voices that may be cast, as they are."""
        f0 = LogF0(clip.cast.voices[0].f0_mean_log_hz, clip.cast.voices[0].f0_std_log)
        return casting.shortlist(f0, self.embed(clip.speaker), castable("kokoro", self.target))[0]

    def held_out(self, clip: Spoken) -> tuple[float, float]:
        """Return the mean similarity of the lines with the speaker's second half, cast on the first: before, after."""
        middle = len(clip.speaker) // 2
        other = self.embed(clip.speaker[middle:])
        text = " ".join(clip.readings.values())[:80]
        auditions = casting.Auditions(
            castable("kokoro", self.target), lambda voice, pitch: self.engine.speak(text, voice, pitch=pitch).samples
        )
        found = casting.cast_speaker(clip.speaker[:middle], auditions, self.encoder.embed, matched=True)
        nearest = casting.shortlist(found.matching.target_f0, self.embed(clip.speaker[:middle]), auditions.voices)[0]
        plain_lines = [self.line(ipa, nearest, None) for ipa in clip.readings.values()]
        lines = [self.line(ipa, found.voice, found.matching) for ipa in clip.readings.values()]
        return tuple(float(np.mean([self.embed(line) @ other for line in each])) for each in (plain_lines, lines))


def plain(text: str) -> str:
    """Return lower-case words without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--to", default="pt-BR")
    parser.add_argument("--quick", action="store_true", help="likeness only, neither error rates nor held-out speech")
    asked = parser.parse_args()
    bench = Bench(asked.to)
    with tempfile.TemporaryDirectory() as scratch:
        settings = load("embedded", {"work": Path(scratch), "transcribe": {"language": "en"}})
        clips = [spoken(open_source(path), asked.to, settings) for path in asked.clips or VIDEOS if path.exists()]
        likeness(bench, clips)
    if not asked.quick:
        for clip in clips:
            costs(bench, clip, clips)


def likeness(bench: Bench, clips: list[Spoken]) -> None:
    """Print every line beside every speaker."""
    speakers = {clip.name: clip.embedding for clip in clips}
    for path in OTHERS:
        if path.exists():
            samples, rate_hz = sound.read(path)
            speakers[path.stem] = bench.embed(sound.resample(samples, rate_hz, RATE_HZ))
    for clip in clips:
        (voice,) = clip.cast.voices
        nearest = bench.nearest(clip)
        print(f"\n{clip.name}: {voice.voice}, warp {voice.warp}, F0 {np.exp(voice.f0_mean_log_hz):.0f} Hz; ", end="")
        print(f"cast in {clip.cast_s:.1f} s; on the audition {voice.similarity_unmatched:.2f} ", end="")
        print(f"-> {voice.similarity_matched:.2f}; the nearest voice as it is: {nearest}")
        rows, before = [], []
        for line in clip.speech.lines:
            own = bench.embed(clip.sounds[line.id])
            cosines = {name: float(own @ speaker) for name, speaker in speakers.items()}
            first = max(cosines, key=lambda name: cosines[name])
            before.append(float(bench.embed(bench.line(clip.readings[line.id], nearest, None)) @ clip.embedding))
            rows.append(cosines[clip.name])
            shown = "  ".join(f"{name} {cosine:.2f}" for name, cosine in cosines.items())
            print(f"  line {line.id}: {shown}  {'' if first == clip.name else f'FIRST: {first}'}")
        print(
            f"  similarity {np.mean(before):.3f} -> {np.mean(rows):.3f} (goal >= .73), "
            f"gain {np.mean(rows) - np.mean(before):.3f} (goal >= .10)",
            flush=True,
        )


def costs(bench: Bench, clip: Spoken, clips: list[Spoken]) -> None:
    """Print error rates and held-out likeness of a clip."""
    (voice,) = clip.cast.voices
    nearest = bench.nearest(clip)
    rates = [
        f"at {speed}: {bench.cer(clips, nearest, None, speed):.3f} -> "
        f"{bench.cer(clips, voice.voice, clip.matching, speed):.3f}"
        for speed in SPEEDS
    ]
    before, after = bench.held_out(clip)
    print(f"{clip.name}: CER {', '.join(rates)} (goal: at most .02 worse); ", end="")
    print(f"held out {before:.3f} -> {after:.3f}", flush=True)


if __name__ == "__main__":
    main()
