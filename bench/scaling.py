"""Makes a clip of another size: the picture scaled to the height and centred on grey, the sound copied."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np


def scaled(source: Path, target: Path, width_px: int, height_px: int) -> Path:
    """Write ``source`` at ``width_px`` x ``height_px`` and return ``target``."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        picture, sound = before.streams.video[0], before.streams.audio[0]
        options = {"crf": "14", "preset": "veryfast"}
        drawn = after.add_stream("libx264", rate=picture.average_rate, options=options)
        drawn.width, drawn.height, drawn.pix_fmt = width_px, height_px, "yuv420p"
        copied = after.add_stream_from_template(sound)
        for packet in before.demux(picture, sound):
            if packet.stream is sound and packet.dts is not None:
                packet.stream = copied
                after.mux(packet)
            elif packet.stream is picture:
                for frame in packet.decode():
                    after.mux(drawn.encode(_placed(frame, width_px, height_px)))
        after.mux(drawn.encode(None))
    return target


def _placed(frame: av.VideoFrame, width_px: int, height_px: int) -> av.VideoFrame:
    image = frame.to_ndarray(format="bgr24")
    wide = min(width_px, round(image.shape[1] * height_px / image.shape[0]))
    canvas = np.full((height_px, width_px, 3), 90, np.uint8)
    left = (width_px - wide) // 2
    canvas[:, left : left + wide] = cv2.resize(image, (wide, height_px), interpolation=cv2.INTER_CUBIC)
    placed = av.VideoFrame.from_ndarray(canvas, format="bgr24")
    placed.pts, placed.time_base = frame.pts, frame.time_base
    return placed
