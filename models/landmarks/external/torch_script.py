"""TorchScript networks, checked before anything of them is loaded.

`torch.jit.load` reads its pickles with an unpickler of its own, in C++, that knows TorchScript's
types only and calls nothing of Python. But it runs `__setstate__` of the file's code, and that
code may call any operator, such as the one that writes files. So, in PyTorch 2.13 terms:

    code/**.py    parsed, not run: every call is an allowed operator, or the file's own code
    *.pkl         disassembled, not loaded: only TorchScript's classes and tensors are named
    the rest      raw numbers

What passes is packed anew, so that what is loaded is what was read here.
"""

from __future__ import annotations

import ast
import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import torch
from torch import nn

from models.landmarks.external.allowed_operators import ALLOWED_OPERATORS
from schemas.errors import WeightsError

__all__ = ["read_torch_script"]

_GLOBALS: Final = re.compile(
    r"__torch__[.\w]* \w+"
    r"|torch\._utils _rebuild_tensor_v2"
    r"|torch \w+Storage"
    r"|torch\.jit\._pickle (build_(int|double|bool|tensor)list|restore_type_tag)"
    r"|collections OrderedDict"
)
_REFUSED_OPCODES: Final = {"INST", "OBJ", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"}
_BUILTINS: Final = ("annotate", "bool", "float", "getattr", "int", "isinstance", "len", "list") + (
    ("range", "str", "unchecked_cast", "uninitialized")
)
_PRIMITIVES: Final = frozenset(
    f"ops.prim.{name}"
    for name in ("NumToTensor", "RaiseException", "data", "device", "dtype", "max", "min")
)
_MAX_BYTES: Final = 1 << 30


def read_torch_script(content: bytes) -> nn.Module:
    """The network in the bytes of a TorchScript file, on the CPU.

    Raises:
        WeightsError: it is no such file, or holds what could do more than compute. The message
            does not name the file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = _members(archive)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"not a TorchScript file: {error}") from error
    code = {name: data for name, data in members.items() if name.endswith(".py")}
    if not code:
        raise WeightsError("not a TorchScript file: it has no code; is it pickled weights?")
    for name, data in members.items():
        if name.endswith((".pkl", ".debug_pkl")):
            _check_pickle(name, data)
    _check_code(code)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    packed.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(packed, map_location="cpu")  # type: ignore[no-untyped-call,no-any-return]
    except RuntimeError as error:
        raise WeightsError(f"not a TorchScript file: {str(error).splitlines()[0]}") from error


def _members(archive: zipfile.ZipFile) -> dict[str, bytes]:
    infos = archive.infolist()
    size = sum(info.file_size for info in infos)
    if not infos or size > _MAX_BYTES:
        raise WeightsError(f"{len(infos)} members of {size} bytes, expected some, up to 1 GiB")
    return {info.filename: archive.read(info) for info in infos}


def _check_pickle(name: str, data: bytes) -> None:
    """Raises WeightsError where a pickle names anything but TorchScript's own types."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _REFUSED_OPCODES:
                raise WeightsError(f"{name}: pickle opcode {opcode.name} is not allowed")
            if opcode.name == "GLOBAL" and not _allowed_global(str(argument)):
                raise WeightsError(f"{name}: a pickle names {argument!r}, which is not allowed")
    except ValueError as error:
        raise WeightsError(f"{name}: not a pickle: {error}") from error


def _allowed_global(name: str) -> bool:
    return _GLOBALS.fullmatch(name) is not None and "torch.classes" not in name


def _check_code(code: Mapping[str, bytes]) -> None:
    """Raises WeightsError where code calls anything but allowed operators and itself."""
    trees = {}
    for name, data in code.items():
        try:
            trees[name] = ast.parse(data)
        except (SyntaxError, ValueError) as error:
            raise WeightsError(f"{name}: code that cannot be read: {error}") from error
    nodes = {name: list(ast.walk(tree)) for name, tree in trees.items()}
    own = {n.name for some in nodes.values() for n in some if isinstance(n, ast.FunctionDef)}
    for name, some in nodes.items():
        aliases = _aliases(some)
        for node in some:
            if isinstance(node, ast.Call) and not _allowed_call(node.func, own, aliases):
                called = ast.unparse(node.func)
                raise WeightsError(f"{name}: calls {called!r}, which is not allowed")


def _aliases(nodes: Sequence[ast.AST]) -> set[str]:
    """Variables that are assigned functions of the code itself, and nothing else."""
    assigned = {
        id(node.targets[0])
        for node in nodes
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("__torch__.")
    }
    stored = [n for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    others = {node.id for node in stored if id(node) not in assigned}
    return {node.id for node in stored} - others


def _allowed_call(function: ast.expr, own: Collection[str], aliases: Collection[str]) -> bool:
    """`own` are the methods that the code defines, `aliases` variables that are its functions.

    A method that is named as an operator is not one of them: `x.save(...)` is the operator
    where x is a tensor.
    """
    text = ast.unparse(function)
    if isinstance(function, ast.Name):
        return text in _BUILTINS or text in aliases
    if not isinstance(function, ast.Attribute) or "torch.classes" in text:
        return False
    if text.startswith(("ops.", "__torch__.")):
        return text in _PRIMITIVES or text.startswith("__torch__.")
    if text.startswith("torch."):
        return text.removeprefix("torch.") in ALLOWED_OPERATORS
    is_operator = hasattr(torch, function.attr) or hasattr(torch.ops.aten, function.attr)
    return function.attr in own and not is_operator
