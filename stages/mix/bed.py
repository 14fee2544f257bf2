"""What the dub is laid over: the source's own sound, without the original voice where it was dubbed.

A separator leaves part of the voice in the background: what it took for noise, and the room's answer. That part is a
filtered copy of the voice, so what of the background is a linear prediction from the voice is taken out as well:
least squares in every frequency band over a few frames, as an echo canceller removes a known far end. Music does not
follow from the voice and stays. Everywhere else the bed is the source, sample for sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from stages.sound import SAMPLE_RATE_HZ

_WINDOW_SAMPLES = 4096
_HOP_SAMPLES = 1024
_FRAMES_AHEAD = 1
_FRAMES_BEHIND = 8
"""The room's answer is followed for 170 ms; longer filters took no more of the voice away."""
_LOADING = 1e-3
"""Share of the voice's power that is added to the diagonal: a band without voice predicts nothing."""
_SILENCE = 1e-12
_LEAST_SHARE = 0.6
"""Of the background's amplitude: with less, up to .3 dB more of the music went; with more, less of the voice."""
_SECTION_SAMPLES = 10 * SAMPLE_RATE_HZ
"""The filters may change from section to section, since people and cameras move; two overlap everywhere."""
_FADE_OUT = 2
"""The voice returns this much more slowly than it goes."""
_FULL_SCALE = 32768

Spans = Sequence[tuple[int, int]]


def write_bed(mix: Path, background: Path, spans_ms: Spans, fade_ms: int, target: Path) -> None:
    """Write ``mix`` without its voice in the spans; 48 kHz stereo 16 bit, as long as ``mix``.

    Args:
        mix: 48 kHz stereo 16 bit.
        background: the same without its voice, as long; the difference of the two is the voice of each channel.
        spans_ms: (start, end) in ms, in order, apart from each other. The voice is gone from start to end.
        fade_ms: raised-cosine fade before a span; after it the fade is twice as long.
        target: file to write.
    """
    spans = [(_samples(start_ms), _samples(end_ms)) for start_ms, end_ms in spans_ms]
    fade = _samples(fade_ms)
    halves = scipy.signal.get_window("hann", 2 * _SECTION_SAMPLES)  # periodic: two halves add up to one
    carried = np.zeros((_SECTION_SAMPLES, 2))
    with soundfile.SoundFile(target, "w", SAMPLE_RATE_HZ, 2, subtype="PCM_16") as out:
        for begin, heard, rest in _sections(mix, background):
            share = removed_share(np.arange(begin, begin + len(heard)), spans, fade)[:, None]
            found = np.zeros_like(heard)
            if share.any():
                weight = halves[: len(heard)].copy()
                weight[: _SECTION_SAMPLES if begin == 0 else 0] = 1.0
                found = residue(rest, heard - rest) * weight[:, None]
            now = slice(0, min(_SECTION_SAMPLES, len(heard)))
            voice = heard[now] - rest[now] + found[now] + carried[now]
            steps = np.rint((heard[now] - share[now] * voice) * _FULL_SCALE)
            out.write(np.clip(steps, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16))
            carried = np.zeros_like(carried)
            carried[: len(heard) - now.stop] = found[now.stop :]


def residue(background: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """Return what of the background follows from the voice: float (n, channels), each channel from its own voice."""
    channels = [_predicted(background[:, each], voice[:, each]) for each in range(background.shape[1])]
    return np.stack(channels, axis=1)


def _predicted(background: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """Return the least-squares prediction of (n,) from (n,): per band a filter over frames (Wiener-Hopf)."""
    if not voice.any() or not background.any():
        return np.zeros_like(background)
    frames = {"nperseg": _WINDOW_SAMPLES, "noverlap": _WINDOW_SAMPLES - _HOP_SAMPLES}
    _, _, target = scipy.signal.stft(background, **frames)
    _, _, source = scipy.signal.stft(voice, **frames)
    # Where the voice is much weaker, it is mostly music that was taken for voice: music would predict music.
    source = np.where(np.abs(source) > _LEAST_SHARE * np.abs(target), source, 0)
    taps = _FRAMES_AHEAD + _FRAMES_BEHIND
    source = np.pad(source, ((0, 0), (taps, taps)))
    target = np.pad(target, ((0, 0), (taps, taps)))
    delays = range(-_FRAMES_AHEAD, _FRAMES_BEHIND)
    own = np.stack([_correlation(source, source, delay) for delay in range(taps)], axis=1)
    cross = np.stack([_correlation(target, source, delay) for delay in delays], axis=1)
    rows, columns = np.indices((taps, taps))
    normal = np.where(rows >= columns, own[:, np.abs(rows - columns)], own[:, np.abs(rows - columns)].conj())
    loading = _LOADING * own[:, 0].real + _SILENCE
    filters = np.linalg.solve(normal + loading[:, None, None] * np.eye(taps), cross[..., None])[..., 0]
    predicted = sum(filters[:, [tap]] * np.roll(source, delay, axis=1) for tap, delay in enumerate(delays))
    _, samples = scipy.signal.istft(predicted[:, taps:-taps], **frames)
    return samples[: len(background)]


def _correlation(later: np.ndarray, earlier: np.ndarray, delay: int) -> np.ndarray:
    """Return complex (bands,): the sum over frames of ``later[t] * conj(earlier[t - delay])``."""
    return np.einsum("ft,ft->f", later, np.roll(earlier, delay, axis=1).conj())


def removed_share(samples: np.ndarray, spans: Sequence[tuple[int, ...]], fade: int) -> np.ndarray:
    """Return (n,) 0-1: how much of the voice is gone at each sample; spans and fade in samples."""
    share = np.zeros(len(samples))
    for start, end in spans:
        first, last = np.searchsorted(samples, (start - fade, end + _FADE_OUT * fade))
        here = samples[first:last] + 0.5
        rise = np.clip((here - start) / max(fade, 1) + 1, 0, 1)
        fall = np.clip((end - here) / max(_FADE_OUT * fade, 1) + 1, 0, 1)
        share[first:last] = np.maximum(share[first:last], 0.5 - 0.5 * np.cos(np.pi * np.minimum(rise, fall)))
    return share


def _samples(time_ms: int) -> int:
    return round(time_ms * SAMPLE_RATE_HZ / 1000)


def _sections(mix: Path, background: Path) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield first sample, mix and background, float64 (n, 2), of sections that overlap by half."""
    with soundfile.SoundFile(mix) as heard, soundfile.SoundFile(background) as rest:
        for begin in range(0, heard.frames, _SECTION_SAMPLES):
            heard.seek(begin)
            rest.seek(begin)
            yield begin, heard.read(2 * _SECTION_SAMPLES), rest.read(2 * _SECTION_SAMPLES)
