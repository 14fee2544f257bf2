"""Where Kokoro's phrases begin and end, heard against predicted: python -m bench.phrases [--voices 12]

Voices and blends of up to four, drawn by a fixed seed, say lines of five languages at three speeds. An edge is heard at
the first or last 5 ms within 42 dB of the line's loudest, looked for up to 150 ms from the predicted one; where all of
that is loud (a voice with noise in it, a pause that is none) nothing can be heard, and the edge is not counted.
"""

from __future__ import annotations

import argparse

import numpy as np

from language_packs import load_pack
from stages.reading import read_line
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.synthesize.voices import blend, measured

LINES = {
    "pt-BR": (
        "Bom dia.",
        "Senhor Presidente, obrigado por terem vindo.",
        "Foi o melhor dos tempos, foi o pior dos tempos.",
    ),
    "de": ("Können Sie mir helfen, Frau Schmidt?",),
    "es": ("Señor, ¿qué quieres hacer?",),
    "it": ("Tutto a posto, grazie.",),
    "fr": ("Bonjour, comment allez-vous?",),
}
SPEEDS = (0.85, 1.0, 1.25)
HOP_MS = 5
HEARD_DB = -42.0
SEARCH_MS = 150
SEED = 3


def main() -> None:
    """Print the errors of phrases' beginnings and ends at each speed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--voices", type=int, default=12)
    voices = _drawn(parser.parse_args().voices)
    engine = KokoroEngine()
    print("heard - predicted, ms      | edges  not heard | median | 5 % .. 95 %   | within 40 ms")
    for speed in SPEEDS:
        errors_ms: dict[str, list[int | None]] = {"beginnings": [], "ends": []}
        for language, lines in LINES.items():
            for line in lines:
                ipa = read_line(line, load_pack(language).g2p, language, "the line")
                for voice in voices:
                    _measure(engine, ipa, voice, speed, errors_ms)
        for kind, found in errors_ms.items():
            heard = np.array([error for error in found if error is not None])
            low, high = np.percentile(heard, [5, 95])
            print(
                f"speed {speed:4.2f}, {kind:10s}     | {len(found):5d}  {len(found) - len(heard):9d} | "
                f"{np.median(heard):6.1f} | {low:5.0f} .. {high:5.0f} | {np.mean(np.abs(heard) <= 40):.3f}"
            )


def _drawn(count: int) -> list[str]:
    drawing = np.random.default_rng(SEED)
    names = sorted(measured("kokoro"))
    singles = [str(name) for name in drawing.choice(names, 2 * count // 3, replace=False)]
    sizes = [2 + index % 3 for index in range(count - len(singles))]
    return [*singles, *(blend(drawing.choice(names, size, replace=False).tolist()) for size in sizes)]


def _measure(engine: KokoroEngine, ipa: str, voice: str, speed: float, errors_ms: dict[str, list[int | None]]) -> None:
    utterance = engine.speak(ipa, voice, speed)
    length = engine.durations(ipa, voice, speed)
    is_loud = _is_loud(utterance.samples)
    begins = [length.lead_ms, *(length.lead_ms + end.next_ms for end in length.phrase_ends)]
    ends = [*(length.lead_ms + end.end_ms for end in length.phrase_ends), length.lead_ms + length.sounding_ms]
    total_ms = length.total_ms
    for index, (begin_ms, end_ms) in enumerate(zip(begins, ends, strict=True)):
        after_ms = (end_ms + begins[index + 1]) // 2 if index + 1 < len(begins) else total_ms
        before_ms = (ends[index - 1] + begin_ms) // 2 if index else 0
        first, _ = _heard(is_loud, max(before_ms, begin_ms - SEARCH_MS), min(begin_ms + SEARCH_MS, end_ms))
        _, last = _heard(is_loud, max(end_ms - SEARCH_MS, begin_ms), min(end_ms + SEARCH_MS, after_ms))
        errors_ms["beginnings"].append(None if first is None else first - begin_ms)
        errors_ms["ends"].append(None if last is None else last - end_ms)


def _heard(is_loud: np.ndarray, begin_ms: int, end_ms: int) -> tuple[int | None, int | None]:
    """Return when sound begins and ends between two times; None where it goes on beyond that time."""
    begin, end = begin_ms // HOP_MS, end_ms // HOP_MS
    loud = begin + np.flatnonzero(is_loud[begin:end])
    if not len(loud):
        return None, None
    first = None if loud[0] == begin else int(loud[0]) * HOP_MS
    return first, None if loud[-1] == end - 1 else (int(loud[-1]) + 1) * HOP_MS


def _is_loud(samples: np.ndarray) -> np.ndarray:
    hop = RATE_HZ * HOP_MS // 1000
    power = (samples[: len(samples) // hop * hop].reshape(-1, hop).astype(np.float64) ** 2).mean(axis=1)
    return 10 * np.log10((power + 1e-12) / (power.max() + 1e-12)) > HEARD_DB


if __name__ == "__main__":
    main()
