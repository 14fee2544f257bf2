"""Makes a longer clip by repeating a short one, packet by packet: nothing is encoded again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av


def looped(source: Path, target: Path, seconds: float) -> Path:
    """Write ``source`` repeated until it lasts at least ``seconds``, and return ``target``."""
    with av.open(str(source)) as first:
        length = Fraction(first.duration or 0, av.time_base)
    rounds = -(-Fraction(seconds) // length)
    with av.open(str(target), "w") as out:
        streams: dict[int, av.stream.Stream] = {}
        for number in range(int(rounds)):
            with av.open(str(source)) as again:
                for stream in again.streams:
                    if stream.index not in streams:
                        streams[stream.index] = out.add_stream_from_template(stream)
                for packet in again.demux():
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    shift = round(number * length / packet.time_base)
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
    return target
