"""Things in front of the face: found where they are and nowhere else, and left as they are in what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soxr

from language_packs import PARAMETERS
from stages import media as video_files
from stages import sound
from stages.artifacts import FaceTrack, FaceTurn, Media, SourceVideo, SpeakerFaces, Trajectory
from stages.evaluate.retrack import mouth_box, warping_error
from stages.lipsync import LipsyncConfig, TrackConfig, drawn_frames, track
from stages.lipsync.chart import Chart, make_chart
from stages.lipsync.composite import keep_source, spread_by_sampling
from stages.lipsync.cover import Cover
from stages.lipsync.crops import SKIN, skin_colors
from stages.lipsync.departure import covered_cells, usual_look
from stages.lipsync.detector import FaceReader, whole
from stages.lipsync.geometry import reference_face
from stages.lipsync.landmarks import CHIN, JAW_CONTOUR, MOUTH_CORNERS
from stages.lipsync.library import skin_color
from stages.lipsync.occlusion import Sights, SightWriter, hidden_frames
from stages.lipsync.track_file import FaceStates
from stages.lipsync.warp import vertices
from stages.progress import silent

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
FindClip = Callable[[str], Path]
RED, SKIN_A = 165, 142


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A real face, (478, 3) in the head frame, IOD."""
    with av.open(str(SAMPLE)) as container:
        bgr = next(container.decode(video=0)).to_ndarray(format="bgr24")
    with FaceReader() as reader:
        found = reader.read(bgr, whole(bgr.shape[1], bgr.shape[0]))
    return reference_face(max(found, key=lambda reading: reading.landmarks[:, 0].mean()).landmarks[None])


@pytest.fixture(scope="module")
def chart(face: np.ndarray) -> Chart:
    return make_chart(face)


@pytest.fixture
def charts(chart: Chart) -> np.ndarray:
    """60 charts uint8 (60, h, w, 3) Lab of a face with red lips that twitches a little in changing light."""
    rng = np.random.default_rng(5)
    usual = np.full((*chart.is_face.shape, 3), (170, SKIN_A, 146), np.float32)
    usual[chart.is_lips] = (120, RED, 140)
    usual[..., 0] += cv2.GaussianBlur(rng.normal(0, 30, usual.shape[:2]).astype(np.float32), (0, 0), 2)
    noise = rng.normal(0, 1.5, (60, *usual.shape))
    light = 1 + 0.1 * np.sin(np.arange(60) / 5)[:, None, None]
    shown = np.stack([np.roll(usual, frame % 3 - 1, axis=1) for frame in range(60)]) + noise
    shown[..., 0] *= light
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def covered(charts: np.ndarray, chart: Chart) -> np.ndarray:
    flat = np.ascontiguousarray(charts[:, chart.is_face])
    off = np.abs(flat.astype(float) - np.median(flat, axis=0)).mean(axis=(1, 2))
    return covered_cells(flat, usual_look(flat, -off, chart.is_face, 300))


def thing(chart: Chart, top: int, left: int, height: int, width: int) -> np.ndarray:
    cells = np.zeros(chart.is_face.shape, dtype=bool)
    cells[top : top + height, left : left + width] = True
    return cells & chart.is_face


# which cells are covered


def test_nothing_is_found_where_nothing_is(charts: np.ndarray, chart: Chart) -> None:
    assert not covered(charts, chart).any()


def test_a_thing_is_found_where_and_when_it_is(charts: np.ndarray, chart: Chart) -> None:
    cells = thing(chart, 22, 18, 7, 9)
    charts[20:35, cells] = (90, 128, 110)
    charts[50, cells] = (90, 128, 110)  # one frame is noise
    found = covered(charts, chart)
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == list(range(20, 35))
    assert found[20:35, cells].mean() > 0.95
    larger = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert not found[:, ~larger].any()


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_shadow_is_nothing(charts: np.ndarray, chart: Chart, share: float) -> None:
    width = chart.is_face.shape[1]
    part = charts[20:35, :, : round(share * width)].astype(np.float32)
    part[..., 0] *= 0.75
    part[..., 1:] = 128 + 0.85 * (part[..., 1:] - 128)
    charts[20:35, :, : round(share * width)] = part
    assert not covered(charts, chart).any()


