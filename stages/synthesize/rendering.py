"""A text said by espeak-ng's formant synthesiser: a plain voice whose phone times are known exactly.

It is not heard by anybody: recordings and engines that give no phone times are aligned with it
(:mod:`stages.synthesize.alignment`), and its length tells how long another voice will take, once the ratio is known.
The library is the one of ``espeakng-loader``, loaded at run time; it is driven by its C interface (``speak_lib.h`` of
espeak-ng 1.52), since phonemizer does not synthesise. phonemizer works on a copy of the library, so the two do not
disturb each other.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from language_packs import g2p
from language_packs.g2p.numbers import in_words
from language_packs.g2p.readers import reader
from language_packs.schema import G2P
from stages.artifacts import Phone
from stages.errors import MissingEngineError

_SYNCHRONOUS, _PHONEME_EVENTS, _DO_NOT_EXIT = 2, 1 | 2, 1 << 15  # names of phonemes in IPA
_UTF8, _LAST, _PHONEME = 1, 0, 7
_RATE_PARAMETER, _WORDS_PER_MINUTE = 1, 160
_SKIPPED = 0.9
"""What it costs to match a phone with none; two different ones cost up to 1, two of the same class less."""
_VOWELS = frozenset("aeiouyæɐɑɒɔəɚɛɜɝɞɘɤɨɪɯɵøœɶʉʊʌʏᵻ")
_SHORTEST_MS = 5

_lock = threading.Lock()


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, eq=False)
class Rendering:
    """A text as espeak-ng says it."""

    samples: np.ndarray
    """float32 (n,)."""
    rate_hz: int
    phones: tuple[Phone, ...]
    """Those of the IPA that was asked for, at times from the first sample on; what stands between two is a pause."""

    @property
    def sounding_ms(self) -> int:
        """First phone's onset to last phone's end; 0 without phones."""
        return self.phones[-1].end_ms - self.phones[0].start_ms if self.phones else 0


def phones_of(ipa: str) -> list[str]:
    """Return the phones of IPA with punctuation and stress marks."""
    return [piece.text for piece in g2p.pieces(ipa) if piece.is_phone]


@lru_cache(maxsize=256)
def render(text: str, ipa: str, how: G2P) -> Rendering:
    """Return a text as espeak-ng says it.

    Args:
        text: what is said.
        ipa: the same as the language's pack reads it; its phones get the times.
        how: of the pack.

    Raises:
        MissingEngineError: the pack does not read by espeak-ng, or that has no such voice.
    """
    if how.engine != "espeak":
        raise MissingEngineError(
            f"synthesize.engine: phones cannot be timed in a language that is read by {how.engine}, only by espeak-ng; "
            "choose an engine that knows its own times: kokoro or mms."
        )
    wanted = phones_of(ipa)
    if not wanted:
        return Rendering(np.zeros(0, np.float32), _library()[1], ())
    samples, rate_hz, events = _said(_spelt(text, how), how.code)
    return Rendering(samples, rate_hz, _timed(wanted, events))


def _spelt(text: str, how: G2P) -> str:
    for spelt, respelt in how.respell:
        text = text.replace(spelt, respelt).replace(spelt.capitalize(), respelt.capitalize())
    if how.numbers:
        text = in_words(text, how.numbers)
    return reader(how.segmenter)(text) if how.segmenter else text


@lru_cache(maxsize=1)
def _library() -> tuple[ctypes.CDLL, int]:
    import espeakng_loader

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    data = str(Path(espeakng_loader.get_data_path())).encode()
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DO_NOT_EXIT)
    if rate_hz <= 0:
        raise MissingEngineError("espeak-ng does not start. Run: pip install --force-reinstall espeakng-loader")
    return library, rate_hz


def _said(text: str, voice: str) -> tuple[np.ndarray, int, list[tuple[str, int, int]]]:
    """Return samples, rate and (IPA, start, end in ms) of every phoneme that sounds."""
    with _lock:
        library, rate_hz = _library()
        blocks: list[np.ndarray] = []
        marks: list[tuple[str, int]] = []

        def collect(samples, count, events) -> int:  # type: ignore[no-untyped-def]
            if samples and count:
                blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            index = 0
            while events[index].type != _LAST:
                if events[index].type == _PHONEME:
                    name = ctypes.string_at(ctypes.addressof(events[index].id), 8).split(b"\0")[0]
                    marks.append((name.decode("utf-8", "ignore"), events[index].audio_position_ms))
                index += 1
            return 0

        callback = _Callback(collect)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(_identifier(voice).encode()) != 0:
            raise MissingEngineError(f"espeak-ng has no voice {voice!r}")
        library.espeak_SetParameter(_RATE_PARAMETER, _WORDS_PER_MINUTE, 0)
        written = text.encode() + b"\0"
        library.espeak_Synth(written, ctypes.c_size_t(len(written)), 0, 1, 0, _UTF8, None, None)
    samples = np.concatenate([np.zeros(0, np.int16), *blocks]).astype(np.float32) / 32768
    marks.append(("", len(samples) * 1000 // rate_hz))
    return samples, rate_hz, [part for begin, end in pairwise(marks) for part in _parts(*begin, end[1])]


@lru_cache(maxsize=64)
def _identifier(voice: str) -> str:
    """Return espeak-ng's own name of a language's voice (``fr-fr``: ``roa/fr``)."""
    import espeakng_loader
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    wrapper = EspeakWrapper()
    try:
        wrapper.set_voice(voice)
    except RuntimeError:
        raise MissingEngineError(f"espeak-ng has no voice {voice!r}") from None
    return wrapper.voice.identifier


def _parts(name: str, start_ms: int, end_ms: int) -> list[tuple[str, int, int]]:
    """Return a phoneme as the phones that it is made of (aɪ: a and ɪ), each an equal part of it."""
    phones = phones_of(name)
    edges = np.linspace(start_ms, end_ms, len(phones) + 1).round().astype(int)
    return [(phone, int(start), int(end)) for phone, (start, end) in zip(phones, pairwise(edges), strict=True)]


def _timed(wanted: list[str], events: list[tuple[str, int, int]]) -> tuple[Phone, ...]:
    """Give the pack's phones the times of espeak-ng's, by the cheapest matching of the two rows.

    A phone that has none of its own shares the time between its neighbours.
    """
    of = _matched(wanted, [name for name, _, _ in events])
    times: list[tuple[int, int] | None] = [None if index is None else events[index][1:] for index in of]
    end_ms = events[-1][2] if events else 0
    index = 0
    while index < len(times):
        if times[index] is not None:
            index += 1
            continue
        last = index
        while last < len(times) and times[last] is None:
            last += 1
        # the gap between the neighbours, and half of the neighbour before where there is none
        before, after = times[index - 1] if index else None, times[last] if last < len(times) else None
        first_ms = before[1] if before else 0
        limit_ms = after[0] if after else end_ms
        if before and limit_ms - first_ms < _SHORTEST_MS * (last - index):
            first_ms = (before[0] + before[1]) // 2
            times[index - 1] = (before[0], first_ms)
        edges = np.linspace(first_ms, max(limit_ms, first_ms), last - index + 1).round().astype(int)
        for place, (start, end) in enumerate(pairwise(edges), index):
            times[place] = (int(start), int(end))
        index = last
    return tuple(
        Phone(ipa=ipa, start_ms=time[0], end_ms=time[1])
        for ipa, time in zip(wanted, times, strict=True)
        if time is not None
    )


def _matched(wanted: Sequence[str], said: Sequence[str]) -> list[int | None]:
    """Return for every phone the index of the one that was said for it, in order (edit distance)."""
    cost = np.zeros((len(wanted) + 1, len(said) + 1))
    cost[:, 0] = _SKIPPED * np.arange(len(wanted) + 1)
    cost[0] = _SKIPPED * np.arange(len(said) + 1)
    for row, phone in enumerate(wanted, 1):
        for column, other in enumerate(said, 1):
            cost[row, column] = min(
                cost[row - 1, column - 1] + _unlikeness(phone, other),
                cost[row - 1, column] + _SKIPPED,
                cost[row, column - 1] + _SKIPPED,
            )
    found: list[int | None] = [None] * len(wanted)
    row, column = len(wanted), len(said)
    while row and column:
        if cost[row, column] == cost[row - 1, column - 1] + _unlikeness(wanted[row - 1], said[column - 1]):
            row, column = row - 1, column - 1
            found[row] = column
        elif cost[row, column] == cost[row - 1, column] + _SKIPPED:
            row -= 1
        else:
            column -= 1
    return found


def _unlikeness(phone: str, other: str) -> float:
    if phone == other:
        return 0.0
    if phone[0] == other[0]:
        return 0.2
    return 0.6 if (phone[0] in _VOWELS) == (other[0] in _VOWELS) else 1.0
