"""8-bit inference of our convolutional networks: a float ONNX graph becomes an integer one.

    float graph, training images --activation_ranges--> (N, 2) ranges, stored with the weights
    float graph, ranges --quantized--> graph with QuantizeLinear and DequantizeLinear

onnxruntime fuses these pairs with the operators between them into integer operators. The scheme
is that of Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (CVPR 2018), equation 1: r = S (q - Z). Activations are uint8
with a scale and a zero point per tensor, weights int8 with a scale per output channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from models.onnx_session import open_session

_INTEGER: Final = ("Conv", "Relu", "Add", "Resize")
#: Weights have 7 bits, -63 to 63: x86 processors without VNNI add two products in 16 bits, and
#: 2 x 255 x 63 fits. So all processors compute the same sums.
_WEIGHT_LIMIT: Final = 63


def activation_ranges(
    model: bytes, inputs: Iterable[Mapping[str, npt.NDArray[Any]]], nodes: int
) -> npt.NDArray[np.float32]:
    """(nodes, 2) float32: minimum and maximum of the first output of each of the first nodes.

    Means over the calls, so that single outliers do not make all steps coarse; 0 is included.

    Args:
        model: a float ONNX graph of `GraphBuilder`.
        inputs: the inputs of each call.
        nodes: of the graph, in its order, that are to compute in integers.

    Raises:
        ValueError: there are no inputs.
    """
    proto = onnx.load_from_string(model)
    names = [node.output[0] for node in proto.graph.node[:nodes]]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(proto.SerializeToString())
    calls = [
        [(min(array.min(), 0), max(array.max(), 0)) for array in session.run(None, dict(feeds))]
        for feeds in inputs
    ]
    if not calls:
        raise ValueError("got no inputs to measure activations on, expected at least one")
    return np.asarray(np.array(calls, np.float64).mean(axis=0), np.float32)


def quantized(model: bytes, ranges: npt.NDArray[np.floating]) -> bytes:
    """The same network whose first nodes compute in integers: all that have a range.

    The first convolution stays float: it is a small part of the work.

    Args:
        model: a float ONNX graph of `GraphBuilder`.
        ranges: (N, 2), as `activation_ranges` returns them for this graph.

    Raises:
        ValueError: the ranges do not fit the graph.
    """
    proto = onnx.load_from_string(model)
    nodes = list(proto.graph.node)
    rows = ranges.astype(np.float64)
    if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) > len(nodes):
        raise ValueError(f"got activation ranges {rows.shape}, expected ({len(nodes)}, 2) or fewer")
    if not (np.isfinite(rows).all() and (rows[:, 0] <= 0).all() and (rows[:, 1] >= 0).all()):
        raise ValueError("got an activation range that does not include 0, or is not finite")
    rewriter = _Rewriter(proto.graph, rows)
    for node in nodes:
        rewriter.add(node)
    del proto.graph.node[:]
    proto.graph.node.extend(rewriter.nodes)
    proto.graph.initializer.extend(rewriter.constants)
    content: bytes = proto.SerializeToString()
    return content


class _Rewriter:
    """Copies a graph node by node, and stores the tensors between integer nodes as integers."""

    def __init__(self, graph: onnx.GraphProto, ranges: npt.NDArray[np.float64]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._weights = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._ranges = {
            node.output[0]: (low, high)
            for node, (low, high) in zip(graph.node, ranges, strict=False)
        }
        first = next(node.output[0] for node in graph.node if node.op_type == "Conv")
        left = {first, *(n.output[0] for n in self._readers[first] if n.op_type == "Relu")}
        self._integer = {
            node.output[0]
            for node in graph.node
            if node.op_type in _INTEGER and node.output[0] in self._ranges
        } - left
        self._stored: dict[str, str] = {}

    def add(self, node: onnx.NodeProto) -> None:
        """Copies one node, with what it needs before it."""
        inputs = list(node.input)
        integer = node.output[0] in self._integer
        if integer and node.op_type == "Conv":
            inputs = self._convolution_inputs(*inputs)
        else:
            inputs = [
                self._as_stored(name)
                if name in self._integer or (integer and name in self._ranges)
                else name
                for name in inputs
            ]
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(inputs)
        self.nodes.append(copy)

    def _as_stored(self, name: str) -> str:
        """The tensor as uint8 and back; unchanged between an operator and its Relu."""
        readers = self._readers[name]
        if name in self._integer and [reader.op_type for reader in readers] == ["Relu"]:
            return name
        if name not in self._stored:
            scale = self._scale(name)
            zero = np.uint8(np.clip(np.round(-self._ranges[name][0] / scale), 0, 255))
            parameters = [
                self._constant(f"{name}_scale", np.float32(scale)),
                self._constant(f"{name}_zero", zero),
            ]
            steps = self._apply("QuantizeLinear", [name, *parameters], f"{name}_steps")
            self._stored[name] = self._apply(
                "DequantizeLinear", [steps, *parameters], f"{name}_stored"
            )
        return self._stored[name]

    def _scale(self, name: str) -> float:
        low, high = self._ranges[name]
        return (high - low) / 255 or 1.0

    def _convolution_inputs(self, x: str, weight: str, bias: str) -> list[str]:
        """Input, weights and bias of a convolution, each stored as integers."""
        kernels = self._weights[weight].astype(np.float64)
        scales = np.abs(kernels).max(axis=(1, 2, 3)) / _WEIGHT_LIMIT
        scales[scales == 0] = 1.0
        steps = np.round(kernels / scales[:, None, None, None]).astype(np.int8)
        sum_scales = scales * self._scale(x)
        limits = np.iinfo(np.int32)
        sums = np.clip(np.round(self._weights[bias] / sum_scales), limits.min, limits.max)
        return [
            self._as_stored(x),
            self._constants_stored(weight, steps, scales),
            self._constants_stored(bias, sums.astype(np.int32), sum_scales),
        ]

    def _constants_stored(
        self, name: str, steps: npt.NDArray[Any], scales: npt.NDArray[np.float64]
    ) -> str:
        """Integer constants with a scale per output channel, zero point 0."""
        parameters = [
            self._constant(f"{name}_steps", steps),
            self._constant(f"{name}_scale", scales.astype(np.float32)),
            self._constant(f"{name}_zero", np.zeros(len(scales), steps.dtype)),
        ]
        return self._apply("DequantizeLinear", parameters, f"{name}_stored", axis=0)

    def _constant(self, name: str, value: npt.ArrayLike) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _apply(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output
