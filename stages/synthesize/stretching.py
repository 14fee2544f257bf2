"""The last step to a line's planned length: what a synthesiser reads in whole frames is a little too long.

Most of Kokoro's phones are two or three frames of 25 ms, so its lengths are uneven: one voice needs 2034 ms for a
line at speed 1.32, and 1671 ms at 1.35. FFmpeg's ``atempo`` (WSOLA, Verhelst & Roelands 1993) keeps the pitch.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from stages.artifacts import Phone

if TYPE_CHECKING:
    from stages.synthesize.utterance import Utterance

MOST = 1.1
"""No sound is shortened by more than this factor."""
SLACK_MS = 20
"""A line may be this much longer than planned: half of what the plan keeps between two lines."""


def shortened_to(utterance: Utterance, sounding_ms: int, rate_hz: int) -> Utterance:
    """Return an utterance that sounds no longer than wanted, as far as :data:`MOST` allows."""
    if utterance.sounding_ms <= sounding_ms + SLACK_MS:
        return utterance
    return shortened(utterance, min(utterance.sounding_ms / sounding_ms, MOST), rate_hz)


def shortened(utterance: Utterance, factor: float, rate_hz: int) -> Utterance:
    """Return an utterance shortened by a factor above 1 at the same pitch, its phones' times with it."""
    phones = tuple(
        Phone(ipa=each.ipa, start_ms=round(each.start_ms / factor), end_ms=round(each.end_ms / factor))
        for each in utterance.phones
    )
    return replace(utterance, samples=at_tempo(utterance.samples, factor, rate_hz), phones=phones)


def at_tempo(samples: np.ndarray, factor: float, rate_hz: int) -> np.ndarray:
    """Return float32 samples of the same pitch, shorter by a factor above 1, longer by one below."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=rate_hz, layout="mono", time_base=Fraction(1, rate_hz))
    tempo, sink = graph.add("atempo", f"{factor:.6f}"), graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="flt", layout="mono")
    frame.sample_rate = rate_hz
    graph.push(frame)
    graph.push(None)
    parts = [np.zeros(0, np.float32)]
    while True:
        try:
            parts.append(graph.pull().to_ndarray().ravel().astype(np.float32, copy=False))
        except (av.BlockingIOError, EOFError):
            break
    length = round(len(samples) / factor)
    found = np.concatenate(parts)[:length]
    return np.pad(found, (0, length - len(found)))
