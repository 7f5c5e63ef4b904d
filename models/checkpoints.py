"""What trainings of networks share: checkpoints, a running mean of weights, and their arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError  # torch.load(weights_only=True) raises it
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from models.atomic_write import atomic_write
from schemas.errors import WeightsError


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes tensors, numbers and texts, in dicts and lists, whole or not at all."""
    with atomic_write(path) as temporary:
        torch.save(dict(state), temporary)


@contextlib.contextmanager
def opened_checkpoint(path: Path, device: str | torch.device = "cpu") -> Iterator[dict[str, Any]]:
    """The state in a file of `save_checkpoint`, its tensors on `device`, for a `with` block.

    Raises:
        WeightsError: the file is missing or damaged, or the block fails because the state is that
            of another training.
    """
    try:
        yield torch.load(path, map_location=device, weights_only=True)
    except (
        OSError,
        EOFError,
        RuntimeError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        UnpicklingError,
    ) as error:
        raise WeightsError(f"{path}: not a checkpoint of this training: {error}") from error


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the running mean of a network's weights, in place, by 1 - `decay` towards them."""
    current = network.state_dict()
    for name, mean in average.state_dict().items():
        if mean.is_floating_point():
            mean.lerp_(current[name], 1 - decay)


def float_arrays(network: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """The floating tensors of a network by name, as arrays."""
    return {
        name: tensor.detach().cpu().numpy()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
