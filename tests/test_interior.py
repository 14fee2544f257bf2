"""The drawn mouth interior: what is seen at which opening, what moves with what, and in which colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.lipsync.geometry import HeadPoses
from stages.lipsync.interior import Interior, blur_px, palette
from stages.lipsync.landmarks import (
    LOWER_INNER,
    LOWER_MIDDLE,
    MOUTH_CORNERS,
    UPPER_INNER,
    UPPER_MIDDLE,
)

IOD_PX = 200.0
CENTER = np.array([150.0, 120.0])
SKIN, EYES, LIPS = np.array([150.0, 170, 210]), np.array([190.0, 195, 200]), np.array([90.0, 80, 170])
REST_JAW_IOD = 0.7


def face(gap_iod: float) -> np.ndarray:
    """A face in the head frame of which only the lips are of interest; the lip line lies at y = 0."""
    points = np.zeros((478, 3))
    along = np.linspace(-1, 1, len(UPPER_INNER))
    parabola = (1 - along**2) / (1 - along[4:7] ** 2).mean()
    for upper, lower, thickness, half_width in (
        (UPPER_INNER, LOWER_INNER, 0.0, 0.24),
        (UPPER_MIDDLE, LOWER_MIDDLE, 0.04, 0.26),
    ):
        points[upper, 0] = points[lower, 0] = along * half_width
        points[upper, 1] = -(0.25 * gap_iod + thickness) * parabola
        points[lower, 1] = (0.75 * gap_iod + thickness) * parabola
    points[list(MOUTH_CORNERS), 0] = -0.28, 0.28
    return points


def pose(yaw_deg: float = 0.0) -> HeadPoses:
    yaw = np.radians(yaw_deg)
    rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return HeadPoses(np.array([IOD_PX]), rotation[None], np.array([[*CENTER, 0.0]]))


def drawn(gap_iod: float, jaw_iod: float = 0.0, yaw_deg: float = 0.0, bites: bool = False) -> np.ndarray:
    """Return a mouth of one colour, the lips', with its opening filled."""
    lips = np.broadcast_to(LIPS.astype(np.float32), (240, 300, 3)).copy()
    interior = Interior(palette(SKIN, EYES, LIPS), 0.6, face(0.0), REST_JAW_IOD)
    seen = pose(yaw_deg)
    placed = seen.to_picture(face(gap_iod)[None])[0][:, :2]
    return interior.over(lips, np.zeros(2), seen, placed, REST_JAW_IOD + jaw_iod, bites, np.ones(3))


def is_pale(mouth: np.ndarray) -> np.ndarray:
    """Teeth: bright, and of little colour."""
    return (mouth.min(axis=-1) > 0.75 * mouth.max(axis=-1)) & (mouth.max(axis=-1) > 70)


def test_nothing_is_drawn_between_lips_that_touch() -> None:
    assert (drawn(0.0) == LIPS.astype(np.float32)).all()
    assert (drawn(0.003) == LIPS.astype(np.float32)).all()


def test_no_teeth_are_seen_through_nearly_closed_lips_but_on_f_and_v() -> None:
    assert not is_pale(drawn(0.015)).any()
    assert is_pale(drawn(0.015, bites=True)).any()
    assert is_pale(drawn(0.12)).sum() > is_pale(drawn(0.05)).sum() > 0


def test_a_wide_mouth_shows_teeth_above_dark_below_them_and_a_tongue() -> None:
    column = drawn(0.2, jaw_iod=0.08)[:, 160]
    inside = column[round(CENTER[1] - 0.05 * IOD_PX) + 2 : round(CENTER[1] + 0.15 * IOD_PX) - 2]
    teeth, cavity = inside[4], inside[17]
    assert teeth.min() > 0.75 * teeth.max() and teeth.mean() > 0.7 * EYES.mean()
    assert cavity.mean() < 0.3 * teeth.mean()
    tongue = inside[24:31]
    assert (tongue[:, 2] > 1.5 * tongue[:, 0]).any() and tongue.mean() > cavity.mean()


def test_upper_teeth_stay_with_the_skull_and_lower_ones_go_with_the_jaw() -> None:
    high, low = drawn(0.2, jaw_iod=0.03), drawn(0.2, jaw_iod=0.08)
    middle = round(CENTER[1] + 0.02 * IOD_PX)
    assert (high[:middle] == low[:middle]).all()
    first = [np.flatnonzero(is_pale(mouth)[middle + 4 :].any(axis=1)) for mouth in (high, low)]
    assert first[0][0] + middle + 4 == pytest.approx(first[1][0] + middle + 4 - 0.05 * IOD_PX, abs=2)


def test_teeth_turn_with_the_head() -> None:
    """The row recedes from the camera, so its near side is seen further out when the head turns."""
    front, turned = drawn(0.12), drawn(0.12, yaw_deg=20)
    assert not np.allclose(front, turned, atol=5)
    left, right = (is_pale(turned)[:, :150].sum(), is_pale(turned)[:, 150:].sum())
    assert abs(left - right) > 1.1 * abs(int(is_pale(front)[:, :150].sum()) - int(is_pale(front)[:, 150:].sum()))


def test_colours_follow_light_and_skin() -> None:
    dark_skin = palette(0.4 * SKIN, EYES, 0.5 * LIPS)
    assert dark_skin.teeth.mean() > 1.5 * 0.4 * SKIN.mean()  # teeth are not as dark as the skin
    dim = palette(0.4 * SKIN, 0.4 * EYES, 0.4 * LIPS)
    light = palette(SKIN, EYES, LIPS)
    for name in ("teeth", "cavity", "tongue"):
        assert np.allclose(getattr(dim, name), 0.4 * getattr(light, name), rtol=0.02)


def test_shut_lips_hide_the_teeth_that_the_picture_shows_between_them() -> None:
    interior = Interior(palette(SKIN, EYES, LIPS), 0.6, face(0.0), REST_JAW_IOD)
    placed = pose().to_picture(face(0.0)[None])[0][:, :2]
    mouth = np.broadcast_to(LIPS.astype(np.float32), (240, 300, 3)).copy()
    assert interior.sealed(mouth, np.zeros(2), placed, IOD_PX) is mouth  # nothing to hide
    cv2.line(mouth, (130, 120), (170, 120), (170, 175, 180), 3)
    shut = interior.sealed(mouth, np.zeros(2), placed, IOD_PX)
    assert not is_pale(shut).any()
    assert shut[120, 150].mean() < 0.7 * LIPS.mean()  # the line of the closed lips
    assert (shut[:100] == mouth[:100]).all()


def test_blur_is_measured() -> None:
    spectrum = np.fft.fft2(np.random.default_rng(3).normal(size=(128, 128)))
    y, x = np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128))
    natural = np.fft.ifft2(spectrum / np.maximum(np.hypot(x, y), 1 / 128)).real
    natural = 128 + 40 * natural / natural.std()
    for sigma in (1.5, 3.0):
        blurred = np.clip(cv2.GaussianBlur(natural, (0, 0), sigma), 0, 255).astype(np.float32)
        picture = np.repeat(np.rint(blurred)[..., None], 3, axis=2).astype(np.uint8)
        assert blur_px(picture) == pytest.approx(sigma, rel=0.4)
