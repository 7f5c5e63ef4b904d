"""Checks of an untrusted ONNX file: standard operators only, all tensors in the file.

onnxruntime executes the graph, so the graph is checked first:

    operators   of the ONNX standard only: custom domains run code of other libraries
    tensors     in the file: external data names other files, by any path
    Loop        refused: its number of iterations is set by the file or the input
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

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
    for part in _messages(model):
        if isinstance(part, onnx.NodeProto):
            if part.domain not in _STANDARD:
                raise WeightsError(
                    f"operator {part.op_type!r} is of the domain {part.domain!r}, expected "
                    "operators of the ONNX standard only"
                )
            if part.op_type in _UNBOUNDED:
                raise WeightsError(f"operator {part.op_type!r} is not allowed: it has no bound")
        if isinstance(part, onnx.TensorProto) and (
            part.external_data or part.data_location == onnx.TensorProto.EXTERNAL
        ):
            raise WeightsError(
                f"tensor {part.name!r} is stored outside the file, expected every number in "
                "it: export with external_data=False"
            )


def _messages(message: Message) -> Iterator[Message]:
    """A protobuf message and all that it contains: subgraphs, functions, tensors of operators."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _messages(part)
