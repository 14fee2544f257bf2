"""The parts of the lip-sync, each on data small enough to check by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import cv2
import numpy as np
import pytest
from scipy.signal import savgol_filter

from language_packs import PARAMETERS
from stages.artifacts import Face, FaceTrack, FaceTurn, Media, PictureStream, SpeakerFaces, Trajectory, Viseme
from stages.errors import MissingEngineError
from stages.lipsync import LipsyncConfig, fallback
from stages.lipsync.articulation import generic_slopes, learn
from stages.lipsync.borrowing import may_lend
from stages.lipsync.chart import make_chart
from stages.lipsync.composite import Box, blend_bands, paste, soft_mask
from stages.lipsync.crops import SKIN, MouthWriter
from stages.lipsync.detector import FaceReader, FaceReading, search_windows, whole
from stages.lipsync.geometry import aperture_iod, fit_poses, picture_gap_iod, reference_face, width_iod
from stages.lipsync.identity import ALIKE, Piece, Portrait, likeness, persons, portrait
from stages.lipsync.landmarks import CHIN, COUNT, GAP_PAIRS, LIPS, LOWER_FACE, LOWER_INNER, UPPER_INNER
from stages.lipsync.library import MouthLibrary, chosen_rows, color_gains, narrowed
from stages.lipsync.lips import Shown, keep_thickness, opening_points, set_gap
from stages.lipsync.occlusion import Sights, SightWriter, hidden_frames
from stages.lipsync.plan import Demand, demands, stretches_to_choose
from stages.lipsync.retrieval import MouthStates, best_path
from stages.lipsync.shots import CutDetector
from stages.lipsync.targets import SpeakerRange, contact_rows, speaker_range, target_features
from stages.lipsync.track_file import FaceStates, TrackWriter, unbroken_runs, with_gaps_of
from stages.lipsync.tracking import filter_frames
from stages.lipsync.warp import build_mesh, displacement, paint_triangles, sampling_map, vertices

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"


@pytest.fixture(scope="module")
def real_face() -> np.ndarray:
    """The landmarks of the sample's first frame's right-hand man, (478, 3) in the head frame, IOD."""
    with av.open(str(SAMPLE)) as container:
        bgr = next(container.decode(video=0)).to_ndarray(format="bgr24")
    with FaceReader() as reader:
        found = reader.read(bgr, whole(bgr.shape[1], bgr.shape[0]))
    right = max(found, key=lambda reading: reading.landmarks[:, 0].mean())
    return reference_face(right.landmarks[None])


@pytest.fixture
def face(real_face: np.ndarray) -> np.ndarray:
    return real_face.copy()


def turned(points: np.ndarray, yaw_deg: float, scale: float, offset: tuple[float, float, float]) -> np.ndarray:
    yaw = np.radians(yaw_deg)
    rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return scale * points @ rotation.T + np.array(offset)


def opened(face: np.ndarray, gap: float) -> np.ndarray:
    result = face.copy()
    set_gap(result, gap)
    return result


# geometry


def test_a_turned_and_larger_head_has_the_same_mouth(face: np.ndarray) -> None:
    mouth = opened(face, 0.13)
    seen = np.stack([turned(mouth, yaw, scale, (300, 200, 5)) for yaw, scale in ((0, 100), (25, 60), (-40, 210))])
    poses = fit_poses(seen, face)
    back = poses.to_head(seen)
    assert np.allclose(poses.scale, [100, 60, 210], rtol=1e-6)
    assert np.allclose(aperture_iod(back), 0.13, atol=1e-6)
    assert np.allclose(width_iod(back), width_iod(mouth), atol=1e-6)
    assert np.allclose(poses.to_picture(back), seen, atol=1e-6)


def test_the_gap_in_the_picture_is_in_inter_ocular_distances(face: np.ndarray) -> None:
    seen = turned(opened(face, 0.1), 0, 150, (0, 0, 0))
    assert picture_gap_iod(seen) == pytest.approx(0.1 / np.linalg.norm((face[263] - face[33])[:2]), abs=0.005)


# lips


@pytest.mark.parametrize("gap", [0.0, 0.006, 0.05, 0.2])
def test_the_gap_becomes_exactly_what_is_asked(face: np.ndarray, gap: float) -> None:
    assert aperture_iod(opened(opened(face, 0.12), gap)) == pytest.approx(gap, abs=1e-9)


def test_closing_closes_the_whole_line_and_leaves_the_rest_of_the_face(face: np.ndarray) -> None:
    closed = opened(opened(face, 0.15), 0.0)
    assert np.abs(closed[LOWER_INNER, 1] - closed[UPPER_INNER, 1]).max() < 1e-9
    others = np.setdiff1d(np.arange(COUNT), LOWER_FACE)
    assert np.array_equal(closed[others], face[others])
    assert np.array_equal(closed[CHIN], face[CHIN])


def test_a_folded_lip_gets_its_thickness_back(face: np.ndarray) -> None:
    folded = face.copy()
    folded[0, 1] = folded[13, 1] + 0.02  # outer contour below the inner edge
    keep_thickness(folded, face)
    assert folded[13, 1] - folded[0, 1] > 0.4 * (face[13, 1] - face[0, 1])


# articulation


def test_the_model_learns_how_this_face_opens(face: np.ndarray) -> None:
    gaps = np.linspace(0.0, 0.2, 40)
    frames = np.stack([opened(face, gap) for gap in gaps])
    frames[:, CHIN, 1] += gaps  # this jaw drops by as much as the lips open
    model = learn(frames)
    features = np.array([[0.02, width_iod(face), frames[4, CHIN, 1] - face[2, 1]]])
    features[0, 2] = face[CHIN, 1] + 0.02 - face[2, 1]
    chin = model.points(features)[0][np.searchsorted(LOWER_FACE, CHIN), 1]
    assert chin == pytest.approx(face[CHIN, 1] + 0.02, abs=0.01)


def test_the_generic_mouth_opens_mostly_downwards(face: np.ndarray) -> None:
    slopes = generic_slopes(face[LOWER_FACE])
    lower, upper = (slopes[0, np.searchsorted(LOWER_FACE, point), 1] for point in (14, 13))
    assert lower > 0.6 and -0.3 < upper < -0.15


# targets

REACH = SpeakerRange(rest=np.array([0.006, 0.6, 0.8]), aperture_95=0.18, width_5=0.54, width_95=0.7, jaw_95=0.9)


def parameters(**values: float) -> np.ndarray:
    row = np.zeros((1, len(PARAMETERS)), dtype=np.float32)
    row[0, PARAMETERS.index("width")] = 0.5
    for name, value in values.items():
        row[0, PARAMETERS.index(name)] = value  # type: ignore[arg-type]
    return row


def test_rest_is_the_speakers_own_rest() -> None:
    assert target_features(parameters(), REACH)[0] == pytest.approx(REACH.rest)


def test_contacts_are_exact_whatever_the_aperture_says() -> None:
    closed = target_features(parameters(closure=1, aperture=0.4), REACH)[0, 0]
    labiodental = target_features(parameters(lip_to_teeth=1, aperture=0.4), REACH)[0, 0]
    almost = target_features(parameters(closure=0.99, aperture=0.4), REACH)[0, 0]
    assert closed <= 0.015 and closed < labiodental <= 0.03 < almost


def test_vowels_use_the_speakers_range() -> None:
    a, i, u = (
        target_features(parameters(**values), REACH)[0]
        for values in (
            {"aperture": 0.85, "jaw": 0.72},
            {"aperture": 0.15, "width": 0.8, "jaw": 0.12},
            {"aperture": 0.1, "width": 0.15, "protrusion": 0.9, "jaw": 0.12},
        )
    )
    assert a[0] == pytest.approx(REACH.aperture_95) and a[2] == pytest.approx(REACH.jaw_95)
    assert i[1] == pytest.approx(REACH.width_95) and u[1] < REACH.width_5


def test_rest_is_measured_where_the_speaker_is_silent() -> None:
    features = np.tile([0.12, 0.62, 0.85], (40, 1))
    features[:10] = [0.004, 0.58, 0.80]
    reach = speaker_range(features, np.arange(40) < 10)
    assert reach.rest == pytest.approx([0.004, 0.58, 0.80])
    assert reach.aperture_95 == pytest.approx(0.12)


def test_a_short_closure_has_at_least_one_frame() -> None:
    times = np.arange(0, 2000, 200.0)
    viseme = Viseme(line_id=1, ipa="p", viseme="p", start_ms=490, end_ms=520, contact="closure")
    assert contact_rows(viseme, times).tolist() == [3]


# fallback


def test_strength_fades_between_30_and_50_degrees_and_ends_for_small_faces() -> None:
    config = LipsyncConfig()
    pose = np.array([[0, 0, 0], [30, 0, 0], [-40, 0, 0], [55, 0, 0], [0, 36, 0], [0, 0, 0]], dtype=np.float32)
    size = np.array([100, 100, 100, 100, 100, 47.0])
    strength = fallback.pose_strength(pose, size, config)
    assert strength == pytest.approx([1, 1, 0.5, 0, 0, 0])
    states = cast(FaceStates, SimpleNamespace(pose=pose, is_hidden=np.zeros(len(pose), dtype=bool)))
    assert fallback.reason(states, size, 3, config) == fallback.TURNED
    assert fallback.reason(states, size, 4, config) == fallback.TILTED
    assert fallback.reason(states, size, 5, config) == fallback.SMALL


def test_the_mouth_fades_in_and_out_and_never_jumps() -> None:
    wanted = np.zeros(60, dtype=bool)
    wanted[20:50] = True
    allowed = np.ones(60)
    allowed[35:38] = 0
    strength = fallback.ramped(wanted, allowed, 5)
    assert strength[20] == 1 and strength[13] == 0 and strength[57] == 0
    assert (strength[35:38] == 0).all() and strength[27] > 0.9
    assert np.abs(np.diff(strength)).max() <= 0.21
    assert not fallback.ramped(np.zeros(60, dtype=bool), allowed, 5).any()


# retrieval


def states(features: np.ndarray, settled: np.ndarray | None = None, teeth: np.ndarray | None = None) -> MouthStates:
    settled = features[:, 0] if settled is None else settled
    teeth = np.zeros(len(features)) if teeth is None else teeth
    straight, grey = np.zeros((len(features), 3)), np.full((len(features), 3), 100.0)
    return MouthStates(features, straight, grey, settled, teeth, np.zeros((len(features), 2)))


def mouths(apertures: list[float]) -> np.ndarray:
    return np.array([[aperture, 0.6, 0.8] for aperture in apertures])


def test_retrieval_follows_the_source_where_it_fits() -> None:
    wave = mouths(list(0.1 + 0.08 * np.sin(np.arange(40) / 3)))
    path = best_path(states(wave), states(wave), np.arange(40), 10)
    assert path.tolist() == list(range(40))


def test_a_closure_is_served_by_a_closed_mouth_that_stays_closed() -> None:
    features = mouths([0.1, 0.011, 0.1, 0.009, 0.008, 0.009, 0.12])
    settled = np.array([0.1, 0.1, 0.1, 0.1, 0.009, 0.12, 0.12])
    path = best_path(states(mouths([0.006] * 3)), states(features, settled), np.arange(7), 7)
    assert path.tolist() == [4, 4, 4]


def test_a_closed_mouth_is_not_stretched_open() -> None:
    path = best_path(states(mouths([0.1])), states(mouths([0.06, 0.145])), np.arange(2), 2)
    assert path.tolist() == [1]


def test_of_equal_mouths_the_one_with_the_frames_own_expression_serves() -> None:
    wanted, library = states(mouths([0.1])), states(mouths([0.1, 0.1]))
    smiling = replace(library, expression=np.array([[0.0, 0.0], [0.05, -0.05]]))
    assert best_path(wanted, smiling, np.array([0, 9]), 2).tolist() == [0]
    assert best_path(replace(wanted, expression=smiling.expression[1:]), smiling, np.array([0, 9]), 2).tolist() == [1]


def test_jumps_happen_while_the_lips_are_shut() -> None:
    # Two halves of the clip: only the first holds the wide mouth, only the second the one at the end. Between them the
    # lips shut, and both halves have a shut mouth.
    first, second = [0.2, 0.2, 0.1, 0.005], [0.005, 0.1, 0.12, 0.12]
    library = states(mouths(first + second))
    path = best_path(library, library, np.array([0, 1, 2, 3, 50, 51, 52, 53]), 8)
    jump = np.flatnonzero(np.diff(path > 3))
    assert jump.tolist() == [3] or jump.tolist() == [2]


# library


def test_a_long_clip_keeps_runs_of_neighbours() -> None:
    rows = chosen_rows(np.arange(5000), np.zeros(5000, dtype=int), 600)
    assert len(rows) <= 600 and rows[0] == 0 and rows[-1] > 4900
    assert (np.diff(rows) == 1).mean() > 0.9
    assert chosen_rows(np.arange(500), np.zeros(500, dtype=int), 600).tolist() == list(range(500))


def test_crops_come_back_as_they_were(face: np.ndarray, tmp_path: Path) -> None:
    frames = [np.random.default_rng(n).integers(0, 255, (240, 320, 3), dtype=np.uint8) for n in range(3)]
    writer = MouthWriter(tmp_path)
    for number, frame in enumerate(frames):
        writer.add(1 + number // 2, frame, turned(face, 0, 60, (160, 100, 0)))
    writer.finish(tmp_path / "mouths.npz", {7: [1, 2]})
    with np.load(tmp_path / "mouths.npz") as arrays:
        places = arrays["places_7"]
        assert arrays["skin_7"].shape == (3, len(SKIN), 3) and arrays["light_7"].shape == (3,)
    index = {
        "rows": places[:, 0],
        "skin": np.zeros((3, 3)),
        "eyes": np.zeros((1, 3), np.float32),
        "teeth": np.zeros(3),
        "places": places[:, 1:],
    }
    library = MouthLibrary(tmp_path / "seen_mouths_7.bgr", narrowed(index, np.array([0, 2])))
    assert library.rows.tolist() == [0, 2]
    for row in (0, 2):
        crop = library.crop(row)
        height, width = crop.bgr.shape[:2]
        expected = frames[row][crop.top : crop.top + height, crop.left : crop.left + width]
        assert crop.bgr.size > 1000 and np.array_equal(crop.bgr, expected)
    library.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mouths.npz", "seen_mouths_7.bgr"]


def test_of_a_long_clip_every_second_run_of_mouths_goes(face: np.ndarray, tmp_path: Path) -> None:
    frame, landmarks = np.full((60, 80, 3), 90, dtype=np.uint8), turned(face, 0, 10, (40, 25, 0))
    writer = MouthWriter(tmp_path)
    for _ in range(3000):
        writer.add(1, frame, landmarks)
    writer.add(2, frame, landmarks)
    writer.finish(tmp_path / "mouths.npz", {1: [1], 2: [2]})
    with np.load(tmp_path / "mouths.npz") as arrays:
        rows, others = arrays["places_1"][:, 0], arrays["places_2"]
        size = arrays["places_1"][:, 2:4].prod(axis=1).sum() * 3
    assert 600 <= len(rows) <= 1250 and rows[0] == 0 and rows[-1] > 2900 and (np.diff(rows) > 0).all()
    assert (np.diff(rows) == 1).mean() > 0.9 and len(others) == 1
    assert (tmp_path / "seen_mouths_1.bgr").stat().st_size == size


def test_only_changed_stretches_are_chosen_again_and_held_at_both_ends() -> None:
    changed = np.zeros(20, dtype=bool)
    changed[[0, 1, 8, 9, 10, 14]] = True
    found = [(rows.tolist(), is_free.tolist()) for rows, is_free in stretches_to_choose(np.arange(3, 15), changed)]
    assert found == [([7, 8, 9, 10, 11], [False, True, True, True, False]), ([13, 14], [False, True])]
    (whole,) = stretches_to_choose(np.arange(3, 15), None)
    assert whole[0].tolist() == list(range(3, 15)) and whole[1].all()


def test_gains_are_bounded() -> None:
    gains = color_gains(np.array([100.0, 200.0, 50.0]), np.array([100.0, 100.0, 100.0]))
    assert gains == pytest.approx([1.0, 1.25, 0.8])


# warp and composite


def test_an_unmoved_mesh_samples_every_pixel_at_its_own_place(face: np.ndarray) -> None:
    seen = turned(face, 10, 90, (150, 120, 0))[:, :2]
    mesh = build_mesh(face)
    points = vertices(seen, seen, 90.0)
    painted = paint_triangles(mesh, points, 300, 300)
    place = sampling_map(mesh, painted, points, points)
    y, x = np.mgrid[:300, :300]
    assert (painted >= 0).sum() > 5000
    assert np.abs(place - np.stack([x, y], axis=-1)).max() < 1e-2


def test_the_chin_carries_the_contour_and_the_border_stands_still(face: np.ndarray) -> None:
    seen = turned(face, 0, 100, (150, 120, 0))[:, :2]
    moved = seen.copy()
    moved[CHIN, 1] += 6
    mesh = build_mesh(face)
    source, target = vertices(seen, seen, 100.0), vertices(moved, seen, 100.0)
    painted = paint_triangles(mesh, target, 300, 400)
    place = sampling_map(mesh, painted, target, source)
    shift = place - np.stack(np.mgrid[:400, :300][::-1], axis=-1)
    x, y = np.rint(moved[CHIN]).astype(int)
    assert shift[y, x, 1] == pytest.approx(-6, abs=0.6)
    # No step: neighbouring pixels under the chin move by nearly the same.
    assert np.abs(np.diff(shift[y - 20 : y + 60, x, 1])).max() < 1
    assert np.abs(shift[painted < 0]).max() == 0


def test_a_movement_on_a_coarse_grid_is_the_same_to_a_fraction_of_a_pixel(face: np.ndarray) -> None:
    seen = turned(face, 0, 150, (200, 120, 0))[:, :2]
    moved = seen.copy()
    moved[CHIN, 1] += 9
    mesh = build_mesh(face)
    source, target = vertices(seen, seen, 150.0), vertices(moved, seen, 150.0)
    fine = np.stack(displacement(mesh, target, source, 401, 501, 1))
    coarse = np.stack(displacement(mesh, target, source, 401, 501, 2))
    painted = paint_triangles(mesh, target, 401, 501)
    assert np.abs(fine[1]).max() > 6
    # One point alone makes the sharpest bend there can be.
    assert np.abs(coarse - fine).max() < 0.5 and np.abs(coarse - fine).mean() < 0.01
    # What is interpolated stays inside the mesh, but for the pixel beside it.
    far = cv2.dilate((painted >= 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    assert np.abs(coarse[:, far]).max() == 0


def test_pixels_outside_the_mask_are_the_source_bit_for_bit() -> None:
    frame = np.random.default_rng(1).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    mask = soft_mask(np.array([[20, 15], [40, 15], [40, 30], [20, 30]]), (50, 60), 3, 4)
    result = paste(frame, Box(10, 20, 70, 70), np.full((50, 60, 3), 255, dtype=np.uint8), mask > 0)
    changed = (result != frame).any(axis=-1)
    inside = np.zeros((80, 100), dtype=bool)
    inside[20:70, 10:70] = mask > 0
    assert changed.any() and not changed[~inside].any()
    assert mask[0].max() == 0 and mask[:, 0].max() == 0 and mask.max() == pytest.approx(1)


def test_bands_keep_both_sides_and_mix_between() -> None:
    over, under = np.full((64, 64, 3), 200, np.float32), np.full((64, 64, 3), 100, np.float32)
    mask = np.zeros((64, 64), np.float32)
    mask[:, 32:] = 1
    blended = blend_bands(over, under, mask)
    assert blended[32, 1, 0] == pytest.approx(100, abs=2) and blended[32, 62, 0] == pytest.approx(200, abs=2)
    assert np.all(np.diff(blended[32, :, 0]) > -1)


# track


def test_a_cut_is_found_and_a_moving_picture_is_none() -> None:
    rng = np.random.default_rng(2)
    first, second = (
        cv2.resize(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    )
    cuts = CutDetector(27.0, 5)
    pictures = [np.roll(first, shift, axis=1) for shift in range(12)] + [second] * 4
    assert [index for index, picture in enumerate(pictures) if cuts.is_cut(picture)] == [12]


def test_a_jump_within_a_quiet_scene_is_a_cut_and_a_fast_pan_is_none() -> None:
    scene = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 255, (240, 320, 3), dtype=np.uint8), (0, 0), 9)
    scene = cv2.normalize(scene, None, 60, 190, cv2.NORM_MINMAX)
    jump = [np.roll(scene, 0 if index < 12 else 8, axis=1) for index in range(20)]
    pan = [np.roll(scene, 40 * index, axis=1) for index in range(20)]
    cuts = CutDetector(27.0, 5)
    assert [index for index, picture in enumerate(jump) if cuts.is_cut(picture)] == [12]
    cuts = CutDetector(27.0, 5)
    assert not any(cuts.is_cut(picture) for picture in pan)


# who is who


def seen_in(face: np.ndarray, skin: np.ndarray, scale: float, light: float) -> Portrait:
    """A portrait of a face (478, 3) IOD in a picture, at some size and in some light."""
    large = cv2.resize(cv2.convertScaleAbs(skin, alpha=light), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    landmarks = turned(face, 0, 110 * scale, (200 * scale, 180 * scale, 0)).astype(np.float32)
    return portrait(large, FaceReading(landmarks, np.zeros(3, np.float32), np.zeros(52, np.float32)))


def test_one_person_is_recognised_in_another_size_and_light_and_two_are_kept_apart(face: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    mine, other = (
        cv2.resize(rng.integers(60, 200, (14, 14, 3), dtype=np.uint8), (400, 420), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    )
    known, again = [seen_in(face, mine, 1, 1)], [seen_in(face, mine, 0.5, 0.7)]
    assert likeness(known, again) > ALIKE > likeness(known, [seen_in(face, other, 1, 1)])
    longer = face.copy()
    longer[:, 1] *= 1.3
    assert likeness(known, [seen_in(longer, mine, 1, 1)]) == -1
    pieces = [Piece(1, known, 0, 50), Piece(2, again, 60, 90), Piece(3, again, 80, 120), Piece(4, known, 130, 150)]
    # The third is seen beside the second, so it is somebody else, however alike; the fourth is who was known first.
    assert persons(pieces) == {1: 1, 2: 1, 3: 3, 4: 1}


# mouths of other shots


def test_a_mouth_of_another_shot_serves_only_if_alike_in_pose_light_and_size() -> None:
    #      itself, same shot but turned, alike, turned, darker, tinted, smaller, larger, much larger
    shot = np.array([1, 1, 2, 2, 2, 2, 2, 2, 2])
    pose = np.zeros((9, 3))
    pose[1, 0], pose[3, 1] = 40, 15
    face_px = np.array([100, 100, 100, 100, 100, 100, 80, 150, 200.0])
    skin = np.full((9, 3), 120.0)
    skin[4], skin[5, 0] = 90, 105
    lent = may_lend(shot, pose, face_px, skin, np.array([0]), np.arange(9))
    assert lent.tolist() == [[True, True, True, False, False, False, False, True, False]]


def test_every_shot_keeps_mouths_of_its_own() -> None:
    shot = np.repeat([0, 1, 2], [4000, 60, 940])
    rows = chosen_rows(np.arange(5000), shot, 600)
    counts = np.bincount(shot[rows])
    assert counts[1] >= 50 and counts[0] > 3 * counts[2] and len(rows) <= 700


def test_tiles_cover_the_frame_and_overlap() -> None:
    covered = np.zeros((1080, 608), dtype=int)
    for window in search_windows(608, 1080, 304):
        x, y, side = (round(value) for value in window)
        covered[y : y + side, x : x + side] += 1
    assert covered.min() >= 1 and np.median(covered) >= 2


def test_the_track_is_smoothed_in_blocks_as_in_one_piece(tmp_path: Path, face: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    frames = [*range(0, 700), *range(710, 900)]
    raw = rng.normal(size=(len(frames), COUNT, 3)).astype(np.float32)
    likeness = np.where((np.arange(len(frames)) >= 40) & (np.arange(len(frames)) < 60), 0.3, 0.9)
    writer = TrackWriter(tmp_path)
    for frame, points in zip(frames, raw, strict=True):
        writer.add(4, frame, FaceReading(points, np.zeros(3, np.float32), np.zeros(52, np.float32)))
    cells = make_chart(face).is_face.size
    rows, bits = np.array([70, 71], np.int32), np.full((2, -(-cells // 8)), 255, np.uint8)
    seen = Sights(likeness.astype(np.float32), face, rows, bits)
    writer.finish(tmp_path / "track.npz", {4: [4]}, {4: seen}, {0, 300}, landmark_window=5, pose_window=7)
    track = FaceTrack(faces=(Face(id=4, first_frame=0, last_frame=899),), shots=((0, 299), (300, 899))).at(tmp_path)
    states = FaceStates(track, 4)
    expected = np.concatenate(
        [
            with_gaps_of(raw[a:b], savgol_filter(raw[a:b], 5, 2, axis=0, mode="interp"))
            for a, b in ((0, 300), (300, 700), (700, 890))
        ]
    )
    assert np.allclose(states.landmarks(), expected, atol=1e-5)
    assert np.array_equal(states.landmarks(650, 720), states.landmarks()[650:720])
    with np.load(tmp_path / "track.npz") as arrays:
        assert np.array_equal(arrays["landmarks_4"], states.landmarks())
    assert states.row(705) is None and states.row(710) == 700
    assert np.flatnonzero(states.is_hidden).tolist() == [*range(37, 63), *range(67, 75)]
    assert np.flatnonzero(states.cover.hidden_lips).tolist() == [70, 71]
    assert [path.name for path in tmp_path.iterdir()] == ["track.npz"]


def test_runs_end_at_gaps_and_cuts() -> None:
    frames = np.array([3, 4, 5, 8, 9, 10, 11])
    assert list(unbroken_runs(frames, {0, 10})) == [(0, 3), (3, 5), (5, 7)]


@pytest.mark.parametrize(("fps", "frames"), [(12, 3), (25, 5), (30, 5), (50, 9), (60, 11)])
def test_the_filter_keeps_its_length_in_time(fps: float, frames: int) -> None:
    assert filter_frames(200, fps) == frames


# who is driven, and by what


def demanded(tmp_path: Path, turns: list[FaceTurn], **speaking: list[int]) -> dict[int, Demand]:
    """The demands of a clip of 10 s at 10 frames/s; ``speaking`` names the frames in which a speaker's dub speaks."""
    np.save(tmp_path / "frame_times.npy", np.arange(100) * 100.0)
    arrays: dict[str, np.ndarray] = {}
    for number, (speaker, frames) in enumerate(speaking.items(), start=1):
        arrays[speaker] = np.full((100, len(PARAMETERS)), number / 10, np.float32)
        arrays[f"{speaker}.speaking"] = np.isin(np.arange(100), frames)
    np.savez(tmp_path / "trajectory.npz", **arrays)  # type: ignore[arg-type]
    viseme = Viseme(line_id=1, ipa="p", viseme="p", start_ms=1150, end_ms=1250, contact="closure")
    trajectory = Trajectory(speakers=tuple(speaking), visemes=(viseme,)).at(tmp_path)
    picture = PictureStream.model_construct(end_ms=10_000)
    media = Media.model_construct(frame_times="frame_times.npy", picture=picture).at(tmp_path)
    return demands(SpeakerFaces(turns=tuple(turns)), trajectory, media)


