"""Kokoro's graph, opened up: durations as a second output, and as a graph of their own.

The export hides how long each input token lasts. The tensor that says so is inside the graph; making it an output gives
exact phone times without an aligner, and the sub-graph that ends in it reads a line's length in a hundredth of the time
that speaking takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.errors import MissingEngineError

if TYPE_CHECKING:
    import onnx

DURATIONS = "/encoder/Clip_output_0"
"""float32 (1, tokens): frames of 600 samples that each token lasts at the given speed; whole numbers, at least 1."""
UNROUNDED = "/encoder/predictor/ReduceSum_output_0"
"""float32 (1, tokens): the same at speed 1 before division by the speed, rounding half to even and clipping at 1."""


def expose_durations(folder: Path) -> tuple[Path, ...]:
    """Write ``kokoro-timed.onnx`` and ``kokoro-durations.onnx`` beside ``kokoro.onnx``; return both paths.

    The first is the whole graph with :data:`DURATIONS` as its second output; the second is only what leads to
    :data:`DURATIONS` and :data:`UNROUNDED`. They are checked against each other on a short input, and their bytes
    are the same every time.

    Raises:
        MissingEngineError: the graph is not the one this was written for.
    """
    import onnx

    model = onnx.load(str(folder / "kokoro.onnx"))
    if not {DURATIONS, UNROUNDED} <= {name for node in model.graph.node for name in node.output}:
        raise MissingEngineError(
            f"{folder / 'kokoro.onnx'} has no duration tensor: it is not Kokoro-82M v1.0's export."
        )
    timed, durations = folder / "kokoro-timed.onnx", folder / "kokoro-durations.onnx"
    _write(_ending_in(model, (DURATIONS, UNROUNDED)), durations)
    model.graph.output.append(_float_output(DURATIONS))
    _write(model, timed)
    _check(timed, durations)
    return timed, durations


def _ending_in(model: onnx.ModelProto, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """Keep the nodes that ``outputs`` depend on, in their order."""
    import onnx

    producer = {name: index for index, node in enumerate(model.graph.node) for name in node.output}
    kept: set[int] = set()
    read: set[str] = set()
    open_names = list(outputs)
    while open_names:
        name = open_names.pop()
        read.add(name)
        index = producer.get(name)
        if index is not None and index not in kept:
            kept.add(index)
            open_names.extend(model.graph.node[index].input)
    graph = onnx.helper.make_graph(
        [model.graph.node[index] for index in sorted(kept)],
        "durations",
        list(model.graph.input),
        [_float_output(name) for name in outputs],
        [weights for weights in model.graph.initializer if weights.name in read],
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _float_output(name: str) -> onnx.ValueInfoProto:
    import onnx

    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


def _write(model: onnx.ModelProto, target: Path) -> None:
    target.write_bytes(model.SerializeToString(deterministic=True))


def _check(timed: Path, durations: Path) -> None:
    from stages.synthesize.kokoro import open_session

    feed = {
        "tokens": np.array([[0, 50, 83, 156, 54, 57, 4, 0]], np.int64),
        "style": np.zeros((1, 256), np.float32),
        "speed": np.array([1.1], np.float32),
    }
    _sound, whole = open_session(timed).run(None, feed)
    (alone, unrounded) = open_session(durations).run(None, feed)
    expected = np.maximum(np.round(unrounded / feed["speed"]), 1)
    if not (np.array_equal(whole, alone) and np.array_equal(whole, expected)):
        raise MissingEngineError(f"{durations.name} disagrees with {timed.name}: fetch the model kokoro-82m again.")
