"""The stage ``sync``: decode, draw, encode, one frame at a time.

One pass over the clip: the mouths that are drawn were put by when it was tracked. Only frames in which a driven face is
moved differ from the source before encoding, and only in the pixels that :func:`rendered_frames` names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from stages import media as video_files
from stages.artifacts import FaceTrack, Media, Picture, SourceVideo, SpeakerFaces, Speech, Trajectory, Unsynced
from stages.engines import chosen
from stages.lipsync import ENGINES, LipsyncConfig, hears, kept
from stages.lipsync.ahead import read_ahead
from stages.lipsync.closures import closures
from stages.lipsync.composite import Patch
from stages.lipsync.crops import pixels_name
from stages.lipsync.detector import FaceReader
from stages.lipsync.fallback import allowed_strength
from stages.lipsync.feedback import SeenMouth
from stages.lipsync.library import MouthLibrary, chosen_rows, narrowed, put_by
from stages.lipsync.mouth import MouthPainter
from stages.lipsync.painting import MakePainters, Painter, Scene
from stages.lipsync.plan import SMALL_FACE_PX, Demand, FacePlan, choose_mouths, demands, make_plan, unsynced
from stages.lipsync.track_file import FaceStates
from stages.picture_writer import EncodeConfig, PictureWriter
from stages.progress import Progress, silent

_THREADS = 2
"""Frames drawn at a time: no frame depends on another."""
_GENERATED_SHARE = 0.7
"""Of the work, for the progress: what an engine that generates does before anything is drawn."""


def sync(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    speech: Speech | None,
    config: LipsyncConfig,
    out: Path,
    progress: Progress,
) -> Picture:
    """See :func:`stages.lipsync.sync` and :func:`stages.lipsync.sync_to_voices`."""
    drawn, left, crf = decided(media, track, faces, trajectory, config)
    if crf is None:
        progress(1.0)
        return Picture(video=None, changed_frames=0, unsynced=left)
    times_ms = np.load(media.file(media.frame_times))
    cuts = [first for first, _ in track.shots]
    begun = _GENERATED_SHARE if hears(config) else 0.0
    scene = Scene(video, media, faces, trajectory, speech, scratch=out)
    with (
        painting(track, drawn, config, kept_in=out) as seen,
        _engine(config)(seen, scene, config, lambda share: progress(begun * share)) as painters,
        PictureWriter(out / "picture.mp4", video, media, encoding(crf, config), cuts) as writer,
    ):
        gaps_iod = unread(drawn)
        changed = encode_drawn(
            rendered_frames(video, media, painters),
            writer,
            drawn,
            gaps_iod,
            lambda count: progress(begun + (1 - begun) * count / media.picture.frames),
        )
        kept.save(out, {face: (each.plan, each.painter.library) for face, each in seen.items()}, gaps_iod)
    return Picture(
        crf=crf,
        changed_frames=changed,
        closures=closures(drawn, gaps_iod, times_ms, config.closed_gap_iod),
        unsynced=left,
    )


def _engine(config: LipsyncConfig) -> MakePainters:
    return chosen(ENGINES, config.engine, "lipsync.engine").make()


class Decided(NamedTuple):
    """What is decided for the whole clip before any mouth is chosen."""

    drawn: dict[int, FacePlan]
    """By face id, of the faces in which something changes."""
    unsynced: tuple[Unsynced, ...]
    crf: int | None
    """x264's rate factor; None where nothing changes."""


def decided(
    media: Media, track: FaceTrack, faces: SpeakerFaces, trajectory: Trajectory, config: LipsyncConfig
) -> Decided:
    """Plan the faces and choose the rate factor."""
    asked, plans = plan_faces(media, track, faces, trajectory, config)
    left = unsynced(faces, plans, asked, media, config)
    drawn = {face: plan for face, plan in plans.items() if len(plan.driven_rows())}
    if not drawn:
        return Decided(drawn, left, None)
    is_small = min(float(np.median(plan.face_px[plan.driven_rows()])) for plan in drawn.values()) < SMALL_FACE_PX
    return Decided(drawn, left, config.small_face_crf if is_small else config.crf)


def unread(plans: Mapping[int, FacePlan]) -> dict[int, np.ndarray]:
    """Return, by face id, the gaps (k,) of drawn frames before any was drawn: NaN."""
    return {face: np.full(len(plan.strength), np.nan) for face, plan in plans.items()}


def encode_drawn(
    frames: Iterable[tuple[int, np.ndarray, dict[int, Patch]]],
    writer: PictureWriter,
    plans: Mapping[int, FacePlan],
    gaps_iod: Mapping[int, np.ndarray],
    tell_written: Callable[[int], object],
) -> int:
    """Encode frames of :func:`rendered_frames` and fill in the gaps that were read in them; return how many changed.

    ``tell_written`` is told after each how many there are.
    """
    changed = 0
    for count, (index, bgr, patches) in enumerate(frames, start=1):
        writer.write(bgr)
        changed += bool(patches)
        for face, patch in patches.items():
            gaps_iod[face][plans[face].states.row(index)] = patch.gap_iod
        tell_written(count)
    return changed


def encoding(crf: int, config: LipsyncConfig) -> EncodeConfig:
    """Return how a picture is encoded at this rate factor."""
    return EncodeConfig(crf=crf, preset=config.preset, threads=config.encoder_threads)


