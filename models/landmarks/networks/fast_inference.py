"""Faster forms of the landmark networks for inference, equal up to rounding.

    crops --read_crops--> shared features --read_windows--> coordinates or heatmaps

Windows overlap, so a frame is in up to three of them. Layers before the first connection between
frames are computed once for each crop.

    | network | once a crop | once a window |
    | --- | --- | --- |
    | 2D, 2DFCN | convolutions | the rest |
    | 2DRNN, 2DFCRNN | convolutions, and the gates that they feed | two recurrent steps, the rest |
    | 3D, 3DRNN, 3DFCN, 3DFCRNN, hourglass, U-net | normalization | everything |

Batch norms are folded into the layer before them, and memory is channels-last.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from models.landmarks.networks.coordinate_network import CoordinateNetwork
from models.landmarks.networks.heatmap_network import HeatmapNetwork
from models.landmarks.networks.hourglass import StackedHourglass
from models.landmarks.networks.landmark_network import LandmarkNetwork
from models.landmarks.networks.unet import UNet

Network = TypeVar("Network", bound=nn.Module)
Step: TypeAlias = Callable[[Tensor], Any]
_Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d
_OURS: Final = (CoordinateNetwork, HeatmapNetwork, StackedHourglass, UNet)
_CHANNELS_LAST: Final = {4: torch.channels_last, 5: torch.channels_last_3d}


class FastForm(nn.Module):
    """A network in two steps.

    Attributes:
        network: the network whose parameters both steps use.
        frames_seen: F, the frames of a window that are used: 1 (the last) or all.
        read_crops: (N, 3, S, S) normalized crops to shared features (N, ...); None where
            only the crops are shared.
        read_windows: (B, F, ...) shared features, or crops, oldest first, to
            coordinates or heatmaps (B, L, ...).
    """

    def __init__(
        self, network: LandmarkNetwork, read_crops: Step | None, read_windows: Step
    ) -> None:
        super().__init__()
        self.network = network
        self.frames_seen = network.frames_seen
        self.read_crops = read_crops
        self.read_windows = read_windows


class TemporalConvolution(nn.Module):
    """A 3D convolution with a temporal kernel of 3 and padding 1, in 2D convolutions.

    (B, C, T, H, W) to the result of the convolution, without the two of nine products that read
    the padding before the first and after the last frame. The B pictures of a frame are contiguous
    in memory, so each tap reads and adds one block.
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        before, here, after = convolution.weight.detach().unbind(2)
        self.stride = cast(tuple[int, int], convolution.stride[1:])
        self.padding = cast(tuple[int, int], convolution.padding[1:])
        self.before, self.here, self.after = (
            nn.Parameter(tap.contiguous(memory_format=torch.channels_last), requires_grad=False)
            for tap in (before, here, after)
        )
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, C', T, H', W')."""
        batch, _, frames = x.shape[:3]
        pictures = x.permute(2, 0, 1, 3, 4).flatten(0, 1)  # (T B, C, H, W)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        y = self._convolve(pictures, self.here, self.bias)
        y[batch:] += self._convolve(pictures[:-batch], self.before)
        y[:-batch] += self._convolve(pictures[batch:], self.after)
        return y.view(frames, batch, *y.shape[1:]).permute(1, 2, 0, 3, 4)

    def _convolve(self, x: Tensor, tap: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(x, tap, bias, self.stride, self.padding)


def fast_form(network: LandmarkNetwork, *, temporal_taps: bool = False) -> FastForm:
    """A copy of a network for inference; the argument is not changed.

    Differs from `network.eval()` by float rounding only: at most 1e-4 px.

    Args:
        network: any network of this package; others are used unchanged, and not copied.
        temporal_taps: three 2D convolutions for each 3D one (`TemporalConvolution`). Faster than
            3D convolutions on contiguous memory, but not on channels-last memory, where the CPU
            kernels skip the padding themselves: `facetracks networks` measures both.
    """
    if not isinstance(network, _OURS):
        return FastForm(network, None, network).eval()
    folded = fold_batch_norms(network)
    if temporal_taps:
        for block in folded.modules():
            convolution = getattr(block, "convolution", None)
            if isinstance(convolution, nn.Conv3d):
                block.convolution = TemporalConvolution(convolution)
    for parameter in folded.parameters():
        if parameter.ndim in _CHANNELS_LAST:
            layout = _CHANNELS_LAST[parameter.ndim]
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return FastForm(folded, *_steps(folded)).eval()


def in_bfloat16(form: FastForm) -> FastForm:
    """Converts the form to bfloat16, in place, up to its last layer, which stays in float32.

    Rounding a coordinate to bfloat16 alone would cost a twentieth of a pixel. Takes inputs in
    bfloat16. `PrecisionCheck` decides whether it is accurate enough.
    """
    form.to(torch.bfloat16)
    network = form.network
    last = network.heads[-1] if isinstance(network, StackedHourglass) else network.output
    assert isinstance(last, nn.Module)
    last.float()
    last.register_forward_pre_hook(lambda _, inputs: tuple(x.float() for x in inputs))
    return form


def compile_form(form: FastForm) -> FastForm:
    """Compiles the form, in place, by torch.compile at its first calls, for any batch size."""
    if form.read_crops is not None:
        form.read_crops = torch.compile(form.read_crops, dynamic=True)
    form.read_windows = torch.compile(form.read_windows, dynamic=True)
    return form


def _steps(network: LandmarkNetwork) -> tuple[Step | None, Step]:
    """`read_crops` and `read_windows`."""
    if not isinstance(network, CoordinateNetwork | HeatmapNetwork) or network.early:
        return None, network
    cell = network.cell
    if cell is None:
        return network.encode, lambda features: network.decode(features[:, -1])
    return (
        lambda crops: cell.input_gates(network.encode(crops)),  # (N, 4096), (N, 1024, S/32, S/32)
        lambda gates: network.decode(cell.run(gates.unbind(1))),
    )


def fold_batch_norms(network: Network) -> Network:
    """A copy for inference in which layers contain the batch norms that follow them.

    The copy is in evaluation mode, without gradients, and differs from
    `network.eval()` by float rounding only. The argument is not changed.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in folded.modules():
        if isinstance(parent, nn.Sequential):
            names = list(parent._modules)
            for layer, norm in pairwise(names):
                _fold(parent, layer, norm)
        else:
            _fold(parent, "convolution", "norm")
            _fold(parent, "hidden", "hidden_norm")
    return folded.requires_grad_(False)


def _fold(parent: nn.Module, layer_name: str, norm_name: str) -> None:
    """Folds a norm into a layer, if the parent has both."""
    layer, norm = getattr(parent, layer_name, None), getattr(parent, norm_name, None)
    if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
        fused: nn.Module = fuse_linear_bn_eval(layer, norm)
    elif isinstance(layer, _Convolution) and isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
        fused = fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
    else:
        return
    setattr(parent, layer_name, fused)
    setattr(parent, norm_name, nn.Identity())