def turn(speaker: str, start_ms: int, end_ms: int, face: int | None) -> FaceTurn:
    return FaceTurn(speaker=speaker, start_ms=start_ms, end_ms=end_ms, face=face, margin=1)


def test_a_face_is_driven_through_its_turn_and_while_its_dub_runs_on(tmp_path: Path) -> None:
    asked = demanded(tmp_path, [turn("S1", 1000, 3000, 7)], S1=list(range(12, 40)))
    assert np.flatnonzero(asked[7].wanted).tolist() == list(range(10, 40))
    assert [viseme.ipa for viseme in asked[7].visemes] == ["p"]


def test_two_speakers_drive_each_their_own_face(tmp_path: Path) -> None:
    turns = [turn("S1", 1000, 3000, 7), turn("S2", 4000, 6000, 8), turn("S2", 7000, 8000, None)]
    asked = demanded(tmp_path, turns, S1=list(range(10, 30)), S2=[*range(40, 60), *range(70, 80)])
    assert set(asked) == {7, 8}
    assert np.flatnonzero(asked[7].wanted).tolist() == list(range(10, 30))
    assert np.flatnonzero(asked[8].wanted).tolist() == list(range(40, 60))
    assert asked[7].parameters[20, 0] == pytest.approx(0.1) and asked[8].parameters[50, 0] == pytest.approx(0.2)
    assert asked[7].visemes and not asked[8].visemes


