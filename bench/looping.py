"""Makes a longer clip by repeating a short one, packet by packet: nothing is encoded again.

Where a stream is longer than the clip, what reaches into the next round is left out.
"""

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
        written: dict[int, int] = {}
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
                    if packet.dts <= written.get(packet.stream_index, -1):
                        continue
                    written[packet.stream_index] = packet.dts
                    packet.stream = streams[packet.stream_index]
                    out.mux(packet)
    return target
