"""Decoding on a second core: the next frames are read while this one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

_FRAMES = 2


def read_ahead(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the frames in order, two of them read in advance by one other thread; errors of reading come in turn."""
    with ThreadPoolExecutor(1) as reader:
        waiting: deque[Future[np.ndarray | None]] = deque(reader.submit(next, frames, None) for _ in range(_FRAMES))
        while (frame := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, frames, None))
            yield frame
