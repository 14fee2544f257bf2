"""Kokoro's graph, opened up: its predictions as a graph of their own, and the F0 curve as an input.

The export hides how long each input token lasts. The tensor that says so is inside the graph; making it an output gives
exact phone times without an aligner, and the sub-graph that ends in it reads a line's length in a hundredth of the time
that speaking takes. The F0 curve is predicted there too, and given back to the decoder after it was moved
(:mod:`.pitch`).
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
F0 = "/encoder/F0_proj/Conv_output_0"
"""float32 (1, 1, 2 * frames): the predicted F0 in Hz; below 10 the decoder takes it for unvoiced."""
F0_GIVEN = "f0_hz"
"""New input of the whole graph, in the place of :data:`F0`."""
ENERGY = "/encoder/N_proj/Conv_output_0"
"""float32 (1, 1, 2 * frames): the predicted log energy, in a unit of its own."""


def expose_durations(folder: Path) -> tuple[Path, ...]:
    """Write ``kokoro-timed.onnx`` and ``kokoro-predicted.onnx`` beside ``kokoro.onnx``; return both paths.

    The first is the whole graph with :data:`DURATIONS` as its second output and the input :data:`F0_GIVEN`; the second
    is only what leads to :data:`DURATIONS`, :data:`ENERGY` and :data:`F0`. They are checked against each other on a
    short input, and their bytes are the same every time.

    Raises:
        MissingEngineError: the graph is not the one this was written for.
    """
    import onnx

    model = onnx.load(str(folder / "kokoro.onnx"))
    if not {DURATIONS, ENERGY, F0} <= {name for node in model.graph.node for name in node.output}:
        raise MissingEngineError(
            f"{folder / 'kokoro.onnx'} has no duration, energy or F0 tensor: it is not Kokoro-82M v1.0's export."
        )
    timed, predicted = folder / "kokoro-timed.onnx", folder / "kokoro-predicted.onnx"
    _write(_ending_in(model, (DURATIONS, ENERGY, F0)), predicted)
    model.graph.output.append(_float_output(DURATIONS))
    _take_f0(model.graph)
    _write(_ending_in(model, tuple(output.name for output in model.graph.output)), timed)
    _check(timed, predicted)
    return timed, predicted


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
        "kokoro",
        list(model.graph.input),
        [_float_output(name) for name in outputs],
        [weights for weights in model.graph.initializer if weights.name in read],
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _take_f0(graph: onnx.GraphProto) -> None:
    """Give everything that reads F0 the new input instead."""
    from onnx import TensorProto, helper

    for node in graph.node:
        node.input[:] = [F0_GIVEN if name == F0 else name for name in node.input]
    graph.input.append(helper.make_tensor_value_info(F0_GIVEN, TensorProto.FLOAT, [1, 1, "curve"]))


def _float_output(name: str) -> onnx.ValueInfoProto:
    import onnx

    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


def _write(model: onnx.ModelProto, target: Path) -> None:
    target.write_bytes(model.SerializeToString(deterministic=True))


def _check(timed: Path, predicted: Path) -> None:
    from stages.synthesize.kokoro import open_session

    feed = {
        "tokens": np.array([[0, 50, 83, 156, 54, 57, 4, 0]], np.int64),
        "style": np.zeros((1, 256), np.float32),
        "speed": np.array([1.1], np.float32),
    }
    alone, energy, f0_hz = open_session(predicted).run(None, feed)
    _sound, whole = open_session(timed).run(None, {**feed, F0_GIVEN: f0_hz})
    if not (np.array_equal(whole, alone) and energy.size == f0_hz.size == 2 * whole.sum()):
        raise MissingEngineError(f"{predicted.name} disagrees with {timed.name}: fetch the model kokoro-82m again.")
