"""Voice matching: a synthetic voice made to resemble a speaker, with a filter that changes every 5 ms.

Not cloning: vocal-tract length (a warp of the spectral envelope's frequency axis) and the long-term spectrum are
brought to the speaker's here, pitch in the synthesiser itself (:mod:`.pitch`); everything else stays the synthesiser's.
The envelopes are WORLD's (Morise et al. 2016, "WORLD: a vocoder-based high-quality speech synthesis system"); nothing
is resynthesised, so neither length nor timing changes by a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyworld
import scipy.ndimage
import scipy.signal

from stages.synthesize.pitch import LogF0, Pitch, towards

RATE_HZ = 24_000
FRAME_MS = 5.0
F0_RANGE_HZ = (60.0, 500.0)
BINS = 513
"""Of a WORLD envelope at 24 kHz."""

_FRAME_SAMPLES = int(RATE_HZ * FRAME_MS / 1000)
_STFT_SAMPLES = 1024
_SMOOTHING_BINS = 4.0
"""Of the long-term spectrum: about 100 Hz, so that no single harmonic or room mode is copied."""
_CORRECTION_NEPERS = 1.4
"""12 dB: more would lift noise where the recording or the voice has nothing."""
_CHANGE_NEPERS = 3.0
"""26 dB: what a warp and a correction may do to one bin of a frame."""


@dataclass(frozen=True)
class Trait:
    """What of a speaker is copied."""

    f0: LogF0
    spectrum: np.ndarray
    """As :func:`long_term_spectrum` gives it."""


@dataclass(frozen=True)
class Analysis:
    """A sound at 24 kHz and, every 5 ms, its F0 (0 where unvoiced) and power envelope."""

    samples: np.ndarray
    f0_hz: np.ndarray
    envelope: np.ndarray

    @property
    def is_voiced(self) -> np.ndarray:
        """Bool (frames,)."""
        return self.f0_hz > 0


@dataclass(frozen=True)
class Matching:
    """How a voice is turned towards a speaker."""

    warp: float
    """What was at f comes to warp * f."""
    source_f0: LogF0
    target_f0: LogF0
    correction: np.ndarray
    """float64 (513,): nepers added to the warped envelope's log amplitude."""

    @property
    def pitch(self) -> Pitch:
        """The change of pitch that the synthesiser makes."""
        return towards(self.source_f0, self.target_f0)


def as_it_is(f0: LogF0) -> Matching:
    """Return the matching that leaves a voice with this ln F0 alone."""
    return Matching(1.0, f0, f0, np.zeros(BINS))


def analyse(samples: np.ndarray) -> Analysis:
    """Analyse float (n,) samples of a synthetic voice at 24 kHz."""
    wave = np.ascontiguousarray(samples, np.float64)
    f0_hz, times = clean_f0(wave)
    return Analysis(np.asarray(samples), f0_hz, pyworld.cheaptrick(wave, f0_hz, times, RATE_HZ))


