"""The last tenth of a hurry: the synthesiser blurs what it reads very fast, so its sound is shortened instead.

FFmpeg's ``atempo`` (WSOLA, Verhelst & Roelands 1993) keeps the pitch. Two voices were understood better so than by the
synthesiser at the same length; others are clear either way (docs/timing.md).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from stages.artifacts import Phone
from stages.synthesize.pitch import Change

if TYPE_CHECKING:
    from stages.synthesize import Synthesizer
    from stages.synthesize.utterance import Utterance

CLEAR_SPEED = 1.22
"""Above it the sound is shortened first ..."""
MOST = 1.1
"""... by at most this factor; the rest is the synthesiser's."""


def speak(engine: Synthesizer, ipa: str, voice: str, speed: float, pitch: Change) -> Utterance:
    """Return ``ipa`` spoken as long as the engine would make it at a speed, but no more blurred than needed."""
    if speed <= CLEAR_SPEED:
        return engine.speak(ipa, voice, speed, pitch)
    slower = engine.speak(ipa, voice, max(CLEAR_SPEED, speed / MOST), pitch)
    wanted_ms = engine.durations(ipa, voice, speed).total_ms
    factor = len(slower.samples) * 1000 / engine.rate_hz / max(wanted_ms, 1)
    return shortened(slower, min(factor, MOST), engine.rate_hz) if factor > 1 else slower


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
