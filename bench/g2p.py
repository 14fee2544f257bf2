"""How long 10 000 words take to become phones, per language.

Usage: python -m bench.g2p

Each repeats a passage until it is long enough. Loading a dictionary is counted.
"""

from __future__ import annotations

import time
from pathlib import Path

from language_packs import G2P, g2p

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
    """Print one row per language: seconds, and phones."""
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
