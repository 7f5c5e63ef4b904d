"""Networks saved by `torch.export.save`, read without unpickling or evaluating anything.

`torch.export.load` is not used: in PyTorch 2.13 it loads tensors and sample inputs that a file
says are pickled with `weights_only=False` (and falls back to that where the safe way fails),
unpickles custom objects, passes expressions of the file to `sympify`, which evaluates them,
looks node targets up from the module `torch` on (`torch.os.system` is one), and opens shared
libraries that a package brings. Here the archive's JSON graph is walked node by node:

    models/NAME.json                          nodes -> aten operators, allowed ones only
    data/weights/NAME_weights_config.json     -> data/weights/weight_0, raw numbers
    data/constants/NAME_constants_config.json -> data/constants/tensor_0, raw numbers

Everything else in the archive is left unread, and what is pickled is refused.
"""

from __future__ import annotations

import io
import json
import operator
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.landmarks.external.allowed_operators import ALLOWED_OPERATORS
from schemas.errors import WeightsError

__all__ = ["ExportedProgram", "read_exported_program"]

_ATEN: Final = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_SCALARS: Final[Mapping[str, Callable[..., Any]]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "getitem")
}
#: Statements about shapes, without a result.
_SKIPPED: Final = ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range_for_size")
# Numbers of torch._export.serde.schema.
_DTYPES: Final = {
    1: torch.uint8,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_MEMORY_FORMATS: Final = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_PLAIN: Final = ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string")


class ExportedProgram(nn.Module):
    """The graph of an exported program with one input and one output, both tensors.

    Raises:
        WeightsError: the graph has a node that is not allowed, or another form.
    """

    def __init__(self, graph_module: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._nodes = list(graph_module["graph"]["nodes"])
        self._calls = [_callable(node["target"]) for node in self._nodes]
        self._places: dict[str, str] = {}  # name in the graph -> name of the buffer
        inputs = []
        for spec in graph_module["signature"]["input_specs"]:
            ((kind, value),) = spec.items()
            if kind == "user_input":
                inputs.append(value["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer", "tensor_constant"):
                buffer = f"tensor_{len(self._places)}"
                self._places[value["arg"]["name"]] = buffer
                self.register_buffer(buffer, tensors[value[f"{kind}_name"]])
            else:
                raise WeightsError(f"input of kind {kind!r}, expected tensors")
        outputs = graph_module["signature"]["output_specs"]
        if len(inputs) != 1 or len(outputs) != 1 or "user_output" not in outputs[0]:
            raise WeightsError(f"{len(inputs)} inputs and {len(outputs)} outputs, expected 1 and 1")
        self._input = inputs[0]
        self._output = outputs[0]["user_output"]["arg"]["as_tensor"]["name"]

    def forward(self, x: Tensor) -> Tensor:
        """The output of the graph."""
        values: dict[str, Any] = {
            name: self.get_buffer(place) for name, place in self._places.items()
        }
        values[self._input] = x
        for node, call in zip(self._nodes, self._calls, strict=True):
            if call is None:
                continue
            positional, named = [], {}
            for item in node["inputs"]:
                value = _argument(item["arg"], values, x.device)
                if item["kind"] == 1:
                    positional.append(value)
                else:
                    named[item["name"]] = value
            _store(node["outputs"], call(*positional, **named), values)
        return values[self._output]  # type: ignore[no-any-return]


def read_exported_program(content: bytes) -> ExportedProgram:
    """The network in the bytes of a .pt2 file.

    Raises:
        WeightsError: it is no such file, something in it is pickled, or an operator is not
            allowed. The message does not name the file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"not an exported program: {type(error).__name__}: {error}") from error


def _read(archive: zipfile.ZipFile) -> ExportedProgram:
    names = archive.namelist()
    if any("data/aotinductor/" in name for name in names):
        raise WeightsError("holds compiled code, expected a program saved by torch.export.save")
    models = [name for name in names if re.fullmatch(r"[^/]+/models/[^/]+\.json", name)]
    if len(models) != 1:
        raise WeightsError(f"holds {len(models)} models/*.json, expected one exported program")
    root, name = models[0].split("/")[0], models[0].split("/")[-1].removesuffix(".json")
    if archive.read(f"{root}/byteorder").strip() != b"little":
        raise WeightsError("its numbers are not little-endian")
    tensors: dict[str, Tensor] = {}
    for kind in ("weights", "constants"):
        folder = f"{root}/data/{kind}"
        config = json.loads(archive.read(f"{folder}/{name}_{kind}_config.json"))["config"]
        for tensor_name, entry in config.items():
            if entry["use_pickle"] or not entry["tensor_meta"]:
                raise WeightsError(f"{tensor_name!r} is pickled, and nothing is unpickled")
            data = archive.read(f"{folder}/{entry['path_name']}")
            tensors[tensor_name] = _tensor(data, entry["tensor_meta"])
    program = json.loads(archive.read(models[0]))
    return ExportedProgram(program["graph_module"], tensors)


def _tensor(data: bytes, meta: Mapping[str, Any]) -> Tensor:
    dtype = _DTYPES[meta["dtype"]]
    sizes, strides = (tuple(n["as_int"] for n in meta[key]) for key in ("sizes", "strides"))
    if not data:
        return torch.zeros(sizes, dtype=dtype)
    flat = torch.frombuffer(bytearray(data), dtype=dtype)
    return torch.as_strided(flat, sizes, strides, meta["storage_offset"]["as_int"]).clone()


def _callable(target: str) -> Callable[..., Any] | None:
    """The function of a node; None where it may be skipped."""
    if target in _SCALARS:
        return _SCALARS[target]
    match = _ATEN.fullmatch(target)
    if match and match[1] in _SKIPPED:
        return None
    if not match or match[1] not in ALLOWED_OPERATORS:
        raise WeightsError(f"operator {target!r} is not allowed")
    return getattr(getattr(torch.ops.aten, match[1]), match[2])  # type: ignore[no-any-return]


def _argument(argument: Mapping[str, Any], values: Mapping[str, Any], device: torch.device) -> Any:
    """The value of one argument; tensors are made on the input's device."""
    ((kind, value),) = argument.items()
    if kind in _PLAIN:
        return value
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return values[value["name"]]
        case "as_tensors":
            return [values[item["name"]] for item in value]
        case "as_optional_tensors":
            return [_argument(item, values, device) for item in value]
        case "as_optional_tensor":
            return _argument(value, values, device)
        case "as_sym_int" | "as_sym_float" | "as_sym_bool":
            ((form, content),) = value.items()
            return values[content] if form == "as_name" else content
        case "as_sym_ints":
            return [_argument({"as_sym_int": item}, values, device) for item in value]
        case "as_scalar_type":
            return _DTYPES[value]
        case "as_memory_format":
            return _MEMORY_FORMATS[value]
        case "as_layout":
            return torch.strided
        case "as_device":
            return device
    raise WeightsError(f"argument of kind {kind!r}, expected tensors and numbers")


def _store(outputs: list[Mapping[str, Any]], result: Any, values: dict[str, Any]) -> None:
    """Puts the result of a node, which may be several, under the names of its outputs."""
    several = result if len(outputs) > 1 else (result,)
    for output, value in zip(outputs, several, strict=False):
        ((kind, content),) = output.items()
        if kind == "as_tensors":
            for item, part in zip(content, value, strict=True):
                values[item["name"]] = part
        elif kind == "as_none":
            continue
        else:
            values[content["as_name" if kind.startswith("as_sym") else "name"]] = value
