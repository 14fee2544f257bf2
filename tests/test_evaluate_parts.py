"""The parts of the evaluation on numbers and pictures made here."""

from __future__ import annotations

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from stages.artifacts import Viseme
from stages.evaluate.asked import Asked
from stages.evaluate.goals import ROWS, Figure, figure, together
from stages.evaluate.mouth_figures import mouth_figures
from stages.evaluate.retrack import warping_error
from stages.evaluate.seam import SeamMeter
from stages.evaluate.similarity import at_face_256, landmark_distance, psnr_db, ssim
from stages.lipsync.composite import Box, Patch
from stages.lipsync.retrieval import MouthStates, best_path

FRAMES = 200
TIMES_MS = 40.0 * np.arange(FRAMES)
WAVE = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAMES) / 20)
"""Closed every 20 frames, beginning with the first."""
CLOSING = tuple(range(20, FRAMES, 20))
NOISE = np.random.default_rng(1)


def asked(**changes: object) -> Asked:
    everywhere = np.ones(FRAMES, dtype=bool)
    phones = tuple(
        Viseme(line_id=1, ipa="p", viseme="p", start_ms=40 * at - 30, end_ms=40 * at + 30, contact="closure")
        for at in CLOSING
    )
    values: dict = {
        "times_ms": TIMES_MS,
        "wanted": everywhere,
        "driven": everywhere,
        "speaking": everywhere,
        "silent_in_source": ~everywhere,
        "aperture": WAVE,
        "aperture_iod": 0.15 * WAVE,
        "width_iod": 0.5 + 0.1 * WAVE,
        "visemes": phones,
    }
    return Asked(**(values | changes))


def seen(aperture_iod: np.ndarray, laplacian: float = 100.0, unrest: float = 2.0) -> SimpleNamespace:
    return SimpleNamespace(
        gap_iod=aperture_iod,
        aperture_iod=aperture_iod,
        width_iod=0.5 + aperture_iod / 1.5,
        laplacian=np.full(FRAMES, laplacian),
        warping_error=np.full(FRAMES, unrest),
    )


def figures(dub: np.ndarray, source: np.ndarray | None = None, **changes: object) -> dict[str, Figure]:
    other = 0.15 * np.roll(WAVE, 7) if source is None else source
    result = mouth_figures(seen(dub), seen(other), asked(**changes), 0.03)  # type: ignore[arg-type]
    return {each.key: each for each in result}


def test_lips_that_do_what_is_asked_meet_every_goal() -> None:
    told = figures(0.15 * WAVE)
    assert [key for key, each in told.items() if each.met is False] == []
    for key in ("closure_rate", "aperture_correlation", "aperture_std_ratio", "width_correlation", "width_std_ratio"):
        assert told[key].dub == pytest.approx(1.0)
    assert told["offset_frames"].dub == 0 and told["false_closures"].dub == 0
    assert told["closure_rate"].source == 0 and told["closure_rate"].count == len(CLOSING)
    assert told["labiodental_rate"].value is None and told["labiodental_rate"].met is None


def test_late_lips_show_their_offset() -> None:
    told = figures(0.15 * np.roll(WAVE, 3))
    assert told["offset_frames"].dub == 3 and told["offset_frames"].met is False
    assert told["aperture_correlation"].dub < 0.7


def test_lips_that_never_meet_miss_every_closure() -> None:
    told = figures(0.05 + 0.1 * WAVE)
    assert told["closure_rate"].dub == 0 and told["closure_rate"].met is False
    assert told["aperture_correlation"].dub == pytest.approx(1.0)
    assert told["aperture_std_ratio"].dub == pytest.approx(2 / 3)


def test_one_frame_that_closes_is_seen() -> None:
    gap = 0.05 + 0.1 * WAVE
    gap[CLOSING[0]] = 0.01
    assert figures(gap)["closure_rate"].dub == pytest.approx(1 / len(CLOSING))


def test_lips_that_meet_where_they_should_be_open_are_false_closures() -> None:
    gap = 0.15 * WAVE
    gap[[10, 30, 50]] = 0.0
    told = figures(gap)["false_closures"]
    closed = int((gap <= 0.03).sum())
    assert told.dub == pytest.approx(3 / closed) and told.count == closed


def test_contacts_where_the_face_is_not_driven_are_not_asked_for() -> None:
    driven = np.ones(FRAMES, dtype=bool)
    driven[: CLOSING[1] - 5] = False
    assert figures(0.15 * WAVE, driven=driven)["closure_rate"].count == len(CLOSING) - 1


def test_silence_is_compared_with_the_sources_own() -> None:
    silent = np.arange(FRAMES) >= 150
    gap, source = 0.15 * WAVE, 0.15 * WAVE
    gap[silent] = 0.01 * NOISE.standard_normal(50)
    source[:50] = 0.005 * NOISE.standard_normal(50)
    told = figures(gap, source, speaking=~silent, silent_in_source=np.arange(FRAMES) < 50)["silence_motion"]
    assert told.value == pytest.approx(2, rel=0.4) and told.met is False


