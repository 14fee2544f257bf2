"""A second of the sample driven by a made-up line: the man on the right, whose lips must meet twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conftest import SAMPLE

from language_packs import PARAMETERS
from stages import lipsync, sound
from stages import media as video_files
from stages.artifacts import (
    FaceTrack,
    FaceTurn,
    Media,
    Picture,
    SourceVideo,
    SpeakerFaces,
    Speech,
    SpokenLine,
    Trajectory,
    Viseme,
)
from stages.lipsync import LipsyncConfig
from stages.lipsync.composite import Patch
from stages.lipsync.track_file import FaceStates
from stages.progress import silent

SPEAKS_MS = (2000, 3000)
CLOSING_MS = (2350, 2750)
_CLOSED_MS = 60


class DrivenScene(NamedTuple):
    video: SourceVideo
    media: Media
    track: FaceTrack
    faces: SpeakerFaces
    trajectory: Trajectory
    speech: Speech

    def sync(self, config: LipsyncConfig, out: Path) -> Picture:
        out.mkdir(exist_ok=True)
        return lipsync.sync_to_voices(*self, config, out, silent).at(out)

    def drawn(self, config: LipsyncConfig) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[int, Patch]]]:
        """Yield number, source frame, drawn frame and patches."""
        drawn = lipsync.drawn_frames(*self[:5], config, self.speech)
        for (index, bgr, patches), source in zip(drawn, video_files.frames(self.video, self.media), strict=True):
            yield index, source, bgr, patches

    @property
    def face(self) -> int:
        assert self.faces.turns[0].face is not None
        return self.faces.turns[0].face


def make_scene(folder: Path) -> DrivenScene:
    video = video_files.open_source(SAMPLE)
    clip = video_files.ingest(video, video_files.MediaConfig(), folder, silent).at(folder)
    track = lipsync.track(video, clip, lipsync.TrackConfig(), folder, silent).at(folder)
    times_ms = np.load(clip.file(clip.frame_times))
    speaking = (times_ms >= SPEAKS_MS[0]) & (times_ms < SPEAKS_MS[1])
    away_ms = np.min(np.abs(times_ms[:, None] - np.array(CLOSING_MS)), axis=1)
    parameters = np.zeros((len(times_ms), len(PARAMETERS)), dtype=np.float32)
    parameters[:, PARAMETERS.index("width")] = 0.5
    for name, slope_ms, most in (("aperture", 300, 0.9), ("jaw", 400, 0.7)):
        parameters[speaking, PARAMETERS.index(name)] = np.clip(away_ms[speaking] / slope_ms, 0, most)
    parameters[speaking & (away_ms <= _CLOSED_MS), PARAMETERS.index("closure")] = 1
    np.savez(folder / "trajectory.npz", **{"S1": parameters, "S1.speaking": speaking})
    visemes = tuple(
        Viseme(
            line_id=1, ipa="p", viseme="p", start_ms=ms - _CLOSED_MS, end_ms=ms + _CLOSED_MS, contact="closure"
        )
        for ms in CLOSING_MS
    )  # fmt: skip
    right = max(track.faces, key=lambda face: float(FaceStates(track, face.id).landmarks()[..., 0].mean())).id
    turn = FaceTurn(speaker="S1", start_ms=SPEAKS_MS[0], end_ms=SPEAKS_MS[1], face=right, margin=1.0)
    return DrivenScene(
        video,
        clip,
        track,
        SpeakerFaces(turns=(turn,)),
        Trajectory(speakers=("S1",), visemes=visemes).at(folder),
        made_speech(folder, ("S1", *SPEAKS_MS), ("S2", 5000, 5500)),
    )


def made_speech(folder: Path, *lines: tuple[str, int, int]) -> Speech:
    """Noise for every line (speaker, start, end), which grows louder from line to line."""
    noise, spoken = np.random.default_rng(0), []
    for number, (speaker, start_ms, end_ms) in enumerate(lines, start=1):
        sound.write(folder / f"line{number}.wav", noise.normal(0, 0.02 * number, (end_ms - start_ms) * 24), 24_000)
        spoken.append(
            SpokenLine(
                id=number,
                speaker=speaker,
                sound=f"line{number}.wav",
                sound_start_ms=start_ms,
                start_ms=start_ms,
                end_ms=end_ms,
                rate=1.0,
                phones=(),
                similarity=1.0,
            )
        )
    return Speech(language="pt-BR", engine="noise", rate_hz=24_000, lines=tuple(spoken)).at(folder)