def test_a_thing_in_the_colour_of_skin_is_found_across_the_lips(charts: np.ndarray, chart: Chart) -> None:
    y, x = np.nonzero(chart.is_lips)
    finger = thing(chart, y.min() - 3, round(x.mean()) - 2, y.max() - y.min() + 10, 6)
    charts[20:30, finger] = (165, SKIN_A, 146)
    charts[20:30, chart.is_lips] = (165, SKIN_A, 146)
    found = covered(charts, chart)
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == list(range(20, 30))
    assert found[20:30, chart.is_lips].mean(axis=1).min() > 0.3  # by far enough to hide the frame


# what is kept of the picture


def cover_of(face: np.ndarray, chart: Chart, cells: np.ndarray, rows: list[int], frames: np.ndarray) -> Cover:
    bits = np.packbits(cells.reshape(1, -1), axis=1).repeat(len(rows), axis=0)
    return Cover(Sights(np.ones(len(frames), np.float32), face, np.array(rows, np.int32), bits), frames)


def test_a_thing_is_kept_with_a_soft_edge_in_place_and_time(face: np.ndarray, chart: Chart) -> None:
    cells = thing(chart, 22, 18, 6, 8)
    frames = np.array([*range(20), *range(40, 60)])
    cover = cover_of(face, chart, cells, [18, 19], frames)
    most = [0.0 if kept is None else float(kept.max()) for kept in map(cover.kept_cells, range(40))]
    assert most == [0.0] * 16 + [0.5, 1.0, 1.0, 1.0] + [0.0] * 20  # row 20 lies 21 frames later
    kept = cover.kept_cells(18)
    assert kept is not None and (kept[cells] == 1).all() and 0 < (kept > 0).mean() < 0.3


def test_what_lies_over_the_jaw_line_lies_over_the_neck_and_between_the_lips(face: np.ndarray, chart: Chart) -> None:
    corners = np.array([200.0, 100.0])
    points = vertices(face[:, :2], face[:, :2], 1.0) * 150 + corners
    cells = chart.is_face & (np.arange(48)[None] >= 18) & (np.arange(48)[None] < 30)
    kept = cover_of(face, chart, cells, [0, 1], np.arange(3)).kept(0, points, (400, 400))
    assert kept is not None
    x, y = np.rint(face[CHIN, :2] * 150 + corners).astype(int)
    assert (kept[y + 5 : y + 30, x] == 1).all()
    x, y = np.rint(face[[13, 14], :2].mean(axis=0) * 150 + corners).astype(int)
    assert kept[y, x] == 1
    x, y = np.rint(face[JAW_CONTOUR[1], :2] * 150 + corners).astype(int)
    assert kept[y, x] == 0
    assert cover_of(face, chart, cells, [0, 1], np.arange(9)).kept(8, points, (400, 400)) is None


def test_lips_of_which_more_than_a_rim_is_hidden_hide_the_frame(face: np.ndarray, chart: Chart) -> None:
    x = np.nonzero(chart.is_lips)[1]
    frames, ones = np.arange(40), np.ones(40)
    for share, hidden in ((0.01, []), (0.2, list(range(17, 28)))):
        edge = np.quantile(x, share)
        cells = chart.is_face & (np.arange(48)[None] <= edge)
        cover = cover_of(face, chart, cells, list(range(20, 25)), frames)
        assert np.flatnonzero(hidden_frames(ones, cover.hidden_lips, frames)).tolist() == hidden
        assert np.flatnonzero(cover.touches_mouth).tolist() == list(range(19, 26))


def test_the_light_is_taken_where_the_skin_is_seen(face: np.ndarray, chart: Chart) -> None:
    half = chart.is_face & (np.arange(48)[None] < 22)
    seen = cover_of(face, chart, half, [0, 1], np.arange(9)).is_seen(0, SKIN)
    assert 0.2 < seen.mean() < 0.8
    landmarks = face * 150 + 200
    picture = np.full((400, 400, 3), 100, np.uint8)
    for x, y in np.rint(landmarks[SKIN[~seen], :2]).astype(int):
        picture[y - 2 : y + 3, x - 2 : x + 3] = 0
    around = skin_colors(picture, landmarks)
    assert skin_color(around, seen).min() > 95 > skin_color(around, np.ones(16, bool)).max()


