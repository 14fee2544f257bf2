"""How well a dub says its lines as the source did, before (every line alike) and after: ``python -m bench.prosody``.

1. Questions: three texts in each of several languages (a yes-no question, a wh-question, a statement), read by the
   clearest voice of either sex; how many end in a rise when left alone and when the source rose by 5 semitones; CER by
   Whisper base.
2. Lines: ``speech-en-long.wav`` (../shared/clips) cut into sentences, as it is and with sentences changed by WORLD by a
   known amount (3 semitones higher; half as lively again), or made 6 dB louder. Pitch of the source by Harvest, of the
   dub by Harvest too: not by what the stage itself measures with.

``python -m bench.prosody questions`` (with some of the languages) or ``lines`` does one of them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import pyworld
import scipy.ndimage

from language_packs import g2p, load_pack
from stages import models, sound, synthesize
from stages.artifacts import Diarization, Plan, Script, ScriptLine, Separation, Turn
from stages.inspect import normalised
from stages.mix.loudness import measure_blocks
from stages.progress import silent
from stages.synthesize import SynthesizeConfig, castable, speaking
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.synthesize.pitch import LinePitch, LogF0, spread
from stages.synthesize.prosody import Habits, believed, rise_st
from stages.timing.planner import TimingConfig, plan_lines
from stages.timing.source import slots
from stages.transcribe import TranscribeConfig, Vocabulary, transcribe
from stages.transcribe.faster_whisper_engine import WhisperEngine
from stages.translate.bergamot import Bergamot
from stages.translate.routes import route, table

LONG = Path(__file__).parents[2] / "shared" / "clips" / "speech-en-long.wav"
TARGET = "pt-BR"
RISE_ST = 5.0
RISES_ST = 2.0
"""Above it a line is counted as rising."""
TEXTS = {
    "en": ("Did you see the new house?", "Where did you put the keys?", "You came here alone."),
    "pt-BR": ("Você viu a casa nova?", "Onde você colocou as chaves?", "Você veio aqui sozinho."),
    "es": ("¿Has visto la casa nueva?", "¿Dónde has puesto las llaves?", "Has venido aquí solo."),
    "fr": ("Tu as vu la nouvelle maison ?", "Où as-tu mis les clés ?", "Tu es venu ici tout seul."),
    "de": ("Hast du das neue Haus gesehen?", "Wo hast du die Schlüssel?", "Du bist allein gekommen."),
    "it": ("Hai visto la casa nuova?", "Dove hai messo le chiavi?", "Sei venuto qui da solo."),
    "pl": ("Czy widziałeś nowy dom?", "Gdzie położyłeś klucze?", "Przyszedłeś tu sam."),
    "ru": ("Ты видел новый дом?", "Где ты положил ключи?", "Ты пришёл сюда один."),
}
WORLD_MS = 5.0
SHORTEST_MS = 1000
"""A shorter line is left out: its loudness cannot be measured (BS.1770 has windows of 400 ms)."""


@dataclass(frozen=True)
class Source:
    """A source with lines; its folder holds the voice as the separation writes it."""

    separation: Separation
    lines: tuple[ScriptLine, ...]


@dataclass(frozen=True)
class Line:
    """What was measured in one line."""

    mean_st: float
    spread_st: float
    level_lu: float


def harvested(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return F0 in Hz every 5 ms by Harvest, 0 where unvoiced."""
    wave = np.ascontiguousarray(samples, np.float64)
    f0_hz = pyworld.harvest(wave, rate_hz, f0_floor=60.0, f0_ceil=500.0, frame_period=WORLD_MS)[0]
    return believed(np.where(audible(samples, rate_hz, len(f0_hz)), f0_hz, 0.0))


