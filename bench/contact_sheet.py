"""Draws a contact sheet: source above, dub below, at closing consonants (p b m) and at the widest vowels.

Usage: python bench/contact_sheet.py SOURCE DUB_FOLDER TAG OUT.png [--box LEFT,TOP,RIGHT,BOTTOM] [--scale 2]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import av
import cv2
import numpy as np

COLUMNS = 8
CLOSING = set("pbm")


def chosen_frames(visemes: dict, frame_ms: list[float]) -> list[tuple[int, str]]:
    """Return up to eight (frame, caption): four closures and the four widest vowels, in order of time."""
    closures, wide = [], []
    for line in visemes["lines"]:
        first, aperture = line["trajectory"]["first_frame"], np.array(line["trajectory"]["parameters"]["aperture"])
        for phone in line["phones"]:
            middle = int(np.argmin(np.abs(np.array(frame_ms) - (phone["start_ms"] + phone["end_ms"]) / 2)))
            if phone["ipa"][0] in CLOSING:
                closures.append((middle, phone["ipa"]))
            elif 0 <= middle - first < len(aperture):
                wide.append((float(aperture[middle - first]), middle, phone["ipa"]))
    step = max(1, len(closures) // (COLUMNS // 2))
    widest = sorted(wide, reverse=True)[: COLUMNS // 2]
    return sorted([*closures[::step][: COLUMNS // 2], *((frame, ipa) for _, frame, ipa in widest)])


def frames_of(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Return all frames (BGR) and their times in ms."""
    with av.open(str(path)) as container:
        decoded = [(frame.to_ndarray(format="bgr24"), frame.time * 1000) for frame in container.decode(video=0)]
    return [frame for frame, _ in decoded], [time for _, time in decoded]


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tag")
    parser.add_argument("out", type=Path)
    parser.add_argument("--box", default="")
    parser.add_argument("--scale", type=float, default=2.0)
    given = parser.parse_args()
    stem = f"{given.source.stem}.{given.tag}"
    before, times_ms = frames_of(given.source)
    after, _ = frames_of(given.folder / f"{stem}.mp4")
    picked = chosen_frames(json.loads((given.folder / f"{stem}.visemes.json").read_text()), times_ms)
    box = [int(value) for value in given.box.split(",")] if given.box else [0, 0, *before[0].shape[1::-1]]
    left, top, right, bottom = box

    def cell(frame: np.ndarray) -> np.ndarray:
        return cv2.resize(
            frame[top:bottom, left:right], None, fx=given.scale, fy=given.scale, interpolation=cv2.INTER_CUBIC
        )

    rows = [np.hstack([cell(frames[index]) for index, _ in picked]) for frames in (before, after)]
    cv2.imwrite(str(given.out), np.vstack(rows))
    print("phones, left to right:", " ".join(ipa for _, ipa in picked))


if __name__ == "__main__":
    main()
