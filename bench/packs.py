"""How long packs take to load, and 10 000 words to become phones.

Usage: python -m bench.packs

Each text repeats a passage until it is long enough. Loading a dictionary is counted.
"""

from __future__ import annotations

import time
from pathlib import Path

from language_packs import G2P, Packs, g2p

WORDS = 10_000
_TALE = Path(__file__).parent / "tale-of-two-cities.txt"
_PASSAGES = {
    "Portuguese": (
        G2P(code="pt-br"),
        "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de consciência, "
        "devem agir uns para com os outros em espírito de fraternidade. ",
        26,
    ),
    "Japanese": (
        G2P(code="ja", segmenter="japanese", numbers="ja"),
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
        "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。",
        52,
    ),
    "Chinese": (
        G2P(code="cmn-latn-pinyin", segmenter="chinese", numbers="zh"),
        "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
        26,
    ),
    "Thai": (
        G2P(engine="g2p2", code="th", segmenter="thai", numbers="th"),
        "มนุษย์ทั้งปวงเกิดมามีอิสระและเสมอภาคกันในศักดิ์ศรีและสิทธิ ต่างในตนมีเหตุผลและมโนธรรม ",
        18,
    ),
    "Yoruba": (
        G2P(engine="epitran", code="yor-Latn"),
        "Gbogbo ènìyàn ni a bí ní òmìnira; iyì àti ẹ̀tọ́ kọ̀ọ̀kan sì dọ́gba. ",
        13,
    ),
}
"""What reads it, a passage, and how many words that has."""


def main() -> None:
    """Print the times of packs, then one row per language: seconds, and phones."""
    start = time.perf_counter()
    Packs().load("pt-BR")
    print(f"one pack     {1000 * (time.perf_counter() - start):5.1f} ms (goal 20)")
    start, packs = time.perf_counter(), Packs()
    for tag in packs.tags:
        packs.load(tag)
    print(f"all {len(packs.tags)} packs {time.perf_counter() - start:4.2f} s (goal 2)")
    tale = _TALE.read_text("utf-8")
    texts = {"English": (G2P(code="en-us"), tale * (WORDS // len(tale.split()) + 1))}
    for name, (how, passage, words) in _PASSAGES.items():
        texts[name] = (how, passage * (WORDS // words + 1))
    for name, (how, text) in texts.items():
        start = time.perf_counter()
        phones = g2p.segments(g2p.phonemize(text, how))
        print(f"{name:12} {time.perf_counter() - start:5.2f} s {len(phones):7} phones")


if __name__ == "__main__":
    main()
