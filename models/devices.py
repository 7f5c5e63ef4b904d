"""Names of devices: the one place that checks and resolves them."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import UsageError

if TYPE_CHECKING:
    import torch

_LOGGER = logging.getLogger(__name__)


def check_device_name(name: str) -> None:
    """Raises ValueError unless `name` is auto, cpu, cuda or cuda:i; it need not exist."""
    kind, colon, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and index.isdigit())):
        raise ValueError(f"got {name!r}, expected auto, cpu, cuda or cuda:i")


def device_name(name: str) -> str:
    """The name of the device that `resolve_device` gives: cpu, cuda or cuda:i.

    Where no NVIDIA driver is loaded that is known without torch, whose import takes 1.5 s. With a
    driver but without torch, `auto` is the CPU, and a warning says so.

    Raises UsageError as `resolve_device` does; ModuleNotFoundError for CUDA without torch.
    """
    if name == "cpu" or (name == "auto" and not _has_nvidia_driver()):
        return "cpu"
    if name == "auto" and importlib.util.find_spec("torch") is None:
        _LOGGER.warning("there is an NVIDIA driver, but CUDA needs torch: 'facetracks[torch]'")
        return "cpu"
    return str(resolve_device(name))


def _has_nvidia_driver() -> bool:
    """Whether CUDA may exist: false if Linux has no NVIDIA device files, else true."""
    return sys.platform != "linux" or any(
        Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg", "/dev/nvmap")
    )


def resolve_device(name: str | torch.device) -> torch.device:
    """The torch device of a name; `auto` is cuda where there is one, else cpu.

    Raises:
        UsageError: no such name, or a CUDA device that this machine does not have. A silent
            fallback to the CPU would take a hundred times as long.
    """
    try:
        check_device_name(str(name))
    except ValueError as error:
        raise UsageError(f"device: {error}") from error
    import torch  # here, so that names can be checked without it

    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise UsageError(f"device: got {name}, but this machine has {count} CUDA devices")
    return device
