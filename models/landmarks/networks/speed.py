"""The cost of a landmark network: parameters, multiplications, windows a second."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.landmarks.networks.construction import build_network
from models.landmarks.networks.fast_inference import FastForm, fast_form
from models.landmarks.networks.landmark_network import LandmarkNetwork

#: Normalized crops and their windows to a network's output.
_Reader: TypeAlias = Callable[[Tensor, Tensor], object]
_WINDOW_FRAMES: Final = 3
_MIN_REPEATS: Final = 2


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkCost:
    """The cost of one network.

    parameters: trained numbers; size_mb: of them in float32, in 10^6 bytes.
    gmac: 10^9 multiplications and additions a window, of the plain form.
    windows_a_second: of each form on the windows of one track, one after the other, which
        overlap: plain (as trained, in evaluation mode), fast (what is used), and taps (fast,
        with three 2D convolutions for each 3D one; where there are 3D ones).
    """

    network: str
    parameters: int
    size_mb: float
    gmac: float
    windows_a_second: dict[str, float]


def measure_network(
    name: str, *, device: str = "cpu", windows: int = 16, seconds: float = 2.0
) -> NetworkCost:
    """Builds and times a network: the best repetition of each of its forms.

    The forms take turns, so that other load of the machine affects all of them alike.

    Args:
        name: one of NETWORK_NAMES.
        device: where it runs; on a CPU with torch's current number of threads.
        windows: windows a call.
        seconds: how long the forms are repeated, all together; twice each at least.
    """
    network = build_network(name).eval().requires_grad_(False)
    size = network.crop_size_px
    with torch.device("meta"):
        shadow = build_network(name).eval()
        with FlopCounterMode(display=False) as counter:
            shadow(torch.empty(1, _WINDOW_FRAMES, 3, size, size))
    crops = torch.randn(windows + _WINDOW_FRAMES - 1, size, size, 3, device=device)
    crops = crops.permute(0, 3, 1, 2)  # channels last in memory
    index = torch.arange(windows)[:, None] + torch.arange(_WINDOW_FRAMES)
    forms = _forms(network.to(device), device)
    with torch.inference_mode():
        calls = {form: partial(read, crops, index) for form, read in forms.items()}
        best = _best_seconds(calls, device, seconds)
    rates = {form: windows / best[form] for form in forms}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkCost(name, parameters, 4e-6 * parameters, counter.get_total_flops() / 2e9, rates)


def _forms(network: LandmarkNetwork, device: str) -> dict[str, _Reader]:
    forms: dict[str, _Reader] = {
        "plain": lambda crops, index: network(crops.contiguous()[index]),
        "fast": _reader(fast_form(network).to(device)),
    }
    if any(isinstance(module, torch.nn.Conv3d) for module in network.modules()):
        forms["taps"] = _reader(fast_form(network, temporal_taps=True).to(device))
    return forms


def _reader(form: FastForm) -> _Reader:
    def read(crops: Tensor, index: Tensor) -> object:
        shared = crops if form.read_crops is None else form.read_crops(crops)
        return form.read_windows(shared[index[:, -form.frames_seen :]])

    return read


def _best_seconds(
    calls: Mapping[str, Callable[[], object]], device: str, seconds: float
) -> dict[str, float]:
    """The least time of each call in seconds, after one warm-up call."""
    for call in calls.values():
        call()
    best = dict.fromkeys(calls, float("inf"))
    start, repeats = time.perf_counter(), 0
    while repeats < _MIN_REPEATS or time.perf_counter() - start < seconds:
        for form, call in calls.items():
            begin = time.perf_counter()
            call()
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            best[form] = min(best[form], time.perf_counter() - begin)
        repeats += 1
    return best
