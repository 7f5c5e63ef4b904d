"""The face detector's network: fully convolutional, four strides, one face score a cell.

    image --/4--> stem --> s8 --> s16 --> s32 --> s64      down: halve, then residual blocks
                           |       |       |       |
                           v       v       v       v
                          p8 <--- p16 <-- p32 <-- p64      up: 1x1, nearest x2, add
                           |       |       |       |
                         5 maps  5 maps  5 maps  5 maps    score logit, dx, dy, log w, log h

Small faces are found at stride 8, faces as large as the image at stride 64.
For training; `detector_graph` is the same network as onnxruntime runs it.
B batch, C channels, H, W; maps of a level are (B, 5, H / stride, W / stride).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from models.checkpoints import float_arrays
from models.detection.detector_graph import calibrated
from models.detection.weights_file import (
    NEUTRAL_GREY,
    PIXEL_SCALE,
    DetectorConfig,
    save_detector_weights,
)

_PRIOR_LOGIT: Final = -4.6  # a cell holds a face one time in a hundred, before training


class ConvNormRelu(nn.Sequential):
    """Convolution, BatchNorm, ReLU; 3x3 or 1x1, padded so that stride 1 keeps the size."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def separable(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3, then a 1x1 that mixes channels."""
    return nn.Sequential(
        ConvNormRelu(in_channels, in_channels, 3, stride, groups=in_channels),
        ConvNormRelu(in_channels, out_channels, 1),
    )


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        change: torch.Tensor = self.body(x)
        return x + change


def plain(channels: int) -> nn.Sequential:
    """Two 3x3 convolutions."""
    return nn.Sequential(*(ConvNormRelu(channels, channels, 3) for _ in range(2)))


def separable_residuals(channels: int) -> list[Residual]:
    """Two residual blocks of separable convolutions."""
    return [Residual(separable(channels, channels)) for _ in range(2)]


class DetectorNetwork(nn.Module):
    """Face score and box code for every cell of four grids over the image."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DetectorConfig()
        half, quarter = self.config.stem_channels
        c8, c16, c32, c64 = self.config.stage_channels
        head = self.config.head_channels
        self.stem = nn.Sequential(ConvNormRelu(3, half, 3, 2), ConvNormRelu(half, quarter, 3, 2))
        plain8, plain16 = plain(c8), plain(c16)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(ConvNormRelu(quarter, c8, 3, 2), Residual(plain8)),
                nn.Sequential(ConvNormRelu(c8, c16, 3, 2), Residual(plain16)),
                nn.Sequential(ConvNormRelu(c16, c32, 3, 2), *separable_residuals(c32)),
                nn.Sequential(separable(c32, c64, 2), *separable_residuals(c64)),
            ]
        )
        self.laterals = nn.ModuleList(
            [ConvNormRelu(c, head, 1) for c in self.config.stage_channels]
        )
        self.heads = nn.ModuleList(
            [
                nn.Sequential(separable(head, head), separable(head, head), nn.Conv2d(head, 5, 1))
                for _ in self.config.strides_px
            ]
        )
        for module in self.heads.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
                module.bias.data[0] = _PRIOR_LOGIT

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Maps of every level, fine to coarse.

        Args:
            image: (B, 3, H, W) float RGB in 0 to 255; H and W multiples of 64.

        Returns: a list of (B, 5, H / stride, W / stride), one for each stride.
        """
        x = self.stem((image - NEUTRAL_GREY).div_(PIXEL_SCALE))
        down: list[torch.Tensor] = []
        for stage in self.stages:
            x = stage(x)
            down.append(x)
        up = self.laterals[-1](down[-1])
        levels = [self.heads[-1](up)]
        for i in range(len(down) - 2, -1, -1):
            up = self.laterals[i](down[i]) + functional.interpolate(up, scale_factor=2.0)
            levels.insert(0, self.heads[i](up))
        return levels


def save_detector_network(
    network: DetectorNetwork,
    path: Path,
    *,
    licence: str | None = None,
    images: Iterable[npt.NDArray[np.float32]] | None = None,
) -> None:
    """Writes the weights as `read_detector_weights` reads them.

    Args:
        images: training images for `calibrated`; None: the file's network runs in float32.
    """
    tensors = float_arrays(network)
    if images is not None:
        tensors = calibrated(tensors, network.config, images)
    save_detector_weights(tensors, network.config, path, licence=licence)
