"""Between Dubwright and a lip-sync program that takes one video and one voice, at 25 frames/s, and writes one video.

``python lipsync_adapter.py [--in DIR] PROGRAM ARGUMENT ... FOLDER``: Dubwright adds FOLDER. For every unbroken run of
crops the program is started in DIR. In its arguments ``{video}`` (AVI, FFV1), ``{voice}`` (WAV) and ``{result}`` (the
MP4 that it is to write) are replaced, and ``{task}``, a YAML file that names the first two. Needs OpenCV and NumPy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import cv2
import numpy as np

FPS = 25
MORE_FRAMES = 16
"""The last crop is held so much longer: programs that work in blocks leave the last one out."""


def main(arguments: list[str]) -> None:
    """Make the patches of all faces."""
    place = None
    if arguments[0] == "--in":
        place, arguments = arguments[1], arguments[2:]
    *command, folder_name = arguments
    folder = Path(folder_name).resolve()
    job = json.loads((folder / "job.json").read_text())
    for face in job["faces"]:
        for number, (first, last) in enumerate(face["runs"]):
            scratch = folder / "scratch" / f"{face['id']}_{number}"
            scratch.mkdir(parents=True)
            images = face["images"][first : last + 1]
            times_s = np.array([image["time_ms"] for image in images]) / 1000
            files = {name: scratch / name for name in ("video.avi", "voice.wav", "task.yaml", "result.mp4")}
            shown = write_video(files["video.avi"], folder / face["crops"], images, times_s, job["size_px"])
            write_voice(files["voice.wav"], folder / face["voice"], times_s[0], shown / FPS)
            files["task.yaml"].write_text(
                f"task:\n  video_path: {json.dumps(str(files['video.avi']))}\n"
                f"  audio_path: {json.dumps(str(files['voice.wav']))}\n"
            )
            names = {"{" + name.split(".")[0] + "}": str(file) for name, file in files.items()}
            subprocess.run([names.get(argument, argument) for argument in command], cwd=place, check=True)
            take_patches(files["result.mp4"], folder / face["patches"], images, times_s, job["size_px"])


def write_video(file: Path, crops: Path, images: list[dict], times_s: np.ndarray, size_px: int) -> int:
    """Write the crops at 25 frames/s, each until the next one is nearer, and return how many frames that are."""
    frames = int(np.ceil((times_s[-1] - times_s[0]) * FPS)) + 1 + MORE_FRAMES
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"FFV1"), FPS, (size_px, size_px))
    for frame in range(frames):
        nearest = int(np.argmin(np.abs(times_s - times_s[0] - frame / FPS)))
        writer.write(cv2.imread(str(crops / images[nearest]["file"])))
    writer.release()
    return frames


def write_voice(file: Path, voice: Path, start_s: float, length_s: float) -> None:
    """Write a stretch of the voice; beyond its end, silence."""
    with wave.open(str(voice)) as whole:
        rate = whole.getframerate()
        samples = np.frombuffer(whole.readframes(whole.getnframes()), "<i2")
    part = samples[round(start_s * rate) :][: round(length_s * rate)]
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(np.pad(part, (0, round(length_s * rate) - len(part))).astype("<i2").tobytes())


def take_patches(result: Path, patches: Path, images: list[dict], times_s: np.ndarray, size_px: int) -> None:
    """Write a patch for every crop: the frame of the result that is shown at its time."""
    wanted = {image["file"]: round((time_s - times_s[0]) * FPS) for image, time_s in zip(images, times_s, strict=True)}
    video = cv2.VideoCapture(str(result))
    made = []
    while (read := video.read())[0]:
        made.append(read[1])
    for name, frame in wanted.items():
        if frame >= len(made):
            sys.exit(f"the program made {len(made)} frames, and frame {frame} is needed")
        patch = cv2.resize(made[frame], (size_px, size_px), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(patches / name), patch)


if __name__ == "__main__":
    main(sys.argv[1:])