def test_at_equal_aperture_a_mouth_that_is_closed_more_often_is_not_blurred() -> None:
    dub, source = seen(0.15 * WAVE**3), seen(0.15 * WAVE)
    for each in (dub, source):
        each.laplacian = 100 + 1000 * each.gap_iod  # teeth
    told = {each.key: each for each in mouth_figures(dub, source, asked(), 0.03)}  # type: ignore[arg-type]
    assert told["sharpness"].value < 0.9
    assert told["sharpness_equal_aperture"].value == pytest.approx(1, abs=0.03)


def test_the_warping_error_sees_flicker_and_forgives_motion() -> None:
    texture = cv2.GaussianBlur(NOISE.integers(0, 255, (80, 120)).astype(np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    moved = np.roll(texture, 2, axis=1)
    brighter = np.clip(texture.astype(int) + 12, 0, 255).astype(np.uint8)
    assert warping_error(texture, texture) < 0.5
    assert warping_error(texture, moved) < 0.3 * cv2.absdiff(texture, moved).mean()
    assert warping_error(texture, brighter) > 8


def test_the_seam_sees_a_step_at_the_masks_edge() -> None:
    source = cv2.GaussianBlur(NOISE.integers(90, 160, (120, 160, 3)).astype(np.uint8), (0, 0), 2)
    mask = np.zeros((120, 160), np.float32)
    mask[40:80, 50:110] = 1
    drawn = np.where(mask[..., None] > 0, np.clip(source.astype(int) + 15, 0, 255), source).astype(np.uint8)
    patch = Patch(Box(0, 0, 160, 120), mask > 0, mask)
    ratios = {}
    for name, picture in (("same", source), ("step", drawn)):
        meter = SeamMeter()
        meter.look(picture, source, patch, 100.0)
        for line in ("mouth", "outline"):
            own, theirs = meter.steps(line)
            ratios[name, line] = own / theirs
    assert ratios["same", "mouth"] == ratios["same", "outline"] == 1
    assert ratios["step", "mouth"] > 1.5 and ratios["step", "outline"] > 1.5


def test_ssim_of_flat_pictures_is_its_formula() -> None:
    a, b = np.full((40, 40), 100, np.uint8), np.full((40, 40), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))


def test_ssim_falls_with_noise_and_blur() -> None:
    a = NOISE.integers(0, 255, (60, 80)).astype(np.uint8)
    noisy = np.clip(a + NOISE.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    assert 0.5 < ssim(a, noisy) < 0.99
    assert ssim(a, cv2.GaussianBlur(a, (0, 0), 3)) < 0.5


def test_psnr_of_a_difference_of_one_level() -> None:
    a = np.full((10, 10, 3), 100, np.uint8)
    assert psnr_db(a, a + 1) == pytest.approx(20 * math.log10(255))
    assert psnr_db(a, a) == pytest.approx(10 * math.log10(255**2 * 12))


def test_landmark_distance_is_scaled_to_a_face_of_256_px() -> None:
    a = NOISE.random((20, 2))
    assert at_face_256(landmark_distance(a, a + np.array([3, 4])), face_px=512) == pytest.approx(2.5)


def test_goals() -> None:
    assert figure("sharpness", 80, 100, 1).met is False and figure("sharpness", 90, 100, 1).met is True
    assert figure("closure_rate", 0.985, 0.5, 1).met is False and figure("closure_rate", 0.995, 0.5, 1).met is True
    assert figure("outside_mask", 0, None, 1).met is True and figure("outside_mask", 1, None, 1).met is False
    assert figure("offset_frames", -2, 0, 1).met is False and figure("offset_frames", -1, 0, 1).met is True
    assert figure("silence_motion", float("nan"), 0.1, 1).met is None
    assert figure("coverage", 0.2, None, 1).met is None
    assert all(figure(key, 1.0, 1.0, 1).key == key for key in ROWS)


def test_two_faces_together() -> None:
    one = (figure("closure_rate", 1.0, 0.2, 9), figure("offset_frames", 0, 1, 9), figure("flicker", 2, 1, 9))
    two = (figure("closure_rate", 0.0, 0.7, 1), figure("offset_frames", -3, 1, 1), figure("flicker", 2, 2, 1))
    rate, offset, flicker = together([one, two])
    assert rate.dub == pytest.approx(0.9) and rate.source == pytest.approx(0.25) and rate.count == 10
    assert offset.dub == -3
    assert flicker.value == pytest.approx(2 / 1.1)


def test_barred_mouths_do_not_serve() -> None:
    features = np.stack([np.linspace(0.05, 0.15, 40), np.full(40, 0.5), np.full(40, 0.8)], axis=1)
    library = MouthStates(
        features, np.zeros((40, 3)), np.zeros((40, 3)), features[:, 0], np.zeros(40), np.zeros((40, 2))
    )
    rows = np.arange(40)
    barred = np.abs(rows[:, None] - rows) < 10
    free, kept_away = best_path(library, library, rows, 10), best_path(library, library, rows, 10, barred)
    assert np.array_equal(free, rows)
    assert (np.abs(kept_away - rows) >= 10).all()
