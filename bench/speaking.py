"""How well the synthesiser speaks each language: ``python -m bench.speaking [TAG ...]``.

Article 1 of the Universal Declaration of Human Rights (tests/data), up to 260 characters, read at speed .95 by the
clearest woman's and man's voice for the language (clearest of all, where it was not measured), and heard by Whisper
base, which is itself weak in many languages: character error rates.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import jiwer

from language_packs import available, g2p, load_pack
from stages import models, sound
from stages.languages import closest
from stages.synthesize import castable
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.transcribe.faster_whisper_engine import WhisperEngine
from stages.translate import routes

ARTICLE = Path(__file__).parents[1] / "tests" / "data" / "udhr_article1.json"
CHARACTERS = 260
SPEED = 0.95


def main(tags: list[str]) -> None:
    """Print a row per language: CER of each voice and their mean."""
    engine = KokoroEngine()
    listener = WhisperEngine(models.path("whisper-base"))
    texts = json.loads(ARTICLE.read_text(encoding="utf-8"))
    for tag in tags or available():
        heard_as, written = closest(tag, routes.sources()), closest(tag, texts)
        if heard_as is None or written is None:
            print(f"{tag:<8} not heard by Whisper" if heard_as is None else f"{tag:<8} no text", flush=True)
            continue
        text = texts[written][:CHARACTERS].rsplit(" ", 1)[0]
        ipa = g2p.phonemize(text, load_pack(tag).g2p)
        row = []
        voices = castable("kokoro", tag)
        chosen = [next(name for name in voices if voices[name].sex == sex) for sex in ("female", "male")]
        for voice in chosen:
            samples = sound.resample(engine.speak(ipa, voice, SPEED).samples, RATE_HZ, sound.SPEECH_RATE_HZ)
            row.append(jiwer.cer(plain(text), plain(listener.recognise(samples, heard_as))))
        rates = "  ".join(f"{voice} {rate:.3f}" for voice, rate in zip(chosen, row, strict=True))
        print(f"{tag:<8} mean {sum(row) / len(row):.2f}  {rates}", flush=True)


def plain(text: str) -> str:
    """Return lower-case words without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


if __name__ == "__main__":
    main(sys.argv[1:])
