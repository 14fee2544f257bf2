"""From an IPA segment to where the lips, the jaw, the teeth and the visible tongue must be.

Targets follow from phonetic features (height, frontness, rounding, place and manner), so that every segment
of every language gets a viseme; a pack only states what looks different in its language. Dominances say how
strongly a segment holds each articulator against its neighbours (Cohen & Massaro 1993, "Modeling
coarticulation in synthetic visual speech"): sounds made with the tongue alone barely hold the lips, and
take their neighbours'.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from language_packs import PARAMETERS, Contact, Override, Parameter


@dataclass(frozen=True)
class Articulation:
    """Where the mouth must be in one phase of a segment."""

    viseme: str
    """A short label: one of the common 15 (PP FF TH DD kk CH SS nn RR aa E I O U), or our own."""
    contact: Contact
    targets: Mapping[Parameter, float]
    """A value 0-1 for every parameter."""
    dominances: Mapping[Parameter, float]
    """A weight >= 0 for every parameter."""
    is_vowel: bool = False

    @property
    def is_spread(self) -> bool:
        """Whether it is a vowel with drawn corners: rounding for a later sound waits for its end."""
        return self.is_vowel and self.targets["width"] > 0.55

    @property
    def is_rounded(self) -> bool:
        """Whether the lips are pushed forward for it."""
        return self.targets["protrusion"] >= 0.3


_SPLIT: tuple[Parameter, ...] = ("closure", "lip_to_teeth", "teeth_together", "tongue_visible")
"""Parameters that every segment sets or clears: a closure ends with the sound that makes it."""


def _articulation(
    viseme: str,
    targets: Mapping[Parameter, float],
    aperture: float,
    rounding: float,
    width: float,
    jaw: float,
    contact: Contact = "",
    is_vowel: bool = False,
) -> Articulation:
    """Fill in rest values; the four numbers are dominances. What it sets of ``_SPLIT`` it sets firmly."""
    complete: dict[Parameter, float] = {parameter: targets.get(parameter, 0.0) for parameter in PARAMETERS}
    complete["width"] = targets.get("width", 0.5)
    dominances: dict[Parameter, float] = {parameter: 2.0 if targets.get(parameter) else 1.0 for parameter in _SPLIT}
    dominances |= {"jaw": jaw, "aperture": aperture, "width": width}
    dominances |= {"protrusion": rounding, "compression": rounding}
    return Articulation(viseme, contact, complete, dominances, is_vowel)


# --- vowels: (openness, front, rounded); openness from close 0 to open 1 ---

_VOWELS: dict[str, tuple[float, bool, bool]] = {
    symbol: (openness, symbol in "iyɪʏeøɛœæaɶ", symbol in "yʉuʏʊᵿøɵoœɞɔɶɒ")
    for openness, symbols in (
        (0.0, "iyɨʉɯu"),
        (0.2, "ɪʏʊᵻᵿ"),
        (0.35, "eøɘɵɤo"),
        (0.5, "əɚ"),
        (0.65, "ɛœɜɞʌɔɝ"),
        (0.85, "æɐ"),
        (1.0, "aɶɑɒ"),
    )
    for symbol in symbols
}
_VOWEL_LABELS = {"y": "Y", "ʏ": "Y", "ø": "EU", "œ": "OE", "ɶ": "OE"}
"""Front rounded vowels look like neither their back nor their unrounded neighbours (Benoît 1990)."""


def _vowel(symbol: str) -> Articulation:
    openness, is_front, is_rounded = _VOWELS[symbol]
    rounded = float(is_rounded)
    return _articulation(
        _VOWEL_LABELS.get(symbol) or _vowel_label(openness, is_front, is_rounded),
        {
            "jaw": 0.12 + 0.6 * openness,
            "aperture": (0.15 + 0.75 * openness) * (1 - 0.4 * rounded),
            "width": 0.5 + 0.3 * is_front * (1 - openness) - 0.35 * rounded,
            "protrusion": rounded * (0.9 - 0.45 * openness),
        },
        aperture=1.0,
        rounding=1.5 if is_rounded else 1.0,
        width=1.0,
        jaw=1.0,
        is_vowel=True,
    )


def _vowel_label(openness: float, is_front: bool, is_rounded: bool) -> str:
    if is_rounded:
        return "U" if openness < 0.3 else "O"
    if openness > 0.7:
        return "aa"
    if openness < 0.3:
        return "I"
    return "E" if is_front else "ax"


# --- consonants, by what of them is seen ---

_BILABIAL = _articulation("PP", {"jaw": 0.1, "closure": 1.0}, 5.0, 0.7, 0.8, 0.6, contact="closure")
_LABIODENTAL = _articulation(
    "FF", {"jaw": 0.12, "aperture": 0.06, "lip_to_teeth": 1.0}, 3.5, 0.6, 0.8, 0.8, contact="labiodental"
)
_SIBILANT: dict[Parameter, float] = {"jaw": 0.1, "aperture": 0.18, "teeth_together": 0.9}


def _bilabial_fricative(aperture: float) -> Articulation:
    return _articulation("BH", {"jaw": 0.15, "aperture": aperture, "compression": 0.5}, 2.5, 1.0, 0.8, 0.6)


def _sibilant(viseme: str, protrusion: float, width: float, rounding: float) -> Articulation:
    targets: dict[Parameter, float] = {**_SIBILANT, "protrusion": protrusion, "width": width}
    return _articulation(viseme, targets, 1.1, rounding, 1.0, 2.0)


def _glide(viseme: str, protrusion: float, width: float) -> Articulation:
    targets: dict[Parameter, float] = {"jaw": 0.12, "aperture": 0.12, "width": width}
    return _articulation(viseme, {**targets, "protrusion": protrusion}, 1.6, 3.0, 1.6, 1.0)


def _tongue_only(viseme: str, jaw: float, jaw_hold: float, tongue_visible: float = 0.0) -> Articulation:
    """A sound that the lips take no part in. The jaw carries the tongue; the gap between the lips follows it.

    How firmly the jaw is held falls from the tongue's tip to its root (Keating et al. 1994, "Variability in
    jaw height and lip closure").
    """
    targets: dict[Parameter, float] = {"jaw": jaw, "aperture": jaw + 0.1, "tongue_visible": tongue_visible}
    return _articulation(viseme, targets, jaw_hold, 0.05, 0.05, jaw_hold)


_CONSONANTS: dict[str, Articulation] = {
    symbol: articulation
    for symbols, articulation in (
        ("p b m ɓ ʙ ʘ", _BILABIAL),
        ("ɸ", _bilabial_fricative(0.08)),
        ("β", _bilabial_fricative(0.10)),
        ("β̞", _bilabial_fricative(0.18)),
        ("f v ɱ ⱱ", _LABIODENTAL),
        ("ʋ", _articulation("VV", {"jaw": 0.15, "aperture": 0.12, "lip_to_teeth": 0.6}, 2.0, 0.6, 0.8, 0.8)),
        ("w ʍ", _glide("W", 0.9, 0.15)),
        ("ɥ", _glide("YW", 0.85, 0.25)),
        ("s z", _sibilant("SS", 0.0, 0.55, 0.3)),
        ("ʃ ʒ ɧ", _sibilant("CH", 0.5, 0.4, 2.0)),
        ("ʂ ʐ", _sibilant("CH", 0.35, 0.45, 1.5)),
        ("ɕ ʑ", _sibilant("SS", 0.0, 0.6, 1.0)),
        ("ç ʝ", _articulation("SS", {"jaw": 0.15, "aperture": 0.2, "width": 0.6}, 0.9, 1.0, 0.8, 1.0)),
        ("θ ð", _tongue_only("TH", 0.15, 0.9, tongue_visible=1.0)),
        ("l ɫ", _tongue_only("nn", 0.2, 0.7, tongue_visible=0.4)),
        ("t d ʈ ɖ ɗ ǀ ǃ ǂ ǁ", _tongue_only("DD", 0.15, 0.9)),
        ("n ɳ ɬ ɮ ɭ ɺ", _tongue_only("nn", 0.18, 0.8)),
        ("r ɾ ɹ ɻ ɽ ɼ", _tongue_only("RR", 0.18, 0.8)),
        ("j ɲ c ɟ ʎ ʄ", _tongue_only("I", 0.15, 0.7)),
        ("k ɡ g ŋ x ɣ ɰ ɠ ʟ", _tongue_only("kk", 0.25, 0.6)),
        ("q ɢ ɴ χ ʁ ʀ ʛ", _tongue_only("kk", 0.3, 0.4)),
        ("h ɦ ʔ ħ ʕ ʜ ʢ ʡ", _tongue_only("hh", 0.3, 0.15)),
    )
    for symbol in symbols.split()
}  # fmt: skip
SEGMENTS = (*_VOWELS, *_CONSONANTS)
"""All segments whose look is derived from their features; any other takes the look of its nearest one."""
_LEAVES_LIPS_ALONE = _CONSONANTS["h"]
_LABIALISED = "ʷ"

_NOT_SEEN = re.compile(r"[ˈˌːˑ͜͡.\-|‖\s]")
"""Stress, length, ties and breaks: nothing of their own to see."""


def articulations(segment: str, overrides: Mapping[str, Override] = MappingProxyType({})) -> tuple[Articulation, ...]:
    """Return the phases of an IPA segment, in order: one for most sounds, two for ``pf`` or a diphthong.

    Length, stress, nasalisation, aspiration and palatalisation do not change what the lips do; a nasal
    vowel looks like its oral base. A sign that is not in the IPA takes the nearest letter that is; a
    segment is never silence.

    Args:
        segment: one IPA segment with its marks, e.g. ``"tʃ"``, ``"ɐ̃"``, ``"pː"``, ``"aɪ"``.
        overrides: a pack's differences, by segment or by single sound.
    """
    bare = unicodedata.normalize("NFD", _NOT_SEEN.sub("", segment))
    if bare in overrides:
        return (_overridden(bare, overrides),)
    phases = tuple(_sound(base, marks, overrides) for base, marks in _sounds(bare))
    # Of sounds made together or as one (tʃ, k͡p, ts), those that are made with the tongue alone are not seen.
    seen = tuple(phase for phase in phases if not _is_tongue_only(phase))
    return _merged(seen or phases[:1]) or (_LEAVES_LIPS_ALONE,)


def unknown_signs(segment: str, overrides: Mapping[str, Override] = MappingProxyType({})) -> tuple[str, ...]:
    """Return the letters of a segment that neither a pack nor the tables know: they look like their nearest."""
    bare = unicodedata.normalize("NFD", _NOT_SEEN.sub("", segment))
    if bare in overrides:
        return ()
    known = {base + marks: base + marks in overrides or base in overrides for base, marks in _sounds(bare)}
    signs = (sign for sign, is_override in known.items() if not is_override)
    return tuple(
        sign for sign in signs if _derived(unicodedata.normalize("NFC", sign)) is None and not _derived(sign[0])
    )


def _sounds(bare: str) -> list[tuple[str, str]]:
    """Split into (base letter, its combining marks and modifier letters)."""
    sounds: list[tuple[str, str]] = []
    for sign in bare:
        if sounds and (unicodedata.combining(sign) or unicodedata.category(sign) in ("Lm", "Sk")):
            sounds[-1] = (sounds[-1][0], sounds[-1][1] + sign)
        elif unicodedata.category(sign) in ("Ll", "Lu", "Lo"):
            sounds.append((sign, ""))
    return sounds


def _sound(base: str, marks: str, overrides: Mapping[str, Override]) -> Articulation:
    for key in (base + marks, base):
        if key in overrides:
            return _overridden(key, overrides)
    found = _derived(unicodedata.normalize("NFC", base + marks)) or _derived(base + marks) or _nearest(base)
    if _LABIALISED not in marks:
        return found
    targets = {**found.targets, "protrusion": min(1.0, found.targets["protrusion"] + 0.5)}
    return replace(found, targets=targets, dominances={**found.dominances, "protrusion": 2.0})


def _overridden(key: str, overrides: Mapping[str, Override]) -> Articulation:
    change = overrides[key]
    others = {name: override for name, override in overrides.items() if name != key}
    base = articulations(change.like or key, others)[0]
    return replace(
        base,
        viseme=change.viseme or base.viseme,
        contact=base.contact if change.contact is None else change.contact,
        targets={**base.targets, **change.targets},
        dominances={**base.dominances, **change.dominances},
    )


@cache
def _derived(symbol: str) -> Articulation | None:
    if symbol in _CONSONANTS:
        return _CONSONANTS[symbol]
    return _vowel(symbol) if symbol in _VOWELS else None


_SAME_SOUND = {
    "ʣ": "z", "ʤ": "ʒ", "ʥ": "ʑ", "ʦ": "s", "ʧ": "ʃ", "ʨ": "ɕ", "ꭧ": "ʂ", "ꭦ": "ʐ", "ʩ": "ŋ", "ʪ": "s", "ʫ": "z",
    "ȶ": "c", "ȡ": "ɟ", "ȵ": "ɲ", "ȴ": "ʎ", "ᶑ": "ɗ", "ꞎ": "ʂ", "ꞷ": "ʊ", "ɷ": "ʊ", "ɩ": "ɪ", "ʆ": "ʃ", "ʓ": "ʒ",
    "ɿ": "ɨ", "ʅ": "ɨ", "ʮ": "y", "ʯ": "y", "ʇ": "ǀ", "ʗ": "ǃ", "ʖ": "ǁ", "ƛ": "l", "ƞ": "n", "ᴀ": "a", "ᴇ": "e",
    "ε": "ɛ", "ʚ": "œ", "ɼ": "r", "ƥ": "ɓ", "ƭ": "ɗ", "ƈ": "ʄ", "ƙ": "ɠ", "ʠ": "ʛ", "λ": "l", "φ": "ɸ",
}  # fmt: skip
"""Ligatures, withdrawn and sinologists' letters -> the letter of today's IPA that the mouth shows."""


@cache
def _nearest(base: str) -> Articulation:
    """Return the look of a sign outside the tables: of the same sound's letter, else of the one its name is built on.

    Every single letter of panphon 0.22's feature table is in the tables, so distances in features would add nothing.
    """
    known = _derived(_SAME_SOUND.get(base, base))
    if known is not None:
        return known
    name = unicodedata.name(base, "")
    letter = re.search(r"LETTER (?:SMALL )?(?:CAPITAL )?(?:TURNED |REVERSED |DOTLESS )?([A-Z])\b", name)
    return (letter and _derived(letter[1].lower())) or _vowel("ə")


def _is_tongue_only(phase: Articulation) -> bool:
    holds_lips = max(phase.dominances["protrusion"], phase.dominances["width"]) > 0.1
    return not (phase.is_vowel or holds_lips or phase.viseme == "TH")


def _merged(phases: tuple[Articulation, ...]) -> tuple[Articulation, ...]:
    return tuple(phase for number, phase in enumerate(phases) if number == 0 or phase != phases[number - 1])
