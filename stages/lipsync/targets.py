"""Where this speaker's lips must be: the trajectory's 0-1 parameters in the speaker's own ranges.

Ranges are the 5-95 % of the clip's own measured motion, rest is the clip's own silent mouth. Where the trajectory
asks for a contact it is exact: on p b m the lips meet, on f v the lower lip meets the upper teeth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from language_packs import PARAMETERS
from stages.artifacts import Viseme

_WIDEST_VOWEL = 0.85
"""Aperture parameter of an open vowel: what the 95 % aperture of the clip stands for."""
_JAW_OF_OPEN_VOWEL = 0.72
_SPREAD_WIDTH, _ROUND_WIDTH = 0.3, 0.35
"""How far the width parameter leaves .5 for /i/ and for a close rounded vowel."""
_PROTRUSION_NARROWS = 0.25
"""Share of the narrow half of the width range that full protrusion adds."""
_APERTURE_95_IOD = (0.1, 0.24)
"""Bounds on the 95 % aperture: a clip in which hardly anybody speaks must not make a mumbler."""
_GENERIC_APERTURE_IOD, _GENERIC_WIDTHS, _GENERIC_JAW_IOD = 0.17, (0.84, 1.08), 0.08
"""Reach of a mouth that never moves in its clip: open vowel, narrowest and widest over rest, jaw below rest."""
_MEAN_WIDTH_IOD = 0.56
"""Width of a mouth with this reach; a smaller one reaches less far."""
_LEAST_RANGE_IOD = 0.04
"""5-95 % range of the aperture below which a mouth has not been seen to open and close."""
_REST_IOD = 0.006
"""Inner gap at which the landmarks of lips that rest on each other lie, and the most that rest may show."""
_SEALED_IOD = 0.002
"""Inner gap of lips pressed together; the dark line between them lies in the retrieved mouth's lips."""
_LABIODENTAL_IOD = 0.018
"""Inner gap while the lower lip is at the upper teeth: a line of teeth is left to see."""
_CONTACT = 0.995
"""Closure and lip-to-teeth from which the trajectory means a contact, not the way to one."""
_MIN_CLOSURE_MS = 60.0
CLOSURE, LABIODENTAL = 1, 2


@dataclass(frozen=True)
class SpeakerRange:
    """What this mouth does in the clip, in IOD."""

    rest: np.ndarray
    """(3,) aperture, width, jaw of the silent mouth."""
    aperture_95: float
    width_5: float
    width_95: float
    jaw_95: float


def speaker_range(features: np.ndarray, is_silent: np.ndarray) -> SpeakerRange:
    """Measure the range from features (n, 3) of :func:`articulation.features_of`; ``is_silent`` is bool (n,).

    Where fewer than five frames are silent, the tenth with the smallest aperture stands for rest.
    """
    quiet = features[is_silent] if is_silent.sum() >= 5 else features
    resting = quiet[quiet[:, 0] <= np.percentile(quiet[:, 0], 25 if is_silent.sum() >= 5 else 10)]
    rest = np.median(resting, axis=0)
    rest[0] = min(rest[0], _REST_IOD)
    low, high = np.percentile(features, [5, 95], axis=0)
    return SpeakerRange(
        rest=rest,
        aperture_95=float(np.clip(high[0], *_APERTURE_95_IOD)),
        width_5=float(min(low[1], rest[1] - 0.02)),
        width_95=float(max(high[1], rest[1] + 0.02)),
        jaw_95=float(max(high[2], rest[2] + 0.03)),
    )


def never_opens(features: np.ndarray) -> bool:
    """Return whether a mouth with features (n, 3) of :func:`articulation.features_of` neither opens nor closes."""
    low, high = np.percentile(features[:, 0], [5, 95])
    return bool(high - low < _LEAST_RANGE_IOD)


