"""Checks of an untrusted ONNX file: standard operators only, all tensors in the file.

onnxruntime executes the graph, so the graph is checked first:

    operators   of the ONNX standard only: custom domains run code of other libraries
    tensors     in the file: external data names other files, by any path
    Loop        refused: its number of iterations is set by the file or the input
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from schemas.errors import WeightsError

_STANDARD: Final = ("", "ai.onnx")
_UNBOUNDED: Final = ("Loop",)
_MAX_BYTES: Final = 1 << 30


def check_onnx(content: bytes) -> None:
    """Checks that the bytes are a self-contained ONNX model of standard operators.

    Raises:
        WeightsError: they are not. The message does not name the file.
    """
    if len(content) > _MAX_BYTES:
        raise WeightsError(f"{len(content)} bytes, expected up to 1 GiB")
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise WeightsError(f"not an ONNX model: {error}") from error
    if not model.graph.node:
        raise WeightsError("not an ONNX model: it has no operators")
    for nodes, tensors in _parts(model):
        for node in nodes:
            if node.domain not in _STANDARD:
                raise WeightsError(
                    f"operator {node.op_type!r} is of the domain {node.domain!r}, expected "
                    "operators of the ONNX standard only"
                )
            if node.op_type in _UNBOUNDED:
                raise WeightsError(f"operator {node.op_type!r} is not allowed: it has no bound")
        for tensor in tensors:
            if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise WeightsError(
                    f"tensor {tensor.name!r} is stored outside the file, expected every number in "
                    "it: export with external_data=False"
                )


def _parts(model: Any) -> Iterator[tuple[Iterable[Any], Iterable[Any]]]:
    """The nodes and the tensors of the graph, of its subgraphs and of the model's functions."""
    yield from _graph_parts(model.graph)
    for function in model.functions:
        yield from _nodes_parts(function.node)
    for training in model.training_info:
        yield from _graph_parts(training.initialization)
        yield from _graph_parts(training.algorithm)


def _graph_parts(graph: Any) -> Iterator[tuple[Iterable[Any], Iterable[Any]]]:
    sparse = [part for s in graph.sparse_initializer for part in (s.values, s.indices)]
    yield (), [*graph.initializer, *sparse]
    yield from _nodes_parts(graph.node)


def _nodes_parts(nodes: Iterable[Any]) -> Iterator[tuple[Iterable[Any], Iterable[Any]]]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    tensors = [tensor for a in attributes for tensor in (a.t, *a.tensors)]
    sparse = [s for a in attributes for s in (a.sparse_tensor, *a.sparse_tensors)]
    yield nodes, [*tensors, *(part for s in sparse for part in (s.values, s.indices))]
    for attribute in attributes:
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_parts(graph)
