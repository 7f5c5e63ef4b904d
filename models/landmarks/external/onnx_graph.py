"""What an ONNX file may hold: a graph of standard operators, with every number in the file.

onnxruntime executes what the graph says, so the graph is read first:

    operators   of the ONNX standard only: one of a custom domain is code of somebody's library
    tensors     in the file: external data names other files, by any path
    Loop        refused: how often it turns is a number of the file or of the input
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from schemas.errors import WeightsError

__all__ = ["check_onnx"]

_STANDARD: Final = ("", "ai.onnx")
_UNBOUNDED: Final = ("Loop",)
_MAX_BYTES: Final = 1 << 30


def check_onnx(content: bytes) -> None:
    """Nothing where the bytes are an ONNX model of standard operators that is whole in itself.

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
    functions = list(model.functions)
    yield from _graph_parts(model.graph)
    for function in functions:
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
