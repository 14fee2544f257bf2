"""How high each voice speaks, and how well it is understood at several speeds, unmatched: in Brazilian Portuguese.

Usage: python bench/voices.py [VOICE ...]
"""

from __future__ import annotations

import re
import sys

import jiwer
import numpy as np
from faster_whisper import WhisperModel

from language_packs import G2P, g2p
from stages import models, sound
from stages.synthesize import ENGINES, matching
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine

SPEEDS = (1.0, 1.2, 1.35)
PORTUGUESE = G2P(code="pt-br")
SENTENCES = (
    "Membros do Congresso estão em Washington para a segunda semana de orientação dos novos membros.",
    "Além de aprender onde as coisas estão e como usar os túneis, conhecemos muitas pessoas.",
    "Hoje, após dois anos de negociações, os Estados Unidos alcançaram algo importante com nossos parceiros "
    "internacionais.",
    "Eu gostaria de agradecer a todos que ajudaram a construir esta escola para as crianças da nossa cidade.",
)


def plain(text: str) -> str:
    """Return lower-case words without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def main(voices: list[str]) -> None:
    """Print one row per voice: F0, and mean CER at each speed."""
    engine = KokoroEngine()
    listener = WhisperModel(str(models.path("whisper-base")), device="cpu", compute_type="int8", cpu_threads=2)
    for voice in voices or ENGINES["kokoro"].voices:
        read = np.concatenate([engine.speak(g2p.phonemize(text, PORTUGUESE), voice).samples for text in SENTENCES])
        f0 = matching.log_f0(matching.analyse(read).f0_hz)
        assert f0 is not None
        row = [f"F0 {np.exp(f0.mean):.0f} Hz, spread {f0.std:.2f}; CER at"]
        for speed in SPEEDS:
            errors = []
            for text in SENTENCES:
                samples = engine.speak(g2p.phonemize(text, PORTUGUESE), voice, speed).samples
                heard, _ = listener.transcribe(
                    sound.resample(samples, RATE_HZ, sound.SPEECH_RATE_HZ), language="pt", beam_size=5
                )
                errors.append(jiwer.cer(plain(text), plain(" ".join(part.text for part in heard))))
            row.append(f"{speed}: {np.mean(errors):.3f}")
        print(voice, *row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
