"""Whether a hurried line is better understood where the last tenth is stretching: CER at 1.35, and at 1.22 and 1.1.

Usage: python -m bench.stretching

The clearest female and the clearest male voice read the Portuguese of ``bench.voices`` at speed 1.35, or at 1.22 with
the sound shortened by FFmpeg's ``atempo`` (WSOLA: the waveform is overlapped where it is alike) to the length that the
other has.
"""

from __future__ import annotations

import re

import jiwer
import numpy as np
from faster_whisper import WhisperModel

from bench.voices import SENTENCES, plain
from language_packs import g2p, load_pack
from stages import models, sound
from stages.synthesize import castable
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.synthesize.stretching import CLEAR_SPEED, shortened

FASTEST = 1.35


def main() -> None:
    """Print one row per voice: the mean CER of the sentences by either means."""
    engine = KokoroEngine()
    listener = WhisperModel(str(models.path("whisper-base")), device="cpu", compute_type="int8", cpu_threads=2)

    def cer(samples: np.ndarray, text: str) -> float:
        heard, _ = listener.transcribe(
            sound.resample(samples, RATE_HZ, sound.SPEECH_RATE_HZ), language="pt", beam_size=5
        )
        return jiwer.cer(plain(text), plain(" ".join(part.text for part in heard)))

    pack = load_pack("pt-BR")
    clear = castable("kokoro", pack.tag)
    for sex in ("female", "male"):
        voice = next(name for name, each in clear.items() if each.sex == sex)
        rows = []
        for text in re.split(r"(?<=\.) ", SENTENCES["pt"]):
            ipa = g2p.phonemize(text, pack.g2p)
            fast, slower = (engine.speak(ipa, voice, speed) for speed in (FASTEST, CLEAR_SPEED))
            rows.append(
                (
                    cer(fast.samples, text),
                    cer(shortened(slower, len(slower.samples) / len(fast.samples), RATE_HZ).samples, text),
                    cer(slower.samples, text),
                )
            )
        fast_cer, stretched_cer, slower_cer = np.mean(rows, axis=0)
        print(
            f"{voice}: {FASTEST} {fast_cer:.3f}; {CLEAR_SPEED}, then shortened as much {stretched_cer:.3f}; "
            f"{CLEAR_SPEED} alone {slower_cer:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
