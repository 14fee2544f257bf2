"""What the casting knows of each voice: how high it speaks, how well it is understood in a hurry, whom it resembles.

Usage: python -m bench.voices [VOICE ...]    print a row per voice (all of them when none is named)
       python -m bench.voices --write        the same for all, and write stages/synthesize/kokoro-voices.toml and .npy

Every voice reads two sentences in each of three languages at speed 1.2, unmatched, and Whisper base hears it: character
error rates. F0 and speaker embedding are those of the Portuguese reading.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import jiwer
import numpy as np

from language_packs import g2p, load_pack
from stages import models, sound
from stages.diarize.ge2e import SpeakerEncoder
from stages.synthesize import casting, matching
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.synthesize.pitch import LogF0
from stages.transcribe.faster_whisper_engine import WhisperEngine

SPEED = 1.2
SENTENCES = {
    "pt": "Hoje, após dois anos de negociações, alcançamos algo importante. Eu gostaria de agradecer a todos vocês.",
    "fr": "Aujourd'hui, après deux ans de négociations, nous avons réussi quelque chose d'important. Je voudrais vous "
    "remercier tous.",
    "it": "Oggi, dopo due anni di trattative, abbiamo ottenuto qualcosa di importante. Vorrei ringraziare tutti voi.",
}
PACKS = {"pt": "pt-BR"}
DATA = Path(__file__).parents[1] / "stages" / "synthesize"
SEXES = {"f": "female", "m": "male"}
"""Kokoro's names say it: the first letter is the accent, the second this."""


def plain(text: str) -> str:
    """Return lower-case words without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def entry(voice: str, f0: LogF0, cer: dict[str, float]) -> str:
    """Return a voice's table in TOML."""
    rates = ", ".join(f"{language} = {rate:.3f}" for language, rate in cer.items())
    return (
        f'[{voice}]\nsex = "{SEXES[voice[1]]}"\npitch_hz = {np.exp(f0.mean):.1f}\npitch_spread = {f0.std:.3f}\n'
        f"cer = {{ {rates} }}\n"
    )


def write(entries: list[str], embeddings: list[np.ndarray]) -> None:
    """Write what :func:`stages.synthesize.voices.measured` reads."""
    head = "# What was measured of each voice: python -m bench.voices --write\n\n"
    (DATA / "kokoro-voices.toml").write_text(head + "\n".join(entries), encoding="utf-8")
    np.save(DATA / "kokoro-voices.npy", np.array(embeddings, np.float16), allow_pickle=False)


def main(arguments: list[str]) -> None:
    """Measure the voices and print them; write them down if asked."""
    engine, listener = KokoroEngine(), WhisperEngine(models.path("whisper-base"))
    encoder = SpeakerEncoder(models.path("ge2e-speaker-encoder"))
    everyone = sorted(file.name.removesuffix(".bin") for file in models.catalogue()["kokoro-voices"].files)
    chosen = [name for name in arguments if name != "--write"]
    entries, embeddings = [], []
    for voice in chosen or everyone:
        cer = {}
        for language, text in SENTENCES.items():
            ipa = g2p.phonemize(text, load_pack(PACKS.get(language, language)).g2p)
            samples = engine.speak(ipa, voice, SPEED).samples
            heard = listener.recognise(sound.resample(samples, RATE_HZ, sound.SPEECH_RATE_HZ), language)
            cer[language] = jiwer.cer(plain(text), plain(heard))
            if language == "pt":
                f0 = matching.log_f0(matching.analyse(samples).f0_hz)
                embeddings.append(casting.embed_24k(encoder.embed, samples))
        assert f0 is not None
        entries.append(entry(voice, f0, cer))
        print(entries[-1], flush=True)
    if "--write" in arguments and not chosen:
        write(entries, embeddings)


if __name__ == "__main__":
    main(sys.argv[1:])
