"""Lines that are too long to be spoken at once: cut where one would breathe, and joined when they are spoken."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stages.synthesize import matching

_ENDS = (
    re.compile(r"[.!?…。！？।۔؟]+[\"'”’»)\]」』]*\s*"),
    re.compile(r"[,;:—–、，；：،؛]+[\"'”’»)\]」』]*\s*"),
    re.compile(r"\s+"),
)
"""Where a text may be cut, best first: after a sentence, after a phrase, between words."""
_WITHIN_WORD = re.compile(r"(?<=\w)[.,:](?=\w)")
"""Of a number or an abbreviation; ideographic scripts have stops of their own."""
_EDGE_SHARE = 0.25
"""No cut this near to either end: few words alone are spoken less surely."""
MARGIN_MS = 40
"""What a piece keeps of its own sound before its first and after its last phone."""
_FADE_MS = 10


def pieces(text: str, fits: Callable[[str], bool]) -> tuple[str, ...]:
    """Return a text cut into pieces that fit, as few and as equal as its sentences, phrases and words allow.

    Args:
        text: nothing of it is lost but the spaces at the cuts.
        fits: whether a piece is short enough.
    """
    text = text.strip()
    if fits(text) or len(text) < 2:
        return (text,)
    place = _cut(text)
    return *pieces(text[:place], fits), *pieces(text[place:], fits)


def _cut(text: str) -> int:
    """Return the index of the best place nearest to the middle; the middle where nothing tells words apart."""
    middle = len(text) / 2
    inside = [match.end() for match in _WITHIN_WORD.finditer(text)]
    for end in _ENDS:
        places = [match.end() for match in end.finditer(text) if match.end() not in inside]
        central = [place for place in places if abs(place - middle) <= (0.5 - _EDGE_SHARE) * len(text)]
        if central:
            return min(central, key=lambda place: abs(place - middle))
    return round(middle)


@dataclass(frozen=True, eq=False)
class Piece:
    """What is heard of a piece, as times of its own sound at speed 1."""

    at: Callable[[float], np.ndarray]
    """The samples at a speed, float32 (n,) at 24 kHz."""
    first_ms: int
    last_ms: int
    pause_ms: int
    """Silence after it."""


@dataclass(frozen=True, eq=False)
class Joined:
    """Pieces one after another (:class:`stages.synthesize.cloning.Take`)."""

    parts: tuple[Piece, ...]

    def at(self, speed: float) -> np.ndarray:
        """Return float32 (n,) samples at 24 kHz: every piece as long as its times at the speed say."""
        return np.concatenate([_heard(part, speed) for part in self.parts])


def _heard(part: Piece, speed: float) -> np.ndarray:
    per_ms = matching.RATE_HZ / 1000 / speed
    first, last = round(part.first_ms * per_ms), round(part.last_ms * per_ms)
    whole = part.at(speed)
    lacking = max(0, last - len(whole))  # a sound at another speed is as long as whole frames allow
    heard = np.pad(whole, (0, lacking))[first:last].astype(np.float32)
    fade = min(len(heard) // 2, _FADE_MS * matching.RATE_HZ // 1000)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    heard[:fade] *= ramp
    heard[len(heard) - fade :] *= ramp[::-1]
    return np.pad(heard, (0, round(part.pause_ms * per_ms)))
