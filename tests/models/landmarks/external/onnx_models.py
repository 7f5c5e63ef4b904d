"""Small ONNX models, built node by node, with a card."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.landmarks.external.card import EXTERNAL_FORMAT

SIZE = 32
CARD = {
    "format": EXTERNAL_FORMAT,
    "crop_size_px": SIZE,
    "output": "crop_px",
    "landmark_layout": "ibug68",
    "pixel_mean_rgb": [127, 127, 127],
    "pixel_std_rgb": [64, 64, 64],
    "crop_scale": 1.25,
}

POINTS = np.random.default_rng(1).uniform(2, SIZE - 3, (1, 68, 2)).astype(np.float32)


def random_crops(count: int = 5, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def single_frames(count: int) -> np.ndarray:
    """Windows (count, 1) of one crop each."""
    return np.arange(count)[:, None]


def constant(name: str, values: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto] = (),
    *,
    shape_in: Sequence[int | str] = ("batch", 3, SIZE, SIZE),
    type_in: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("points",),
    type_out: int = TensorProto.FLOAT,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model from the input `crops` to the named outputs, of any shape."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("crops", type_in, list(shape_in))],
        [helper.make_tensor_value_info(name, type_out, None) for name in outputs],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def mean_plus(points: np.ndarray, **form: object) -> onnx.ModelProto:
    """Constant points (1, ...), to which the mean of each crop's normalized pixels is added."""
    nodes, constants = mean_plus_nodes("points", points)
    return model_of(nodes, constants, **form)  # type: ignore[arg-type]


def mean_plus_nodes(
    name: str, values: np.ndarray
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes of the output `name`: constant values (1, ...) plus the mean of each crop."""
    mean, shape, column, at = (f"{name}_{part}" for part in ("mean", "shape", "column", "at"))
    nodes = [
        helper.make_node("ReduceMean", ["crops"], [mean], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", [mean, shape], [column]),
        helper.make_node("Add", [column, at], [name]),
    ]
    ones = [1] * (values.ndim - 1)
    return nodes, [constant(shape, [-1, *ones], np.int64), constant(at, values)]


def saved(folder: Path, model: onnx.ModelProto | bytes, **card: object) -> Path:
    """Writes network.onnx and network.json, and returns the former; None leaves a field out."""
    path = folder / "network.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    fields = {k: v for k, v in {**CARD, **card}.items() if v is not None}
    path.with_suffix(".json").write_text(json.dumps(fields))
    return path
