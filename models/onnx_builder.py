"""Builds our convolutional networks as ONNX graphs from their tensors, without torch.

    tensors of a weights file --GraphBuilder--> ONNX model --open_session--> onnxruntime

On a CPU onnxruntime runs a small network in a half to three quarters of torch's time, and
torch is neither read (1.5 s of CPU) nor kept in memory (400 MB) where nothing else needs it.
A BatchNorm is folded into its convolution: y = (w x - mean) g / s + b, s = sqrt(var + 1e-5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

_FLOAT: Final = onnx.TensorProto.FLOAT
_OPSET: Final = 17
_IR_VERSION: Final = 8
_EPSILON: Final = 1e-5  # torch's BatchNorm2d

Array = npt.NDArray[Any]


class GraphBuilder:
    """Collects operators; each method returns the name of its output.

    Args:
        tensors: by the names that torch's `state_dict` has. Each has to be used.
        inputs: name to (onnx.TensorProto type, shape); a text in a shape is any length.
    """

    def __init__(
        self, tensors: Mapping[str, Array], inputs: Mapping[str, tuple[int, Sequence[int | str]]]
    ) -> None:
        self._tensors = {name: np.asarray(t, np.float32) for name, t in tensors.items()}
        self._unused = set(self._tensors)
        self._inputs = [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (kind, shape) in inputs.items()
        ]
        self._constants: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []

    @property
    def node_count(self) -> int:
        """Number of nodes so far."""
        return len(self._nodes)

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor of the file; KeyError where it has none of that name."""
        self._unused.discard(name)
        return self._tensors[name]

    def constant(self, value: npt.ArrayLike) -> str:
        """An array that is part of the graph."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One operator of the ONNX standard with one output."""
        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        """x cut along an axis."""
        names = [f"n{len(self._nodes)}_{i}" for i in range(len(sizes))]
        lengths = self.constant(np.array(sizes, np.int64))
        self._nodes.append(helper.make_node("Split", [x, lengths], names, axis=axis))
        return names

    def convolution(
        self,
        x: str,
        name: str,
        norm: str | None = None,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = False,
    ) -> str:
        """torch's Conv2d `name`, padded by half its kernel, with the BatchNorm2d `norm` after it.

        Raises:
            KeyError: a tensor is missing.
            ValueError: the tensors do not fit one another.
        """
        weight = self.tensor(f"{name}.weight")
        bias = self.tensor(f"{name}.bias") if norm is None else -self.tensor(f"{norm}.running_mean")
        if norm is not None:
            deviation = np.sqrt(self.tensor(f"{norm}.running_var") + np.float32(_EPSILON))
            scale = self.tensor(f"{norm}.weight") / deviation
            weight = weight * scale[:, None, None, None]
            bias = bias * scale + self.tensor(f"{norm}.bias")
        kernel = weight.shape[-1]
        x = self.apply(
            "Conv",
            x,
            self.constant(weight),
            self.constant(bias),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=groups,
        )
        return self.apply("Relu", x) if relu else x

    def enlarged_twice(self, x: str) -> str:
        """(B, C, H, W) to (B, C, 2 H, 2 W), each pixel four times."""
        return self.apply(
            "Resize",
            x,
            "",
            self.constant(np.array([1, 1, 2, 2], np.float32)),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def pixels(self, x: str, mean: Sequence[float], std: Sequence[float]) -> str:
        """(B, H, W, 3) uint8 to (B, 3, H, W) float32, normalized."""
        shape = (-1, 1, 1)  # channels first, then along whole rows: four times as fast
        x = self.apply("Cast", self.apply("Transpose", x, perm=[0, 3, 1, 2]), to=_FLOAT)
        x = self.apply("Sub", x, self.constant(np.array(mean, np.float32).reshape(shape)))
        return self.apply("Div", x, self.constant(np.array(std, np.float32).reshape(shape)))

    def model(self, outputs: Sequence[str]) -> bytes:
        """The whole as an ONNX model with these outputs.

        Raises:
            ValueError: a tensor was not used.
        """
        if self._unused:
            raise ValueError(f"tensors of another network: {sorted(self._unused)[:4]}")
        floats = [helper.make_tensor_value_info(n, _FLOAT, None) for n in outputs]
        graph = helper.make_graph(self._nodes, "facetracks", self._inputs, floats, self._constants)
        model = helper.make_model(
            graph, ir_version=_IR_VERSION, opset_imports=[helper.make_opsetid("", _OPSET)]
        )
        content: bytes = model.SerializeToString()
        return content