def test_a_kept_thing_does_not_appear_beside_itself() -> None:
    kept = np.zeros((20, 20), np.float32)
    kept[:, 10:12] = 1
    x, y = np.meshgrid(np.arange(20, dtype=np.float32), np.arange(20, dtype=np.float32))
    spread = spread_by_sampling(kept, x + 4, y)  # all is drawn from 4 px to the right
    assert np.flatnonzero(spread[5] == 1).tolist() == [6, 7, 10, 11]
    source, drawn = np.full((20, 20, 3), 9, np.uint8), np.full((20, 20, 3), 50, np.uint8)
    assert np.flatnonzero(keep_source(source, drawn, spread)[5, :, 0] == 9).tolist() == [6, 7, 10, 11]


def test_blocks_of_charts_are_looked_at_as_one_piece(
    tmp_path: Path, face: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    landmarks = (face * 150 + np.array([200, 180, 0])).astype(np.float32)
    skin = cv2.resize(rng.integers(150, 200, (20, 20, 3), dtype=np.uint8), (400, 420), interpolation=cv2.INTER_CUBIC)
    x, y = (int(value) for value in np.rint(landmarks[CHIN, :2]))
    found = []
    for block in (500, 7):
        monkeypatch.setattr("stages.lipsync.occlusion._BLOCK_FRAMES", block)
        writer = SightWriter(tmp_path)
        for frame in range(40):
            shown = skin.copy()
            if 13 <= frame < 15 or frame == 27:
                cv2.circle(shown, (x, y - 10), 30, (30, 30, 30), -1)
            writer.add(1, shown, landmarks)
        found.append(writer.finish(1))
    assert found[0].covered_rows.tolist() == found[1].covered_rows.tolist() == [13, 14]
    assert np.array_equal(found[0].covered, found[1].covered)
    assert not list(tmp_path.iterdir())


# real clips


def opened(path: Path, folder: Path) -> tuple[SourceVideo, Media, FaceTrack]:
    video = video_files.open_source(path)
    media = video_files.ingest(video, video_files.MediaConfig(), folder, silent).at(folder)
    return video, media, track(video, media, TrackConfig(), folder, silent).at(folder)


def spoken(media: Media, face: int, folder: Path, widest: float = 0.85) -> tuple[SpeakerFaces, Trajectory]:
    """A mouth that opens and closes 2.5 times a second, through the whole clip."""
    times_ms = np.load(media.file(media.frame_times))
    opening = 0.5 - 0.5 * np.cos(2 * np.pi * 2.5 * times_ms / 1000)
    parameters = np.zeros((len(times_ms), len(PARAMETERS)), np.float32)
    for name, values in (("width", 0.5), ("aperture", widest * opening), ("jaw", 0.7 * widest * opening)):
        parameters[:, PARAMETERS.index(name)] = values
    np.savez(folder / "trajectory.npz", **{"S1": parameters, "S1.speaking": np.ones(len(times_ms), dtype=bool)})
    turn = FaceTurn(speaker="S1", start_ms=0, end_ms=int(times_ms[-1]) + 1000, face=face, margin=1.0)
    return SpeakerFaces(turns=(turn,)), Trajectory(speakers=("S1",), visemes=()).at(folder)


@pytest.mark.parametrize("name", ["statement-en.mp4", "talker-a.mp4", "talker-b.mp4"])
def test_nothing_is_found_in_front_of_faces_that_talk(name: str, clip: FindClip, tmp_path: Path) -> None:
    _, _, tracked = opened(SAMPLE if name == SAMPLE.name else clip(name), tmp_path)
    assert tracked.faces
    for states in FaceStates.all(tracked).values():
        assert not states.cover.hidden_lips.any() and states.is_free.all()
        assert all(states.cover.kept_cells(row) is None for row in range(len(states.frames)))


def write_clip(path: Path, frames: Iterator[np.ndarray]) -> None:
    """Write frames uint8 BGR (512, 512, 3) at 25 frames/s, as good as without loss, with a silent track."""
    with av.open(str(path), "w") as out:
        picture, voice = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=48_000, layout="mono")
        picture.options, picture.pix_fmt, count = {"crf": "0", "preset": "ultrafast"}, "yuv420p", 0
        picture.width = picture.height = 512
        for bgr in frames:
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            frame.pts, frame.time_base, count = count, Fraction(1, 25), count + 1
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        write_sound(out, voice, np.zeros(count * 1920, np.float32))


