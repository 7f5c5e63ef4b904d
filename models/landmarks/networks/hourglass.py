"""The stacked hourglass of the FHR paper (section "Training Setting"; Newell et al. 2016).

    crop 256x256x3 -> 7x7 convolution, stride 2 -> 128x128x64 -> residual, max pool, residuals
                   -> 64x64xF -> [hourglass -> residual -> 1x1 -> heatmaps] x stacks
                                  '------ features and heatmaps join the next stack's input

Every stack predicts heatmaps; training compares each with the truth (`all_stacks`), inference
uses the last (`forward`).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from models.landmarks.networks.landmark_network import (
    LandmarkNetwork,
    init_xavier_uniform,
    last_frame,
)

HOURGLASS_CROP_SIZE_PX: Final = 256
_DEPTH: Final = 4
_STRIDE: Final = 4


class _Residual(nn.Module):
    """A bottleneck with pre-activation: 1x1, 3x3, 1x1, each after batch norm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.body = nn.Sequential(
            *_activated(channels_in, nn.Conv2d(channels_in, half, kernel_size=1)),
            *_activated(half, nn.Conv2d(half, half, kernel_size=3, padding=1)),
            *_activated(half, nn.Conv2d(half, channels_out, kernel_size=1)),
        )
        self.skip: nn.Module = (
            nn.Identity()
            if channels_in == channels_out
            else nn.Conv2d(channels_in, channels_out, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.body(x)  # type: ignore[no-any-return]


class _Hourglass(nn.Module):
    """Down to a sixteenth and up again, with a branch at every size: (B, F, H, W) to the same."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__()
        self.branch = _Residual(features, features)
        self.down = _Residual(features, features)
        self.inner: nn.Module = (
            _Hourglass(features, depth - 1) if depth > 1 else _Residual(features, features)
        )
        self.up = _Residual(features, features)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.enlarge(self.up(self.inner(self.down(self.pool(x)))))  # type: ignore[no-any-return]


class StackedHourglass(LandmarkNetwork):
    """Normalized crops (B, 3, S, S) float32 to heatmaps (B, L, S/4, S/4).

    Of windows, (B, T, 3, S, S), it sees the last frame.

    Args:
        landmark_count: L.
        stacks: hourglass modules (FHR: 4).
        features: channels of the hourglasses (Newell et al.: 256).
        crop_size_px: S, a multiple of 64 (FHR: 256).
    """

    heatmap_stride = _STRIDE

    def __init__(
        self,
        landmark_count: int = 68,
        *,
        stacks: int = 4,
        features: int = 256,
        crop_size_px: int = HOURGLASS_CROP_SIZE_PX,
    ) -> None:
        super().__init__(landmark_count, crop_size_px, multiple_px=_STRIDE * 2**_DEPTH)
        if stacks < 1 or features < 4 or features % 4:
            raise ValueError(
                f"hourglass: got {stacks} stacks of {features} features, expected at least one "
                "stack and a multiple of 4"
            )
        half, quarter = features // 2, features // 4
        self.stem = nn.Sequential(
            nn.Conv2d(3, quarter, kernel_size=7, stride=2, padding=3),
            nn.BatchNorm2d(quarter),
            nn.ReLU(inplace=True),
            _Residual(quarter, half),
            nn.MaxPool2d(2),
            _Residual(half, half),
            _Residual(half, features),
        )
        self.stacks = nn.ModuleList(
            nn.Sequential(
                _Hourglass(features, _DEPTH),
                _Residual(features, features),
                nn.Conv2d(features, features, kernel_size=1),
                nn.BatchNorm2d(features),
                nn.ReLU(inplace=True),
            )
            for _ in range(stacks)
        )
        self.heads = nn.ModuleList(
            nn.Conv2d(features, landmark_count, kernel_size=1) for _ in range(stacks)
        )
        self.feature_joins = nn.ModuleList(
            nn.Conv2d(features, features, kernel_size=1) for _ in range(stacks - 1)
        )
        self.heatmap_joins = nn.ModuleList(
            nn.Conv2d(landmark_count, features, kernel_size=1) for _ in range(stacks - 1)
        )
        init_xavier_uniform(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) crops or (B, T, 3, S, S) windows to (B, L, S/4, S/4) heatmaps."""
        return self._predictions(x)[-1]

    def all_stacks(self, x: Tensor) -> Tensor:
        """The heatmaps of every stack, for intermediate supervision: (B, N, L, S/4, S/4)."""
        return torch.stack(self._predictions(x), dim=1)

    def _predictions(self, x: Tensor) -> list[Tensor]:
        x = self.stem(last_frame(x))  # (B, F, S/4, S/4)
        predictions: list[Tensor] = []
        for index, (stack, head) in enumerate(zip(self.stacks, self.heads, strict=True)):
            features = stack(x)
            predictions.append(head(features))
            if index < len(self.feature_joins):
                x = x + self.feature_joins[index](features)
                x = x + self.heatmap_joins[index](predictions[-1])
        return predictions


def _activated(channels: int, convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True), convolution