def generic_range(features: np.ndarray) -> SpeakerRange:
    """Return the range of a mouth that never moves in features (n, 3): a generic one around its own rest."""
    rest = np.median(features, axis=0)
    narrow, wide = (share * rest[1] for share in _GENERIC_WIDTHS)
    size = rest[1] / _MEAN_WIDTH_IOD
    own = np.array([min(rest[0], _REST_IOD), rest[1], rest[2]])
    return SpeakerRange(
        rest=own,
        aperture_95=float(np.clip(size * _GENERIC_APERTURE_IOD, *_APERTURE_95_IOD)),
        width_5=float(narrow),
        width_95=float(wide),
        jaw_95=float(rest[2] + size * _GENERIC_JAW_IOD),
    )


def target_features(parameters: np.ndarray, reach: SpeakerRange) -> np.ndarray:
    """Return aperture, width and jaw (n, 3) in IOD for trajectory rows (n, 9)."""
    column = {name: parameters[:, PARAMETERS.index(name)].astype(np.float64) for name in PARAMETERS}
    aperture = reach.rest[0] + column["aperture"] / _WIDEST_VOWEL * (reach.aperture_95 - reach.rest[0])
    aperture[column["lip_to_teeth"] >= _CONTACT] = _LABIODENTAL_IOD
    aperture[column["closure"] >= _CONTACT] = _SEALED_IOD
    spread = np.maximum(column["width"] - 0.5, 0) / _SPREAD_WIDTH
    rounded = np.maximum(0.5 - column["width"], 0) / _ROUND_WIDTH + _PROTRUSION_NARROWS * column["protrusion"]
    rest_width = reach.rest[1]
    width = rest_width + spread * (reach.width_95 - rest_width) - rounded * (rest_width - reach.width_5)
    jaw = reach.rest[2] + column["jaw"] / _JAW_OF_OPEN_VOWEL * (reach.jaw_95 - reach.rest[2])
    return np.stack([np.maximum(aperture, 0.0), width, jaw], axis=1)


def parameters_of(features: np.ndarray, reach: SpeakerRange) -> dict[str, np.ndarray]:
    """Return what measured aperture, width and jaw (n, 3) in IOD are as parameters: :func:`target_features` undone.

    Protrusion is not measured; what it narrows counts as width.
    """
    rest = reach.rest
    wider = (features[:, 1] - rest[1]) / np.where(
        features[:, 1] > rest[1], reach.width_95 - rest[1], rest[1] - reach.width_5
    )
    return {
        "aperture": _WIDEST_VOWEL * (features[:, 0] - rest[0]) / (reach.aperture_95 - rest[0]),
        "width": 0.5 + wider * np.where(wider > 0, _SPREAD_WIDTH, _ROUND_WIDTH),
        "jaw": _JAW_OF_OPEN_VOWEL * (features[:, 2] - rest[2]) / (reach.jaw_95 - rest[2]),
    }


def contacts(parameters: np.ndarray) -> np.ndarray:
    """Return int8 (n,): which contact trajectory rows (n, 9) are, 0 where none."""
    column = {name: parameters[:, PARAMETERS.index(name)] for name in ("closure", "lip_to_teeth")}
    touching = np.where(column["lip_to_teeth"] >= _CONTACT, LABIODENTAL, 0)
    return np.where(column["closure"] >= _CONTACT, CLOSURE, touching).astype(np.int8)


def contact_rows(viseme: Viseme, times_ms: np.ndarray) -> np.ndarray:
    """Return the rows of ``times_ms`` in which a contact may be seen; the nearest one where none lies inside."""
    middle = (viseme.start_ms + viseme.end_ms) / 2
    start = min(viseme.start_ms, middle - _MIN_CLOSURE_MS / 2)
    end = max(viseme.end_ms, middle + _MIN_CLOSURE_MS / 2)
    rows = np.flatnonzero((times_ms >= start) & (times_ms <= end))
    return rows if len(rows) else np.array([np.argmin(np.abs(times_ms - middle))])
