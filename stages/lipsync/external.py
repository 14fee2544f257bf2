"""A program in its own environment that generates faces: it is given a folder and returns patches.

The exchange is described in ``docs/lipsync-engines.md``. The program is started once for all faces, without a shell.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from stages import sound
from stages.errors import InputError, MissingEngineError
from stages.lipsync import ExternalConfig, LipsyncConfig
from stages.lipsync.framing import Framing
from stages.lipsync.generated import FaceJob, generated_faces
from stages.lipsync.painting import Painter, Scene
from stages.progress import Progress

if TYPE_CHECKING:
    from stages.lipsync.feedback import SeenMouth

_NAME = "lipsync.external.command"
_FORMAT = 1
_MOST_ERROR_CHARACTERS = 300


@contextmanager
def painters(
    seen: dict[int, SeenMouth], scene: Scene, config: LipsyncConfig, progress: Progress
) -> Iterator[Mapping[int, Painter]]:
    """Lend who draws the faces that the program makes (:class:`stages.lipsync.painting.MakePainters`).

    Raises:
        InputError: there is no speech to go by, the program fails or takes too long, or returns something else.
        MissingEngineError: the program cannot be started.
    """
    with generated_faces(seen, scene, ExternalEngine(config.external), progress) as drawers:
        yield drawers


class ExternalEngine:
    """The program (:class:`stages.lipsync.generated.Generator`)."""

    def __init__(self, config: ExternalConfig) -> None:
        self._config = config
        self.framing = Framing(config.size_px, config.margin, config.margin, config.margin, keeps_aspect=True)

    def generate(self, jobs: Mapping[int, FaceJob], fps: float, scratch: Path, progress: Progress) -> None:
        """Write the exchange to ``scratch``, run the program, check and take what it returns."""
        content = [_write_face(face, job, scratch) for face, job in sorted(jobs.items())]
        job_file = {
            "format": _FORMAT,
            "size_px": self.framing.size_px,
            "sample_rate_hz": sound.SPEECH_RATE_HZ,
            "fps": fps,
            "faces": content,
        }
        (scratch / "job.json").write_text(json.dumps(job_file, indent=1), encoding="utf-8")
        progress(0.1)
        self._run(scratch)
        progress(0.9)
        for face, job in jobs.items():
            _read_patches(scratch / _folder_name(face) / "patches", job)
        progress(1.0)

    def _run(self, scratch: Path) -> None:
        command = [*self._config.command, str(scratch)]
        log = scratch / "stderr.txt"
        with log.open("wb") as errors:
            try:
                program = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise MissingEngineError(f"{_NAME}: {command[0]} cannot be started ({error.strerror}).") from error
            try:
                code = program.wait(self._config.time_limit_s)
            except subprocess.TimeoutExpired as error:
                raise InputError(
                    f"{_NAME}: {command[0]} was ended after {self._config.time_limit_s:g} s "
                    f"(lipsync.external.time_limit_s); it last said: {_last_line(log)}"
                ) from error
            finally:
                if program.returncode is None:
                    _end(program)
        if code != 0:
            how = f"ended with code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
            raise InputError(f"{_NAME}: {command[0]} {how}; it last said: {_last_line(log)}")


def _end(program: subprocess.Popen[bytes]) -> None:
    """End the program with everything that it started: it leads a process group of its own."""
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    printed = "".join(letter if letter.isprintable() else " " for letter in lines[-1]) if lines else "nothing"
    return printed[-_MOST_ERROR_CHARACTERS:]


def _folder_name(face: int) -> str:
    return f"face_{face}"


def _image_name(number: int) -> str:
    return f"{number:06d}.png"


def _write_face(face: int, job: FaceJob, scratch: Path) -> dict[str, Any]:
    """Write the crops and the voice of a face and return its part of ``job.json``."""
    folder = scratch / _folder_name(face)
    (folder / "crops").mkdir(parents=True)
    (folder / "patches").mkdir()
    for number, crop in enumerate(job.crops):
        cv2.imwrite(str(folder / "crops" / _image_name(number)), crop)
    sound.write(folder / "voice.wav", job.voice, sound.SPEECH_RATE_HZ)
    size = job.crops.shape[1]
    corners = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]])
    in_picture = corners @ job.to_picture[:, :, :2].transpose(0, 2, 1) + job.to_picture[:, None, :, 2]
    return {
        "id": face,
        "crops": f"{folder.name}/crops",
        "patches": f"{folder.name}/patches",
        "voice": f"{folder.name}/voice.wav",
        "runs": [list(run) for run in job.runs],
        "images": [
            {
                "file": _image_name(number),
                "frame": int(job.frames[number]),
                "time_ms": round(float(job.times_ms[number]), 3),
                "corners_px": np.round(in_picture[number], 2).tolist(),
            }
            for number in range(len(job.crops))
        ],
    }


def _read_patches(folder: Path, job: FaceJob) -> None:
    """Take the patches of a face.

    Raises:
        InputError: they are not one for each crop, or not of its size.
    """
    wanted = [_image_name(number) for number in range(len(job.crops))]
    found = {file.name for file in folder.iterdir()}
    if lacking := [name for name in wanted if name not in found]:
        raise InputError(
            f"{_NAME}: {len(wanted) - len(lacking)} of {len(wanted)} patches came back; {folder.parent.name}/patches "
            f"lacks {lacking[0]}."
        )
    if more := sorted(found - set(wanted)):
        raise InputError(f"{_NAME}: nobody asked for {folder.parent.name}/patches/{more[0]}.")
    for number, name in enumerate(wanted):
        patch = cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED)
        place = f"{folder.parent.name}/patches/{name}"
        if patch is None:
            raise InputError(f"{_NAME}: {place} is no PNG that can be read.")
        if patch.shape != job.crops.shape[1:] or patch.dtype != np.uint8:
            size = job.crops.shape[1]
            raise InputError(
                f"{_NAME}: {place} is {'x'.join(map(str, patch.shape))} {patch.dtype}, not {size}x{size}x3 uint8."
            )
        job.patches[number] = patch
