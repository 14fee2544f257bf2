"""Which mouths of one shot may be shown in another: those under the same light, as large, and turned alike.

Within a shot every mouth may serve every frame, and the costs of retrieval weigh the differences. Across a cut camera
and light have changed as well, in ways that a gain and a small warp do not make up for.
"""

from __future__ import annotations

import numpy as np

_TURNED_DEG = 12.0
"""Most that yaw and pitch may differ."""
_GAIN, _TINT = 1.25, 1.1
"""Most that the skin may be lighter or darker (retrieved mouths are corrected by as much), and its colours differ."""
_SMALLER, _LARGER = 1.15, 1.6
"""A mouth that is enlarged more is seen to be blurred; one that is made smaller than this flickers."""


def may_lend(
    shot: np.ndarray,
    pose_deg: np.ndarray,
    face_px: np.ndarray,
    skin: np.ndarray,
    borrowers: np.ndarray,
    lenders: np.ndarray,
) -> np.ndarray:
    """Return bool (n, m): whether the mouth of a row of ``lenders`` may be shown in a row of ``borrowers``.

    Args:
        shot: int (k,) number of the shot of every row of a face's track.
        pose_deg: (k, 3) yaw, pitch, roll.
        face_px: (k,) height of the face.
        skin: (k, 3) mean BGR around the mouth.
        borrowers: int (n,) rows.
        lenders: int (m,) rows.
    """
    is_same_shot = shot[borrowers][:, None] == shot[lenders][None]
    turned = np.abs(pose_deg[borrowers][:, None, :2] - pose_deg[lenders][None, :, :2]).max(axis=-1)
    larger = face_px[lenders][None] / face_px[borrowers][:, None]
    gains = (skin[borrowers][:, None] + 1.0) / (skin[lenders][None] + 1.0)
    lightest, darkest = gains.max(axis=-1), gains.min(axis=-1)
    is_lit_alike = (lightest <= _GAIN) & (darkest >= 1 / _GAIN) & (lightest <= _TINT * darkest)
    is_as_large = (larger >= 1 / _SMALLER) & (larger <= _LARGER)
    return is_same_shot | (is_lit_alike & is_as_large & (turned <= _TURNED_DEG))