def test_a_turn_that_goes_on_after_a_cut_is_each_side_its_own_face(tmp_path: Path) -> None:
    asked = demanded(tmp_path, [turn("S1", 1000, 3000, 7), turn("S1", 3000, 5000, 8)], S1=list(range(10, 50)))
    assert np.flatnonzero(asked[7].wanted).tolist() == list(range(10, 30))
    assert np.flatnonzero(asked[8].wanted).tolist() == list(range(30, 50))


def test_a_mouth_fades_where_its_face_comes_or_goes_and_not_at_a_cut() -> None:
    assert fallback.coming_and_going(20, False, False, 5).tolist() == [1.0] * 20
    fading = fallback.coming_and_going(20, False, True, 5)
    assert fading[:15].tolist() == [1.0] * 15 and np.allclose(fading[15:], np.arange(5, 0, -1) / 6)
    assert np.allclose(fallback.coming_and_going(20, True, False, 5), fading[::-1])


def test_a_library_that_does_not_load_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MissingEngineError) as missing:
        FaceReader()
    assert "pip install --force-reinstall mediapipe" in str(missing.value)
    assert "\n" not in str(missing.value)


def test_a_gap_survives_smoothing() -> None:
    seen = np.zeros((9, COUNT, 3))
    seen[:, LOWER_INNER[1:-1], 1] = 2.0
    seen[4, LOWER_INNER[1:-1], 1] = 12.0
    smooth = savgol_filter(seen, 5, 2, axis=0, mode="interp")

    def gap(points: np.ndarray) -> float:
        return float((points[4, GAP_PAIRS[:, 1], 1] - points[4, GAP_PAIRS[:, 0], 1]).mean())

    assert gap(smooth) < 8
    assert gap(with_gaps_of(seen, smooth)) == pytest.approx(0.6 * 12 + 0.4 * gap(smooth), abs=0.01)


