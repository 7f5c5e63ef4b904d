"""Weights files: tensors as numpy arrays, without torch, and the check of a file's digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from models.atomic_write import atomic_write
from schemas.errors import WeightsError

Tensors = Mapping[str, npt.NDArray[Any]]

#: The types of stored weights. numpy knows bfloat16 only if another library has registered it.
_TYPES: Final = (np.float16, np.float32, np.float64)


def read_tensors(path: Path, what: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """All tensors by name, as they are stored, and the metadata of the file's header.

    `what` they are is for the message about a missing file.

    Raises:
        WeightsError: the file is missing, is no safetensors file, or holds a tensor of another
            type than float16, float32 and float64.
    """
    if not path.is_file():
        raise WeightsError(f"{what}: no such file: {path}")
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type unknown to numpy
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES:
            raise WeightsError(
                f"{path} is not a readable safetensors file: tensor {name!r} is of type "
                f"{tensor.dtype}, expected float16, float32 or float64"
            )
    return tensors, metadata


def write_tensors(path: str | Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    """Writes tensors by name, and the metadata of the header; the whole file or nothing."""
    packed = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(packed, metadata))


def check_digest(what: str, got: str | None, expected: str | None) -> None:
    """Raises WeightsError if two SHA-256 hex digests differ; an empty expected digest is accepted.

    A worker with another version of a file would write tracks that say they were made with
    the first one.
    """
    if expected is not None and got != expected:
        raise WeightsError(
            f"{what}: got sha256 {got} on this worker, expected {expected}, with which the run "
            "was started: install the same facetracks and weights on every machine"
        )
