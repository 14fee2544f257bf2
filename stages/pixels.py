"""From a decoder's planes to BGR and back, so that what nobody changed keeps its value.

There and back, untouched luma keeps its value to .03 grey levels on average; swscale's defaults truncate, and darken it
by 1.6.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import Interpolation

_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
_TO_RGB, _TO_YUV = _EXACT | Interpolation.FULL_CHR_H_INT, _EXACT | Interpolation.FULL_CHR_H_INP


def bgr_of(frame: av.VideoFrame) -> np.ndarray:
    """Return a decoded frame as uint8 BGR (h, w, 3), by its own matrix and range."""
    return frame.to_ndarray(format="bgr24", interpolation=_TO_RGB)


def frame_of(bgr: np.ndarray, encoder: VideoCodecContext) -> av.VideoFrame:
    """Return uint8 BGR (h, w, 3) as a frame in the encoder's own pixel format, matrix and range."""
    return av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(bgr), format="bgr24").reformat(
        format=encoder.pix_fmt,
        interpolation=_TO_YUV,
        dst_colorspace=encoder.colorspace,
        dst_color_range=encoder.color_range,
    )
