"""Back into the picture: the frame's own skin moved by the mesh, the retrieved mouth blended over it in bands.

Bands (Burt & Adelson 1983, "A multiresolution spline with application to image mosaics") let the light cross the seam
slowly and the skin's grain quickly. Everything outside the mask is the source, bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

_LEVELS = 4


class Box(NamedTuple):
    """A rectangle of the picture in px; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


class Patch(NamedTuple):
    """What was drawn into a frame."""

    box: Box
    moved: np.ndarray
    """bool (h, w) over the box: the pixels that may differ from the source; everything else is equal to it."""
    cover: np.ndarray
    """float32 (h, w) over the box, 0-1: how far the retrieved mouth covers the frame's own skin."""
    gap_iod: float = np.inf
    """Inner gap as tracked again in the drawn frame; infinite where nobody looked."""


def box_around(points: np.ndarray, margin: float, shape: tuple[int, ...]) -> Box:
    """Return the box around points (n, 2), grown and clipped to an image of this shape."""
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, [shape[1] - 1, shape[0] - 1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + margin) + 1, low + 1, [shape[1], shape[0]]).astype(int)
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def soft_mask(contour: np.ndarray, shape: tuple[int, int], grow_px: float, feather_px: float) -> np.ndarray:
    """Return float32 (h, w) 0-1: a closed contour (n, 2) px, grown and feathered, exactly 0 beyond both."""
    mask = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(contour * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    size = 2 * max(1, round(grow_px)) + 1
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    size = 2 * max(1, round(feather_px)) + 1
    return cv2.GaussianBlur(grown, (size, size), 0).astype(np.float32) / 255


def blend_bands(over: np.ndarray, under: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return float32 (h, w, 3): ``over`` where the mask (h, w) is 1, ``under`` where it is 0, blended per band."""
    levels = min(_LEVELS, max(1, int(np.log2(min(mask.shape))) - 2))
    bands = []
    for _ in range(levels - 1):
        size = (mask.shape[1], mask.shape[0])
        smaller_over, smaller_under, smaller_mask = cv2.pyrDown(over), cv2.pyrDown(under), cv2.pyrDown(mask)
        detail_over = over - cv2.pyrUp(smaller_over, dstsize=size)
        detail_under = under - cv2.pyrUp(smaller_under, dstsize=size)
        bands.append(detail_under + mask[..., None] * (detail_over - detail_under))
        over, under, mask = smaller_over, smaller_under, smaller_mask
    blended = under + mask[..., None] * (over - under)
    for band in reversed(bands):
        blended = cv2.pyrUp(blended, dstsize=(band.shape[1], band.shape[0])) + band
    return blended


def spread_by_sampling(kept: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ``kept`` (h, w) 0-1 grown to the pixels that would sample, at ``x`` and ``y`` (h, w), what it keeps.

    A thing whose own pixels stay must not appear a second time beside itself.
    """
    sampled = cv2.remap(kept, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.maximum(kept, sampled)


def keep_source(source: np.ndarray, rendered: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return uint8 (h, w, 3): ``rendered`` (uint8) where ``kept`` (h, w) is 0, ``source`` (uint8) where it is 1."""
    return rounded(rendered + kept[..., None] * (source.astype(np.float32) - rendered))


def rounded(image: np.ndarray) -> np.ndarray:
    """Return a float32 (h, w, 3) picture as uint8, rounded and clipped."""
    return np.asarray(cv2.add(image, np.zeros(4), dtype=cv2.CV_8U))


def paste(frame: np.ndarray, box: Box, rendered: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return a copy of ``frame`` with ``rendered`` (uint8 (h, w, 3)) in the box where ``moved`` (bool (h, w))."""
    result = frame.copy()
    part = result[box.top : box.bottom, box.left : box.right]
    part[:] = cv2.copyTo(rendered, moved.view(np.uint8), part.copy())
    return result
