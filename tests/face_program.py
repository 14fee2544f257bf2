"""A program for ``lipsync.external.command``: python face_program.py HOW FOLDER. It returns crops, moved or spoilt."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

TINT = np.array([0.85, 0.92, 0.95])
SHIFT = 0.04


def moved(crop: np.ndarray) -> np.ndarray:
    """The lower third moved down, a dark opening above it, the whole a little darker and yellower."""
    size = len(crop)
    lip, shift = round(0.61 * size), round(SHIFT * size)
    result = crop.copy()
    result[lip + shift :] = crop[lip : size - shift]
    result[lip : lip + shift] = crop[lip]
    cv2.ellipse(
        result,
        (size // 2, lip + shift // 2),
        (size // 11, round(0.7 * shift)),
        0,
        0,
        360,
        (30, 20, 60),
        -1,
        cv2.LINE_AA,
    )
    return (result * TINT).astype(np.uint8)


def main(how: str, folder: Path) -> None:
    """Do it."""
    job = json.loads((folder / "job.json").read_text())
    if how == "crash":
        print("loading", file=sys.stderr)
        sys.exit("no graphics card\x1b[31m here")
    if how == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(sys.argv[3 - 1]).joinpath("child").write_text(str(child.pid))
        print("step 3 of 9", file=sys.stderr, flush=True)
        time.sleep(600)
    for face in job["faces"]:
        for number, image in enumerate(face["images"]):
            crop = cv2.imread(str(folder / face["crops"] / image["file"]))
            assert crop.shape == (job["size_px"], job["size_px"], 3)
            patch = crop if how == "echo" else moved(crop)
            if how == "small" and number == 1:
                patch = patch[:-1]
            if how == "deep":
                patch = patch.astype(np.uint16)
            if how == "few" and number == len(face["images"]) - 1:
                continue
            cv2.imwrite(str(folder / face["patches"] / image["file"]), patch)
        if how == "more":
            (folder / face["patches"] / "extra.png").write_bytes(b"")
        if how == "spoilt":
            (folder / face["patches"] / "000000.png").write_bytes(b"\x89PNG")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
