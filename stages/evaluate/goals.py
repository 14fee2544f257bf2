"""The rows of the table of figures: what each is called, what it must reach, and how faces are taken together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from stages.artifacts import Artifact, Record, Unsynced


class Row(NamedTuple):
    """One figure's place in the table."""

    title: str
    low: float = -math.inf
    high: float = math.inf
    is_ratio: bool = False
    """The goal is about the dub's figure over the source's, not about the dub's own."""
    is_of_motion: bool = False
    """It compares with a mouth that moves in the source."""
    takes_worst: bool = False
    """Of several faces the one furthest from zero counts, not the mean."""


_PICTURE = {
    "closure_rate": Row("closures reached (p b m)", low=0.99),
    "labiodental_rate": Row("labiodentals reached (f v)", low=0.95),
    "false_closures": Row("false closures", high=0.03),
    "aperture_correlation": Row("aperture correlation", low=0.97),
    "aperture_std_ratio": Row("aperture std over asked", low=0.9, high=1.1),
    "width_correlation": Row("width correlation", low=0.92),
    "width_std_ratio": Row("width std over asked", low=0.8, high=1.2),
    "offset_frames": Row("audio-mouth offset, frames", low=-1, high=1, takes_worst=True),
    "silence_motion": Row("motion in silence, IOD", high=1.2, is_ratio=True, is_of_motion=True),
    "flicker": Row("flicker (warping error)", high=1.2, is_ratio=True, is_of_motion=True),
    "flicker_equal_motion": Row("flicker at equal motion", high=1.2, is_ratio=True, is_of_motion=True),
    "sharpness": Row("sharpness (Laplacian)", low=0.85, high=1.15, is_ratio=True, is_of_motion=True),
    "sharpness_equal_aperture": Row(
        "sharpness at equal aperture", low=0.85, high=1.15, is_ratio=True, is_of_motion=True
    ),
    "seam_mouth": Row("seam around the mouth", high=1.15, is_ratio=True),
    "seam_outline": Row("seam around the moved skin", high=1.15, is_ratio=True),
    "outside_mask": Row("difference outside the mask", low=0, high=0, takes_worst=True),
    "coverage": Row("coverage (frames driven)"),
    "lmd_px": Row("LMD, px at a 256 px face", high=3),
    "lmd_iod": Row("LMD, IOD"),
    "psnr_db": Row("PSNR in the mouth box, dB", low=28),
    "ssim": Row("SSIM in the mouth box", low=0.95),
}
"""Goals are those of the lip-sync notes; coverage has none, because what cannot be driven is rightly left alone."""

_SOUND = {
    "starts_on_time": Row("lines that start within 80 ms", low=0.98),
    "start_error_ms": Row("start error, mean, ms"),
    "rate_unhurried": Row("lines at rate .85 to 1.2", low=0.95),
    "rate_bounded": Row("lines at rate .8 to 1.35", low=1),
    "overlaps": Row("lines over another of their speaker", high=0),
    "end_ms": Row("end of dub after speech's, ms", low=-300, high=300),
    "drift_ms": Row("drift: last minute - first, ms", low=-20, high=20),
    "similarity": Row("voice similarity", low=0.73),
    "similarity_gain": Row("similarity gained by matching", low=0.1),
    "right_speaker": Row("lines most like their own speaker", low=1),
    "pitch_class": Row("lines in speaker's pitch class", low=1),
    "pitch_semitones": Row("pitch off speaker's, semitones"),
    "cer": Row("CER of back-transcription", high=0.12),
    "speech_lost_ms": Row("speech not dubbed, not listed, ms", high=0),
    "loudness_lu": Row("loudness after the source's, LU", low=-1, high=1),
    "level_db": Row("level off source line's, dB"),
    "true_peak_dbtp": Row("true peak, dBTP", high=-1),
    "voice_left_db": Row("original voice left in it, dB", high=-20),
    "join_step": Row("largest step at joins", high=1),
}
"""Goals are those of the issue "a dub that sounds right"; CER's is that of the embedded profile."""

ROWS = _PICTURE | _SOUND


class Figure(Record):
    """One figure of one face, or of all."""

    key: str
    """In :data:`ROWS`."""
    dub: float | None
    """None where the clip has nothing to measure it on."""
    source: float | None
    """The same measured on the untouched source; None where that means nothing."""
    count: int
    """Phones, frames or pairs of frames that it is the mean of."""

    @property
    def value(self) -> float | None:
        """What the goal is about: ``dub``, or ``dub / source``."""
        if not ROWS[self.key].is_ratio:
            return self.dub
        return self.dub / self.source if self.dub is not None and self.source else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a value or a goal."""
        row = ROWS[self.key]
        if self.value is None or (math.isinf(row.low) and math.isinf(row.high)):
            return None
        return row.low <= self.value <= row.high

    @property
    def goal(self) -> str:
        """The goal in words; empty where there is none."""
        row = ROWS[self.key]
        if row.low == row.high:
            return f"{row.low:g}"
        if math.isinf(row.low):
            return "" if math.isinf(row.high) else f"<= {row.high:g}"
        return f">= {row.low:g}" if math.isinf(row.high) else f"{row.low:g} to {row.high:g}"

    def content(self) -> dict[str, Any]:
        """Return it as plain data, with what follows from it."""
        extra = {"value": self.value, "goal": self.goal, "met": self.met}
        return {"title": ROWS[self.key].title, **self.model_dump(mode="json"), **extra}


def figure(key: str, dub: float | None, source: float | None, count: int) -> Figure:
    """Return a figure; not-a-number becomes None."""
    return Figure(key=key, dub=_known(dub), source=_known(source), count=count)


def of_a_still_mouth(figures: Sequence[Figure]) -> tuple[Figure, ...]:
    """Return the figures of a face whose mouth never moves in the source: what compares with its motion is unknown."""
    return tuple(
        each.model_copy(update={"dub": None, "source": None})
        if ROWS[each.key].is_of_motion
        else each
        if ROWS[each.key].is_ratio
        else each.model_copy(update={"source": None})
        for each in figures
    )


def together(faces: Sequence[Sequence[Figure]]) -> tuple[Figure, ...]:
    """Return the figures of all faces together: means weighted by what was counted, or the worst."""
    return tuple(_pooled(list(figures)) for figures in zip(*faces, strict=True))


def _pooled(figures: list[Figure]) -> Figure:
    key, count = figures[0].key, sum(each.count for each in figures)
    if ROWS[key].takes_worst:
        worst = max(figures, key=lambda each: abs(each.dub or 0.0))
        return worst.model_copy(update={"count": count})
    means = {}
    for side in ("dub", "source"):
        known = [(getattr(each, side), each.count) for each in figures if getattr(each, side) is not None]
        weight = sum(number for _, number in known)
        means[side] = sum(value * number for value, number in known) / weight if weight else None
    return Figure(key=key, count=count, **means)


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


class FaceFigures(Record):
    """One driven face."""

    face: int
    figures: tuple[Figure, ...]


class Evaluation(Artifact):
    """One dub's picture."""

    faces: tuple[FaceFigures, ...]
    total: tuple[Figure, ...]
    """All faces together."""
    unsynced: tuple[Unsynced, ...]
    """Frames in which somebody speaks and no mouth was moved."""

    @property
    def met(self) -> bool:
        """Whether no goal is missed."""
        return all(each.met is not False for each in self.total)