def audible(samples: np.ndarray, rate_hz: int, frames: int) -> np.ndarray:
    """Return bool (frames,), one every 5 ms: within 30 dB of the loudest; F0 of what is softer is guessed."""
    power = scipy.ndimage.uniform_filter1d(np.square(samples, dtype=np.float64), rate_hz // 50)
    at = np.minimum(np.arange(frames) * rate_hz * int(WORLD_MS) // 1000, len(power) - 1)
    return power[at] > power.max() / 1000


def measured(samples: np.ndarray, rate_hz: int) -> Line:
    """Return a line's mean F0 (semitones re 1 Hz), its spread, both by percentiles, and its loudness (BS.1770)."""
    f0_hz = harvested(samples, rate_hz)
    found = spread(np.log(f0_hz[f0_hz > 0])) if f0_hz.any() else LogF0(np.nan, np.nan)
    level_lu = measure_blocks([np.ascontiguousarray(samples[:, None], np.float32)], rate_hz, 1).integrated_lufs
    assert level_lu is not None, "a line of a second or more has a loudness"
    return Line(found.mean * 12 / np.log(2), found.std * 12 / np.log(2), level_lu)


def clearest(tag: str) -> dict[str, LogF0]:
    """Return the clearest female and the clearest male voice in a language, each with its ln F0."""
    clear = castable("kokoro", tag)
    names = (next(name for name, voice in clear.items() if voice.sex == sex) for sex in ("female", "male"))
    return {name: clear[name].f0 for name in names}


def questions(engine: KokoroEngine, listener: WhisperEngine, tags: Sequence[str]) -> None:
    """Print how texts end in every language."""
    print(f"questions: ends over the low before it, semitones; source rises {RISE_ST:g}; rises: above {RISES_ST:g}")
    counts = {"before": 0, "after": 0}
    errors: dict[str, list[float]] = {"before": [], "after": []}
    asked = 0
    for tag in tags or tuple(TEXTS):
        for text in TEXTS[tag]:
            ipa, row = g2p.phonemize(text, load_pack(tag).g2p), []
            is_question = text.endswith("?")
            for voice, f0 in clearest(tag).items():
                asked += is_question
                for name, rise in (("before", None), ("after", RISE_ST if is_question else None)):
                    samples = engine.speak(ipa, voice, pitch=LinePitch(f0, f0, rise)).samples
                    found = rise_st(harvested(samples, RATE_HZ)) or 0.0
                    counts[name] += is_question and found > RISES_ST
                    heard = listener.recognise(
                        sound.resample(samples, RATE_HZ, sound.SPEECH_RATE_HZ), tag.split("-")[0]
                    )
                    cer = jiwer.cer(normalised(text), normalised(heard))
                    if is_question:
                        errors[name].append(cer)
                    row.append(f"{found:+5.1f} ({cer:.2f})")
            print(f"  {tag:<6}{text:<32} before, after: {'  '.join(row)}", flush=True)
    for name, count in counts.items():
        print(f"  {name}: {count} of {asked} questions rise, mean CER {np.mean(errors[name]):.3f}", flush=True)


def long_source(folder: Path) -> Source:
    """Return the long reading, cut into the sentences that are heard in it, each with its translation."""
    samples, rate_hz = sound.read(LONG)
    mono = np.asarray(samples if samples.ndim == 1 else samples.mean(axis=1), np.float32)
    voice = sound.resample(mono, rate_hz, sound.SAMPLE_RATE_HZ)
    separation = written(folder, voice)
    end_ms = len(voice) * 1000 // sound.SAMPLE_RATE_HZ
    np.savez(folder / "embeddings.npz", S1=np.full(256, 1 / 16, np.float32))
    diarization = Diarization(turns=(Turn(speaker="S1", start_ms=0, end_ms=end_ms),), speakers=("S1",)).at(folder)
    found = transcribe(separation, diarization, Vocabulary(), TranscribeConfig(language="en"), folder, silent)
    chosen = route("en", TARGET, table().hops)
    assert chosen is not None
    texts = Bergamot(chosen.hops[0]).translate([line.text for line in found.lines])
    lines = tuple(
        ScriptLine(
            id=line.id, speaker="S1", start_ms=line.start_ms, end_ms=line.end_ms, source_text=line.text, text=text.text
        )
        for line, text in zip(found.lines, texts, strict=True)
        if line.end_ms - line.start_ms >= SHORTEST_MS
    )
    return Source(separation, lines)


def written(folder: Path, voice: np.ndarray) -> Separation:
    """Write a voice at 48 kHz as the separation does, over silence."""
    folder.mkdir(parents=True, exist_ok=True)
    sound.write(folder / "voice.wav", voice, sound.SAMPLE_RATE_HZ)
    sound.write(
        folder / "voice_16k.wav",
        sound.resample(voice, sound.SAMPLE_RATE_HZ, sound.SPEECH_RATE_HZ),
        sound.SPEECH_RATE_HZ,
    )
    sound.write(folder / "background.wav", np.zeros((len(voice), 2), np.float32), sound.SAMPLE_RATE_HZ)
    return Separation().at(folder)


def changed(source: Source, folder: Path, change: Callable[[int, np.ndarray], np.ndarray]) -> Source:
    """Return a source whose lines were changed, by their place in it."""
    voice, rate_hz = sound.read(source.separation.file(source.separation.voice))
    voice = np.array(voice)
    for number, line in enumerate(source.lines):
        span = slice(line.start_ms * rate_hz // 1000, line.end_ms * rate_hz // 1000)
        voice[span] = change(number, voice[span])
    return Source(written(folder, voice), source.lines)


def revoiced(samples: np.ndarray, semitones: float, livelier: float) -> np.ndarray:
    """Return 48 kHz samples at another pitch, by WORLD: moved, and its ln F0 spread around its mean."""
    rate_hz = sound.SAMPLE_RATE_HZ
    wave = np.ascontiguousarray(samples, np.float64)
    f0, times = pyworld.harvest(wave, rate_hz, f0_floor=60.0, f0_ceil=500.0)
    envelope = pyworld.cheaptrick(wave, f0, times, rate_hz)
    noise = pyworld.d4c(wave, f0, times, rate_hz)
    mean = np.log(f0[f0 > 0]).mean()
    moved = np.where(f0 > 0, np.exp(mean + livelier * (np.log(np.maximum(f0, 1)) - mean)) * 2 ** (semitones / 12), 0)
    return pyworld.synthesize(np.clip(moved, 0, 600), envelope, noise, rate_hz)[: len(samples)]


def dubbed(source: Source, engine: KokoroEngine, folder: Path, follows: bool) -> list[np.ndarray]:
    """Return the source's lines in the target language, each following its line, or all alike."""
    end_ms = max(line.end_ms for line in source.lines) + 1000
    np.savez(folder / "embeddings.npz", S1=np.full(256, 1 / 16, np.float32))
    diarization = Diarization(turns=(Turn(speaker="S1", start_ms=0, end_ms=end_ms),), speakers=("S1",)).at(folder)
    script = Script(source="en", target=TARGET, route=("bergamot",), lines=source.lines)
    config, pack = SynthesizeConfig(), load_pack(TARGET)
    cast = synthesize.cast(script, diarization, source.separation, pack, config, folder, silent).at(folder)
    reading = synthesize.read(script, cast, pack, config, folder, silent)
    sounding_ms = {line.id: line.duration_ms - line.lead_ms - line.tail_ms for line in reading.lines}
    plan = Plan(lines=plan_lines(slots(script), sounding_ms, end_ms, TimingConfig()))
    habits = Habits(source.separation.file(source.separation.voice), source.lines)
    matched, places = speaking.matchings(cast)["S1"], {line.id: line for line in plan.lines}
    said = []
    for line, read in zip(source.lines, reading.lines, strict=True):
        manner = habits.prosody(line, "en", TARGET) if follows else None
        part = speaking.Part(cast.voices[0].voice, matched, habits.level_dbfs(line), manner)
        said.append(speaking.speak_line(engine, read, places[line.id], part).samples)
    return said


def compare(title: str, source: Source, dub: Sequence[np.ndarray], listener: WhisperEngine) -> list[Line]:
    """Print the figures of one dub of a source; return what was measured in its lines."""
    voice = source.separation.file(source.separation.voice)
    own = [measured(sound.read_span(voice, line.start_ms, line.end_ms), sound.SAMPLE_RATE_HZ) for line in source.lines]
    said = [measured(samples, RATE_HZ) for samples in dub]
    columns = {
        name: tuple(np.array([getattr(each, name) for each in lines]) for lines in (own, said))
        for name in ("mean_st", "spread_st", "level_lu")
    }
    beside = {name: [values - np.median(values) for values in pair] for name, pair in columns.items()}
    f0 = np.corrcoef(*beside["mean_st"])[0, 1]
    ranges = np.corrcoef(*(np.log(values) for values in columns["spread_st"]))[0, 1]
    off = np.abs(np.subtract(*beside["level_lu"]))
    cers = []
    for line, samples in zip(source.lines, dub, strict=True):
        heard = listener.recognise(sound.resample(samples, RATE_HZ, sound.SPEECH_RATE_HZ), TARGET.split("-")[0])
        cers.append(jiwer.cer(normalised(line.text), normalised(heard)))
    print(
        f"  {title:<26} F0 r {f0:+.2f}, off {np.mean(np.abs(np.subtract(*beside['mean_st']))):.2f} st; range r "
        f"{ranges:+.2f}, dub/source {np.median(np.divide(*columns['spread_st'][::-1])):.2f}; level off "
        f"{off.mean():.2f} LU (most {off.max():.2f}); CER {np.mean(cers):.3f}",
        flush=True,
    )
    return said


def lines(engine: KokoroEngine, listener: WhisperEngine, folder: Path) -> None:
    """Print how lines follow the source's, and those that were changed by a known amount."""

    def change(number: int, samples: np.ndarray) -> np.ndarray:
        kind = number % 4
        if kind == 0:
            return revoiced(samples, 3.0, 1.0)
        if kind == 1:
            return samples * 10 ** (6 / 20)
        return revoiced(samples, 0.0, 1.5) if kind == 2 else samples

    plain = long_source(folder / "own")
    plain = changed(plain, folder / "plain", lambda _, samples: samples)
    made = changed(plain, folder / "made", change)
    print(f"lines: {len(plain.lines)} sentences of {LONG.name} into {TARGET}; r: correlation over lines")
    said = {}
    for title, source in (("as they are", plain), ("some of them changed", made)):
        for name, follows in (("before", False), ("after", True)):
            place = folder / f"{title}-{name}"
            place.mkdir()
            said[title, name] = compare(f"{title}, {name}", source, dubbed(source, engine, place, follows), listener)
    for name in ("before", "after"):
        moved = [
            (b.mean_st - a.mean_st, b.spread_st / a.spread_st, b.level_lu - a.level_lu)
            for a, b in zip(said["as they are", name], said["some of them changed", name], strict=True)
        ]
        kinds = [np.array(moved[kind::4]) for kind in range(4)]
        rest = np.median(kinds[3], axis=0)
        print(
            f"  {name}: lines made 3 st higher are dubbed {np.median(kinds[0][:, 0]) - rest[0]:+.2f} st higher, "
            f"made 6 dB louder {np.median(kinds[1][:, 2]) - rest[2]:+.2f} LU louder, made 1.5 times as lively "
            f"{np.median(kinds[2][:, 1]) / rest[1]:.2f} times as lively",
            flush=True,
        )


def main(asked: list[str]) -> None:
    """Print what was asked for, or both."""
    engine, listener = KokoroEngine(), WhisperEngine(models.path("whisper-base"))
    if not asked or "questions" in asked:
        questions(engine, listener, [tag for tag in asked if tag in TEXTS])
    if not asked or "lines" in asked:
        if not LONG.is_file():
            sys.exit(f"{LONG.name} is not on this machine: lines are left out.")
        with tempfile.TemporaryDirectory() as folder:
            lines(engine, listener, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
