"""Where a network runs: the names of devices, checked in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["check_device_name", "resolve_device"]


def check_device_name(name: str) -> None:
    """Raises ValueError unless `name` is auto, cpu, cuda or cuda:i; it need not exist."""
    kind, colon, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and index.isdigit())):
        raise ValueError(f"got {name!r}, expected auto, cpu, cuda or cuda:i")


def resolve_device(name: str | torch.device) -> torch.device:
    """The torch device of a name; `auto` is cuda where there is one, else cpu.

    Raises:
        UsageError: no such name, or a CUDA device that this machine does not have. A silent
            fallback to the CPU would take a hundred times as long.
    """
    import torch  # here, so that names can be checked without it

    try:
        check_device_name(str(name))
    except ValueError as error:
        raise UsageError(f"device: {error}") from error
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise UsageError(f"device: got {name}, but this machine has {count} CUDA devices")
    return device
