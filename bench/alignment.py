"""How well phone times are found by aligning with espeak-ng: on Kokoro's speech, whose phone times are known.

Usage: python -m bench.alignment [TAG ...]

Article 1 of the Universal Declaration of Human Rights, sentence by sentence, by one woman's and one man's voice a
language. Kokoro's own times are whole frames of 25 ms, half of them within 10 ms of the sound
(``stages/synthesize/kokoro.py``): an error below that means nothing. "Even" is what one gets without any alignment:
espeak-ng's times stretched to the sound's length.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np

from language_packs import g2p, load_pack
from stages.artifacts import Phone
from stages.synthesize import castable
from stages.synthesize.alignment import aligned
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.synthesize.rendering import Rendering, phones_of, render

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "udhr_article1.json"
TAGS = ("en", "es", "pt-BR", "fr", "de", "it", "pl", "tr", "ru", "nl")


def main(tags: tuple[str, ...]) -> None:
    """Print one row per language, and one for all."""
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    engine = KokoroEngine()
    rows: list[np.ndarray] = []
    spent_s = spoken_s = 0.0
    for tag in tags:
        how = load_pack(tag).g2p
        text = next(texts[name] for name in (tag, tag.split("-")[0], f"{tag}-1996") if name in texts)
        errors = []
        for voice in _one_of_each_sex(tag):
            for sentence in re.findall(r"[^.!?]+[.!?]?", text):
                ipa = g2p.phonemize(sentence.strip(), how)
                spoken = engine.speak(ipa, voice)
                rendering = render(sentence.strip(), ipa, how)
                if tuple(phone.ipa for phone in spoken.phones) != tuple(phones_of(ipa)):
                    continue  # a phone that Kokoro has no symbol for
                started = time.perf_counter()
                found = aligned(spoken.samples, RATE_HZ, rendering)
                spent_s += time.perf_counter() - started
                spoken_s += len(spoken.samples) / RATE_HZ
                errors.append(
                    np.stack([_errors(found, spoken.phones), _errors(_even(rendering, spoken.phones), spoken.phones)])
                )
        rows.append(np.hstack(errors))
        _print(tag, rows[-1])
    _print("all", np.hstack(rows))
    print(f"{spent_s / spoken_s:.3f} s of work per second of speech")


def _one_of_each_sex(tag: str) -> list[str]:
    voices = castable("kokoro", tag)
    return [next(name for name, voice in voices.items() if voice.sex == sex) for sex in ("female", "male")]


def _errors(found: tuple[Phone, ...], right: tuple[Phone, ...]) -> np.ndarray:
    """Return onset errors in ms, the first phone's left out: it is where the sound begins."""
    return np.array([mine.start_ms - true.start_ms for mine, true in zip(found, right, strict=True)])


def _even(rendering: Rendering, right: tuple[Phone, ...]) -> tuple[Phone, ...]:
    first, last = rendering.phones[0].start_ms, rendering.phones[-1].end_ms
    begin, end = right[0].start_ms, right[-1].end_ms

    def moved(time_ms: int) -> int:
        return round(begin + (time_ms - first) * (end - begin) / (last - first))

    return tuple(
        Phone(ipa=phone.ipa, start_ms=moved(phone.start_ms), end_ms=moved(phone.end_ms)) for phone in rendering.phones
    )


def _print(name: str, errors: np.ndarray) -> None:
    mine, even = errors
    size, plain = np.abs(mine), np.abs(even)
    print(
        f"{name:6} {mine.size:5} onsets: median {np.median(size):3.0f} ms, mean {size.mean():3.0f}, "
        f"95 % within {np.percentile(size, 95):3.0f}, bias {np.median(mine):+3.0f}; "
        f"even: median {np.median(plain):3.0f}, mean {plain.mean():3.0f}, 95 % {np.percentile(plain, 95):3.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or TAGS)
