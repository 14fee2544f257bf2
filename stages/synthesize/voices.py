"""The voices of a synthesiser: what was measured of each, and blends of several.

A Kokoro voice is a table of style vectors; between two of them lie others, which speak as well. A blend is written
``af_river*0.5+bf_emma*0.5``: the weights add up to 1.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from stages.synthesize.pitch import LogF0

_PLACE = Path(__file__).parent
_BY, _AND = "*", "+"


@dataclass(frozen=True, eq=False)
class Voice:
    """One voice of a synthesiser, as ``python -m bench.voices`` measured it."""

    sex: Literal["female", "male"]
    f0: LogF0
    """Of its own pitch."""
    cer: Mapping[str, float]
    """Primary language subtag -> character error rate of back-transcription at speed 1.2: hurry blurs some voices."""
    embedding: np.ndarray
    """float32 (256,): speaker embedding of what it read, at its own pitch; a unit vector."""

    def cer_in(self, language: str) -> float:
        """Return its error rate in a language, given its primary subtag; the mean where that was not measured."""
        return self.cer.get(language, self.mean_cer)

    @property
    def mean_cer(self) -> float:
        """Its error rate in all languages that were measured."""
        return sum(self.cer.values()) / len(self.cer)


@lru_cache
def measured(engine: str) -> Mapping[str, Voice]:
    """Return the voices of an engine, from ``<engine>-voices.toml`` and ``<engine>-voices.npy`` beside this file.

    The second is float16 (voices, 256), in the order of the first.
    """
    entries = tomllib.loads((_PLACE / f"{engine}-voices.toml").read_text(encoding="utf-8"))
    embeddings = np.load(_PLACE / f"{engine}-voices.npy").astype(np.float32)
    return {
        name: Voice(
            entry["sex"],
            LogF0(float(np.log(entry["pitch_hz"])), entry["pitch_spread"]),
            entry["cer"],
            embedding / np.linalg.norm(embedding),
        )
        for (name, entry), embedding in zip(entries.items(), embeddings, strict=True)
    }


def clear(voices: Mapping[str, Voice], language: str, margin: float) -> dict[str, Voice]:
    """Return the voices, clearest first, whose error rate in a language is within a margin of their sex's best."""
    best = {
        sex: min(voice.cer_in(language) for voice in voices.values() if voice.sex == sex)
        for sex in {voice.sex for voice in voices.values()}
    }
    kept = (name for name, voice in voices.items() if voice.cer_in(language) <= best[voice.sex] + margin)
    # Two sentences say little: between voices without a fault in them, those in other languages decide.
    order = sorted(kept, key=lambda name: (voices[name].cer_in(language), voices[name].mean_cer))
    return {name: voices[name] for name in order}


def blend(names: Iterable[str]) -> str:
    """Return how an equal blend of voices is written; one voice is its own."""
    parts = sorted(names)
    return _AND.join(f"{name}{_BY}{1 / len(parts):.4f}" for name in parts) if len(parts) > 1 else parts[0]


def blended_f0(voices: Mapping[str, Voice], voice: str) -> LogF0:
    """Return the ln F0 to be expected of a voice or blend."""
    parts = [(voices[name].f0, share) for name, share in shares(voice).items()]
    return LogF0(sum(f0.mean * share for f0, share in parts), sum(f0.std * share for f0, share in parts))


def shares(voice: str) -> dict[str, float]:
    """Return the voices that a voice or blend is made of, with weights that add up to 1."""
    weights = {}
    for part in voice.split(_AND):
        name, _, weight = part.partition(_BY)
        weights[name] = float(weight or 1)
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