def drawn_frames(
    video: SourceVideo,
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    trajectory: Trajectory,
    speech: Speech | None,
    config: LipsyncConfig,
) -> Iterator[tuple[int, np.ndarray, dict[int, Patch]]]:
    """See :func:`stages.lipsync.drawn_frames`."""
    _, plans = plan_faces(media, track, faces, trajectory, config)
    drawn = {face: plan for face, plan in plans.items() if len(plan.driven_rows())}
    scene = Scene(video, media, faces, trajectory, speech)
    with (
        painting(track, drawn, config) as seen,
        _engine(config)(seen, scene, config, silent) as painters,
    ):
        yield from rendered_frames(video, media, painters)


def plan_faces(
    media: Media, track: FaceTrack, faces: SpeakerFaces, trajectory: Trajectory, config: LipsyncConfig
) -> tuple[dict[int, Demand], dict[int, FacePlan]]:
    """Return what is asked of every face, and the plans, by face id."""
    times_ms = np.load(media.file(media.frame_times))
    shots = {first for first, _ in track.shots}
    asked = demands(faces, trajectory, media)
    plans = {
        face: make_plan(FaceStates(track, face), shots, demand, times_ms, config) for face, demand in asked.items()
    }
    return asked, plans


@contextmanager
def painting(
    track: FaceTrack,
    plans: dict[int, FacePlan],
    config: LipsyncConfig,
    apart_frames: int = 0,
    kept_in: Path | None = None,
) -> Iterator[dict[int, SeenMouth]]:
    """Choose the mouths (:func:`chosen_mouths`), and lend those who draw them."""
    with (
        chosen_mouths(track, plans, config, apart_frames, kept_in) as libraries,
        seen_mouths(plans, libraries, config) as seen,
    ):
        yield seen


@contextmanager
def chosen_mouths(
    track: FaceTrack,
    plans: dict[int, FacePlan],
    config: LipsyncConfig,
    apart_frames: int = 0,
    kept_in: Path | None = None,
) -> Iterator[dict[int, MouthLibrary]]:
    """Choose from the mouths that the track holds, which completes the plans, and lend those that there are.

    ``apart_frames``: see :func:`stages.lipsync.plan.choose_mouths`. ``kept_in``: a folder that gets the mouths as well.
    """
    with ExitStack() as stack:
        libraries = {}
        for face, plan in plans.items():
            index = put_by(track, face, plan.states)
            usable = np.intersect1d(_usable_rows(plan, config), index["rows"])
            usable = usable if len(usable) else index["rows"]
            rows = chosen_rows(usable, plan.shot[usable], config.library_frames)
            pixels = track.file(pixels_name(face))
            if kept_in:
                pixels = kept.hand_on(track, pixels_name(face), kept_in / kept.library_name(face))
            libraries[face] = stack.enter_context(closing(MouthLibrary(pixels, narrowed(index, rows))))
            choose_mouths(plan, libraries[face], {first for first, _ in track.shots}, config, apart_frames)
        yield libraries


@contextmanager
def seen_mouths(
    plans: dict[int, FacePlan], libraries: dict[int, MouthLibrary], config: LipsyncConfig
) -> Iterator[dict[int, SeenMouth]]:
    """Lend those who draw the planned faces."""
    with ExitStack() as stack:
        readers: SimpleQueue[FaceReader] = SimpleQueue()
        for _ in range(_THREADS if plans else 0):
            readers.put(stack.enter_context(FaceReader(with_blendshapes=False)))
        yield {
            face: SeenMouth(MouthPainter(plan, libraries[face]), readers, config.closed_gap_iod)
            for face, plan in plans.items()
        }


def rendered_frames(
    video: SourceVideo,
    media: Media,
    painters: Mapping[int, Painter],
    first: int = 0,
    last: int | None = None,
    tell_decoded: Callable[[], object] = lambda: None,
) -> Iterator[tuple[int, np.ndarray, dict[int, Patch]]]:
    """Yield (frame, uint8 BGR (h, w, 3), patch per face) for the whole clip; what no patch moved is the source.

    ``first``, ``last`` and ``tell_decoded`` as in :func:`stages.media.frames`.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[tuple[int, np.ndarray, dict[int, Patch]]]] = deque()
        source = video_files.frames(video, media, first, last, tell_decoded)
        for index, bgr in enumerate(read_ahead(source), start=first):
            waiting.append(pool.submit(_drawn, painters, index, bgr))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _drawn(painters: Mapping[int, Painter], index: int, bgr: np.ndarray) -> tuple[int, np.ndarray, dict[int, Patch]]:
    patches = {}
    for face, painter in painters.items():
        row = painter.plan.states.row(index)
        if row is not None and painter.plan.strength[row] > 0:
            bgr, patches[face] = painter.draw(bgr, row)
    return index, bgr, patches


def _usable_rows(plan: FacePlan, config: LipsyncConfig) -> np.ndarray:
    """Return the rows whose mouths can be shown: seen whole and well enough, from not too far aside."""
    usable = np.flatnonzero((allowed_strength(plan.states, plan.face_px, config) > 0) & plan.states.is_free)
    return usable if len(usable) else np.arange(len(plan.face_px))
