"""A small U-net with residual blocks that predicts landmarks and their expected errors.

    crop SxSx3 -> 3x3 convolution, stride 2 -> [3x3, stride 2 -> residual blocks] x 4
                                                 S/4   S/8   S/16   S/32
                                                  |     |     |      |
               1x1 -> maps S/4 <- residual <- + <-+- + <+- + <+- 1x1, enlarged twice

The first L maps are decoded by soft-argmax (`soft_argmax`); the others are the logarithm of the
expected distance in units of the crop's side, averaged with the weights of the first
(`soft_argmax_spread`). Not of either paper: the shape is that of Ronneberger et al. 2015 with
the residual blocks of He et al. 2016, as small as real time on one core of a CPU allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.landmarks.networks.landmark_network import (
    LandmarkNetwork,
    last_frame,
)

UNET_CROP_SIZE_PX: Final = 128
#: Of the maps of side S/2, S/4, S/8, S/16 and S/32.
UNET_CHANNELS: Final = (16, 32, 64, 96, 128)
_STRIDE: Final = 4
#: exp(-4) of the crop's side: a typical error at the start of training.
_START_LOG_SPREAD: Final = -4.0


class _Residual(nn.Module):
    """Two 3x3 convolutions with a skip connection: (B, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels),
            nn.ReLU(inplace=True),
            *_convolution(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class UNet(LandmarkNetwork):
    """Normalized crops (B, 3, S, S) float32 to maps (B, 2 L, S/4, S/4): places, log spreads.

    Of windows, (B, T, 3, S, S), it sees the last frame.

    Args:
        landmark_count: L.
        channels: five widths, of the maps of side S/2 to S/32.
        blocks: residual blocks at each size on the way down; on the way up there is one.
        crop_size_px: S, a multiple of 32.

    Raises:
        ValueError: a setting is out of range.
    """

    heatmap_stride = _STRIDE
    makes_spread = True

    def __init__(
        self,
        landmark_count: int = 68,
        *,
        channels: Sequence[int] = UNET_CHANNELS,
        blocks: int = 1,
        crop_size_px: int = UNET_CROP_SIZE_PX,
    ) -> None:
        super().__init__(landmark_count, crop_size_px, multiple_px=32)
        if len(channels) != 5 or min(channels) < 1 or blocks < 1:
            raise ValueError(
                f"unet: got channels {list(channels)} and {blocks} blocks, expected five widths "
                "and at least one block"
            )
        self.stem = nn.Sequential(*_convolution(3, channels[0], stride=2), nn.ReLU(inplace=True))
        self.down = nn.ModuleList(
            nn.Sequential(
                *_convolution(wide, narrow, stride=2),
                nn.ReLU(inplace=True),
                *(_Residual(narrow) for _ in range(blocks)),
            )
            for wide, narrow in pairwise(channels)
        )
        ways_up = list(pairwise(reversed(channels[1:])))
        self.laterals = nn.ModuleList(
            nn.Sequential(*_convolution(below, above, kernel=1)) for below, above in ways_up
        )
        self.up = nn.ModuleList(_Residual(above) for _, above in ways_up)
        self.output = nn.Conv2d(channels[1], 2 * landmark_count, kernel_size=1)
        _initialize(self)
        with torch.no_grad():
            assert self.output.bias is not None
            self.output.bias[landmark_count:] = _START_LOG_SPREAD

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) crops or (B, T, 3, S, S) windows to (B, 2 L, S/4, S/4) maps."""
        x = self.stem(last_frame(x))  # (B, C, S/2, S/2)
        seen: list[Tensor] = []
        for down in self.down:
            x = down(x)
            seen.append(x)
        beside = reversed(seen[:-1])
        for lateral, up, skip in zip(self.laterals, self.up, beside, strict=True):
            from_below = functional.interpolate(lateral(x), scale_factor=2.0, mode="nearest")
            x = up(functional.relu(from_below + skip))
        maps: Tensor = self.output(x)
        return maps


def _convolution(
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1
) -> tuple[nn.Module, ...]:
    """A convolution that keeps the side, divided by the stride, and its batch norm."""
    return (
        nn.Conv2d(
            channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False
        ),
        nn.BatchNorm2d(channels_out),
    )


def _initialize(network: nn.Module) -> None:
    """He et al. 2015; a residual block starts as the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, _Residual):
            last = module.body[-1]
            assert isinstance(last, nn.BatchNorm2d)
            nn.init.zeros_(last.weight)