def clean_f0(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return F0 in Hz (0: unvoiced) and its times in s, every 5 ms, of float64 (n,) samples of a synthetic voice.

    By DIO and StoneMask: on sound this clean as good as Harvest, and twenty times faster.
    """
    floor, ceiling = F0_RANGE_HZ
    rough_hz, times = pyworld.dio(samples, RATE_HZ, f0_floor=floor, f0_ceil=ceiling, frame_period=FRAME_MS)
    return pyworld.stonemask(samples, rough_hz, times, RATE_HZ), times


def measure(samples: np.ndarray) -> Trait | None:
    """Measure float (n,) samples of a speaker at 24 kHz; None where hardly anything is voiced.

    F0 by Harvest: on a compressed recording DIO's octave errors moved the mean by 15 %.
    """
    wave = np.ascontiguousarray(samples, np.float64)
    floor, ceiling = F0_RANGE_HZ
    f0_hz, times = pyworld.harvest(wave, RATE_HZ, f0_floor=floor, f0_ceil=ceiling, frame_period=FRAME_MS)
    f0 = log_f0(f0_hz)
    if f0 is None:
        return None
    return Trait(f0, _mean_spectrum(pyworld.cheaptrick(wave, f0_hz, times, RATE_HZ)[f0_hz > 0], 1.0))


def log_f0(f0_hz: np.ndarray) -> LogF0 | None:
    """Return the ln F0 of float (frames,) Hz, 0 where unvoiced, without the outer 2 % (octave errors, creak).

    None where hardly anything is voiced.
    """
    voiced = np.log(f0_hz[f0_hz > 0])
    if len(voiced) < 40:
        return None
    low, high = np.percentile(voiced, [2, 98])
    kept = voiced[(voiced >= low) & (voiced <= high)]
    return LogF0(float(kept.mean()), float(kept.std()))


def long_term_spectrum(analysis: Analysis, warp: float = 1.0) -> np.ndarray:
    """Return float64 (513,): log amplitude (nepers) of the mean power of voiced frames, after a warp."""
    return _mean_spectrum(analysis.envelope[analysis.is_voiced], warp)


def _mean_spectrum(envelopes: np.ndarray, warp: float) -> np.ndarray:
    return warp_frequency(0.5 * np.log(envelopes.mean(axis=0, keepdims=True)), warp)[0]


def correction(speaker: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """Return what the voice's long-term spectrum lacks of the speaker's, smoothed and bounded, in nepers.

    The level is left out: only the shape counts, centred on 100 Hz to 5 kHz.
    """
    difference = scipy.ndimage.gaussian_filter1d(speaker - voice, _SMOOTHING_BINS, mode="nearest")
    first, last = (round(edge_hz / RATE_HZ * 2 * (BINS - 1)) for edge_hz in (100, 5000))
    centred = difference - difference[first:last].mean()
    return np.clip(centred, -_CORRECTION_NEPERS, _CORRECTION_NEPERS)


def warp_frequency(log_envelope: np.ndarray, warp: float) -> np.ndarray:
    """Move the content of float (frames, bins) along frequency: what was at f comes to warp * f."""
    if warp == 1.0:
        return log_envelope
    places = np.minimum(np.arange(log_envelope.shape[1]) / warp, log_envelope.shape[1] - 1)
    below = np.minimum(places.astype(int), log_envelope.shape[1] - 2)
    share = places - below
    return log_envelope[:, below] * (1 - share) + log_envelope[:, below + 1] * share


def match(samples: np.ndarray, matching: Matching) -> np.ndarray:
    """Return float32 (n,) samples at 24 kHz, matched: as many as were given, and in time with them.

    They are at the speaker's pitch already.
    """
    if matching.warp != 1.0:
        return convert(analyse(samples), matching)
    return _filtered(samples, matching.correction[None]) if matching.correction.any() else samples


def convert(analysis: Analysis, matching: Matching) -> np.ndarray:
    """Return float32 (n,) samples, as many as were analysed, filtered from their envelope to the matched one."""
    if matching.warp == 1.0:
        return _filtered(analysis.samples, matching.correction[None])
    log_envelope = 0.5 * np.log(analysis.envelope)
    change = warp_frequency(log_envelope, matching.warp) + matching.correction - log_envelope
    return _filtered(analysis.samples, np.clip(change, -_CHANGE_NEPERS, _CHANGE_NEPERS))


def _filtered(samples: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Apply (frames, 513) nepers, a frame every 5 ms, to the samples' short-time spectrum; the last one holds on."""
    transform = scipy.signal.ShortTimeFFT(
        scipy.signal.windows.hann(4 * _FRAME_SAMPLES, sym=False), _FRAME_SAMPLES, RATE_HZ, mfft=_STFT_SAMPLES
    )
    spectrum = transform.stft(samples.astype(np.float64))
    frames = np.clip(np.arange(spectrum.shape[1]) + transform.p_min, 0, len(change) - 1)
    return transform.istft(spectrum * np.exp(change[frames].T), k1=len(samples)).astype(np.float32)