def write_sound(out: av.container.OutputContainer, voice: av.AudioStream, samples: np.ndarray) -> None:
    for start in range(0, len(samples), 1024):
        block = np.ascontiguousarray(samples[None, start : start + 1024], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        out.mux(voice.encode(frame))
    out.mux(voice.encode(None))


def disk(frame: int, points: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """A dark microphone that sways in front of the chin."""
    x, y = points[CHIN] + [8 * np.sin(frame / 9), -8]
    cv2.circle(mask, (int(x), int(y)), 34, 255, -1)
    return 40, 40, 45


def rectangle(frame: int, points: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """A green card that is moved from the cheek to the corner of the mouth and back."""
    x, y = points[MOUTH_CORNERS[1]] + [16 + 22 * np.cos(np.pi * (frame - 30) / 22), -16]
    cv2.rectangle(mask, (int(x), int(y)), (int(x) + 42, int(y) + 32), 255, -1)
    return 60, 160, 70


def still(frame: int, points: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """A blue card that stands still in the picture, over the chin."""
    cv2.rectangle(mask, (250, 378), (315, 425), 255, -1)
    return 150, 110, 60


def finger(frame: int, points: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """A finger in the colour of the skin across the mouth."""
    x, y = points[list(MOUTH_CORNERS)].mean(axis=0) + np.array([16 + 6 * np.sin(frame / 6), -8])
    cv2.line(mask, (int(x), int(y)), (int(x) + 60, int(y) + 140), 255, 26)
    return 137, 164, 204


@pytest.fixture(scope="module")
def free_faces(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], np.ndarray]:
    """The landmarks of a clip before anything is put in front of it, (n, 478, 2) px."""
    known: dict[Path, np.ndarray] = {}

    def find(path: Path) -> np.ndarray:
        if path not in known:
            _, _, tracked = opened(path, tmp_path_factory.mktemp("free"))
            known[path] = FaceStates(tracked, tracked.faces[0].id).landmarks()[..., :2].astype(np.float64)
        return known[path]

    return find


def palm(frame: int, points: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """The same with three fingers: half of the mouth is gone."""
    finger(frame, points, mask)
    mask[:] = cv2.dilate(mask, np.ones((1, 45), np.uint8))
    return 137, 164, 204


THING_FRAMES = range(30, 75)


@pytest.mark.parametrize(
    ("shape", "lost"),
    [(disk, 0.002), (rectangle, 0.002), (still, 0.002), (finger, 0.0), (palm, 0.0)],
)
def test_what_covers_a_part_of_the_face_stays_as_it_is(
    shape: Callable[[int, np.ndarray, np.ndarray], tuple[int, int, int]],
    lost: float,
    clip: FindClip,
    free_faces: Callable[[Path], np.ndarray],
    tmp_path: Path,
) -> None:
    path = clip("talker-b.mp4")
    points, masks = free_faces(path), {}
    original, folder = video_files.open_source(path), tmp_path / "original"
    folder.mkdir()
    untouched = video_files.ingest(original, video_files.MediaConfig(), folder, silent).at(folder)
    source = video_files.frames(original, untouched)

    def with_thing() -> Iterator[np.ndarray]:
        for number, bgr in zip(range(120), source, strict=False):
            shown = bgr.copy()
            if number in THING_FRAMES:
                mask = np.zeros(bgr.shape[:2], np.uint8)
                shown[:] = shape(number, points[number], mask)
                masks[number] = mask > 0
                shown = np.where(masks[number][..., None], shown, bgr)
            yield shown

    write_clip(tmp_path / "made.mp4", with_thing())
    video, media, tracked = opened(tmp_path / "made.mp4", tmp_path)
    states = FaceStates(tracked, tracked.faces[0].id)
    drive = spoken(media, tracked.faces[0].id, tmp_path)
    frames = zip(
        drawn_frames(video, media, tracked, *drive, LipsyncConfig()),
        video_files.frames(video, media),
        strict=True,
    )
    changed, inside_px, driven = 0, 0, 0
    for (index, bgr, patches), before in frames:
        differs = (bgr != before).any(axis=-1)
        if index not in THING_FRAMES:
            if abs(index - 52) > 40:
                assert patches, "what is far from the thing is driven"
            continue
        driven += bool(patches)
        jaw = np.zeros(bgr.shape[:2], np.uint8)
        cv2.fillPoly(jaw, [np.rint(points[index, JAW_CONTOUR]).astype(np.int32)], 1)
        inside = cv2.erode(masks[index].astype(np.uint8), np.ones((5, 5), np.uint8)) & jaw > 0
        changed, inside_px = changed + int(differs[inside].sum()), inside_px + int(inside.sum())
    assert inside_px > 10_000
    if shape in (finger, palm):
        assert driven == 0 and states.is_hidden[list(THING_FRAMES)].all()
    else:
        assert driven > 0.5 * len(THING_FRAMES)  # the rest touches the lips
        assert changed <= lost * inside_px


# a real hand


COVERED = range(57, 230)
"""Frames in which, by eye, some of the hand is in front of the lower face or reaches for it."""


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Callable[[FindClip], tuple[SourceVideo, Media, FaceTrack, Path]]:
    """The clip with the hand and with speech laid under it, tracked."""
    known: list[tuple[SourceVideo, Media, FaceTrack, Path]] = []

    def find(clip: FindClip) -> tuple[SourceVideo, Media, FaceTrack, Path]:
        if not known:
            folder = tmp_path_factory.mktemp("hand")
            speech, rate_hz = sound.read(clip("speech-en-long.wav"))
            samples = soxr.resample(speech.reshape(len(speech), -1).mean(axis=1), rate_hz, 48_000)[
                : round(19.6 * 48_000)
            ]
            path = folder / "hand.mp4"
            with av.open(str(clip("hand-over-mouth.mp4"))) as given, av.open(str(path), "w") as out:
                picture = out.add_stream_from_template(given.streams.video[0])
                voice = out.add_stream("aac", rate=48_000, layout="mono")
                for packet in given.demux(given.streams.video[0]):
                    if packet.dts is not None:
                        packet.stream = picture
                        out.mux(packet)
                write_sound(out, voice, samples)
            known.append((*opened(path, folder), folder))
        return known[0]

    return find


def drawn_hand(
    given: tuple[SourceVideo, Media, FaceTrack, Path], widest: float
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (frame, drawn, source, source landmarks (478, 3))."""
    video, media, tracked, folder = given
    states = FaceStates(tracked, tracked.faces[0].id)
    drive = spoken(media, tracked.faces[0].id, folder, widest)
    drawn = drawn_frames(video, media, tracked, *drive, LipsyncConfig())
    for (index, bgr, _), source in zip(drawn, video_files.frames(video, media), strict=True):
        yield index, bgr, source, states.landmarks(index, index + 1)[0]


def test_under_a_hand_every_frame_is_the_source_bit_for_bit_and_nothing_flickers_beside_them(
    clip: FindClip, hand: Callable[[FindClip], tuple[SourceVideo, Media, FaceTrack, Path]]
) -> None:
    changed, errors = set(), Unrest()
    for index, drawn, source, landmarks in drawn_hand(hand(clip), 0.85):
        errors.look(drawn, source, landmarks)
        if not np.array_equal(drawn, source):
            changed.add(index)
    assert not set(COVERED) & changed
    # Only a few more than those, on both sides: the mouth has gone back to the source's before the hand arrives.
    first, last = COVERED[0] - 4, COVERED[-1] + 4
    assert set(range(first)) | set(range(last + 1, 470)) == changed - {470, 471}
    # The mouth emerges in its own pixels; no step of that is larger than those that she makes herself.
    drawn, source = errors.each()
    assert drawn[first - 2 : first + 1].max() <= 1.2 * source.mean()
    assert drawn[last + 1 : last + 3].max() <= 1.2 * source.mean()


def test_a_mouth_at_rest_is_as_quiet_as_hers_when_the_hand_comes(
    clip: FindClip, hand: Callable[[FindClip], tuple[SourceVideo, Media, FaceTrack, Path]]
) -> None:
    errors = Unrest()
    for index, drawn, source, landmarks in drawn_hand(hand(clip), 0.0):
        if index < COVERED[0]:
            errors.look(drawn, source, landmarks)
    drawn, source = errors.each()
    assert drawn[45:].mean() <= 1.2 * source[45:].mean()


class Unrest:
    """The warping error of the mouth box in what is drawn and in the source, from frame to frame."""

    def __init__(self) -> None:
        self._errors: list[list[float]] = []
        self._before: list[np.ndarray] = []

    def look(self, drawn: np.ndarray, source: np.ndarray, landmarks: np.ndarray) -> None:
        grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in (drawn, source)]
        box = mouth_box(landmarks, grey[0].shape)
        pairs = zip(self._before or grey, grey, strict=True)
        self._errors.append([warping_error(before[box], after[box]) for before, after in pairs])
        self._before = grey

    def each(self) -> np.ndarray:
        """Return (2, frames): drawn, source."""
        return np.array(self._errors).T
