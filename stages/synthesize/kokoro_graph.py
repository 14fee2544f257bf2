"""Kokoro's graph, opened up: durations as a second output and as a graph of their own, and a hold on the pitch.

The export hides how long each input token lasts. The tensor that says so is inside the graph; making it an output gives
exact phone times without an aligner, and the sub-graph that ends in it reads a line's length in a hundredth of the time
that speaking takes. Between the predictor of F0 and the decoder the pitch can be moved (:mod:`.pitch`).
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
F0_POWER, F0_GAIN = "f0_power", "f0_gain"
"""New inputs, float32 (1,): voiced F0 becomes gain * F0 ** power."""
_VOICED_ABOVE_HZ = 10.0
UNROUNDED = "/encoder/predictor/ReduceSum_output_0"
"""float32 (1, tokens): the same at speed 1 before division by the speed, rounding half to even and clipping at 1."""


def expose_durations(folder: Path) -> tuple[Path, ...]:
    """Write ``kokoro-timed.onnx`` and ``kokoro-durations.onnx`` beside ``kokoro.onnx``; return both paths.

    The first is the whole graph with :data:`DURATIONS` as its second output and the inputs :data:`F0_POWER` and
    :data:`F0_GAIN`; the second is only what leads to
    :data:`DURATIONS` and :data:`UNROUNDED`. They are checked against each other on a short input, and their bytes
    are the same every time.

    Raises:
        MissingEngineError: the graph is not the one this was written for.
    """
    import onnx

    model = onnx.load(str(folder / "kokoro.onnx"))
    if not {DURATIONS, UNROUNDED, F0} <= {name for node in model.graph.node for name in node.output}:
        raise MissingEngineError(
            f"{folder / 'kokoro.onnx'} has no duration or F0 tensor: it is not Kokoro-82M v1.0's export."
        )
    timed, durations = folder / "kokoro-timed.onnx", folder / "kokoro-durations.onnx"
    _write(_ending_in(model, (DURATIONS, UNROUNDED)), durations)
    model.graph.output.append(_float_output(DURATIONS))
    _hold_pitch(model.graph)
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


def _hold_pitch(graph: onnx.GraphProto) -> None:
    """Put ``where(F0 > 10, gain * F0 ** power, F0)`` between the F0 predictor and everything that reads F0."""
    from onnx import TensorProto, helper

    moved = "f0_moved"
    for node in graph.node:
        node.input[:] = [moved if name == F0 else name for name in node.input]
    threshold = helper.make_tensor("value", TensorProto.FLOAT, [], [_VOICED_ABOVE_HZ])
    nodes = [
        helper.make_node("Constant", [], ["f0_threshold"], value=threshold),
        helper.make_node("Greater", [F0, "f0_threshold"], ["f0_is_voiced"]),
        helper.make_node("Max", [F0, "f0_threshold"], ["f0_floored"]),
        helper.make_node("Pow", ["f0_floored", F0_POWER], ["f0_powered"]),
        helper.make_node("Mul", ["f0_powered", F0_GAIN], ["f0_voiced"]),
        helper.make_node("Where", ["f0_is_voiced", "f0_voiced", F0], [moved]),
    ]
    at = next(index for index, node in enumerate(graph.node) if F0 in node.output) + 1
    everything = [*graph.node[:at], *nodes, *graph.node[at:]]
    del graph.node[:]
    graph.node.extend(everything)
    graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in (F0_POWER, F0_GAIN))


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
    unmoved = {F0_POWER: np.ones(1, np.float32), F0_GAIN: np.ones(1, np.float32)}
    _sound, whole = open_session(timed).run(None, {**feed, **unmoved})
    (alone, unrounded) = open_session(durations).run(None, feed)
    expected = np.maximum(np.round(unrounded / feed["speed"]), 1)
    if not (np.array_equal(whole, alone) and np.array_equal(whole, expected)):
        raise MissingEngineError(f"{durations.name} disagrees with {timed.name}: fetch the model kokoro-82m again.")