def test_something_in_front_of_the_mouth_is_seen(tmp_path: Path, face: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    landmarks = turned(face, 0, 150, (200, 180, 0))
    skin = cv2.resize(rng.integers(60, 200, (20, 20, 3), dtype=np.uint8), (400, 420), interpolation=cv2.INTER_CUBIC)
    writer = SightWriter(tmp_path)
    x, y = np.rint(landmarks[LIPS, :2].mean(axis=0)).astype(int)
    for frame in range(60):
        shown = cv2.convertScaleAbs(skin, alpha=0.7 + frame / 200)  # the light changes as well
        if 20 <= frame < 35 or frame == 50:
            cv2.circle(shown, (int(x), int(y)), 80, (120, 140, 180), -1)
        writer.add(1, shown, landmarks.astype(np.float32))
    likeness = writer.finish(1).likeness
    hidden = hidden_frames(likeness, np.zeros(60), np.arange(60))
    assert np.flatnonzero(hidden).tolist() == list(range(17, 38))  # with a margin; one frame alone is noise
    assert likeness[:20].min() > 0.9 and not list(tmp_path.iterdir())


def test_labiodentals_are_served_by_teeth() -> None:
    wanted, library = mouths([0.05] * 3), mouths([0.05, 0.06, 0.05])
    path = best_path(
        states(wanted, teeth=np.ones(3)), states(library, teeth=np.array([0.0, 0.9, 0.1])), np.array([0, 9, 18]), 3
    )
    assert path.tolist() == [1, 1, 1]


def test_closing_lips_cover_the_teeth_and_do_not_squeeze_them(face: np.ndarray) -> None:
    wide, narrow = face.copy(), face.copy()
    set_gap(wide, 0.2)
    set_gap(narrow, 0.06, upper_share=0.0)
    narrow[UPPER_INNER] = wide[UPPER_INNER]
    narrow[LOWER_INNER[1:-1], 1] = wide[UPPER_INNER[1:-1], 1] + 0.06
    mouth = Shown(0, 1.0, wide[:, :2] * 100, wide, 100.0)
    sampled = opening_points(narrow, mouth)
    assert np.allclose(sampled[UPPER_INNER], mouth.landmarks[UPPER_INNER])
    assert (sampled[LOWER_INNER[5], 1] - sampled[UPPER_INNER[5], 1]) == pytest.approx(6.0, abs=0.1)
