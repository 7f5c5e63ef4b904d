"""The 2D coordinate regression network of the local-motion paper (section 3.2, figure 1a).

    crop 64x64x3 -> [3x3 convolution, batch norm, ELU, max pool 2] x 5 -> 2x2x512
                 -> FC 1024, batch norm, ELU, dropout 0.2 -> FC 136

"Padding 2" of the paper is read as Keras `same`: it is the only reading that ends at
2x2x512, and it gives the published 3.8 million parameters (3,810,184).

B batch, C channels, H, W, L landmarks.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Final, cast

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

__all__ = ["CROP_SIZE_PX", "CoordinateNetwork2D", "fold_batch_norm"]

CROP_SIZE_PX: Final = 64
_CHANNELS: Final = (3, 32, 64, 128, 256, 512)


class _Block(nn.Module):
    """Convolution, batch norm, ELU, max pool; the pool goes first since ELU is monotonic."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)
        self.pool = nn.MaxPool2d(2)
        self.activation = nn.ELU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.pool(self.norm(self.convolution(x))))  # type: ignore[no-any-return]


class CoordinateNetwork2D(nn.Module):
    """Normalized crops to landmarks in crop units.

    Maps (B, 3, 64, 64) float32 (RGB, Z-scored) to (B, 68, 2) float32 (x, y), where -0.5 and
    0.5 are the outer edges of the crop: crop pixel = (value + 0.5) * 64 - 0.5.
    """

    def __init__(self, landmark_count: int = 68, dropout: float = 0.2) -> None:
        super().__init__()
        self.landmark_count = landmark_count
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in pairwise(_CHANNELS)))
        self.hidden = nn.Linear(2 * 2 * _CHANNELS[-1], 1024)
        self.hidden_norm: nn.Module = nn.BatchNorm1d(1024)
        self.activation = nn.ELU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(1024, 2 * landmark_count)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(cast(Tensor, module.bias), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 64, 64) normalized crops to (B, 68, 2) landmarks in crop units."""
        x = self.blocks(x).flatten(1)  # (B, 2048)
        x = self.dropout(self.activation(self.hidden_norm(self.hidden(x))))  # (B, 1024)
        return self.output(x).unflatten(1, (self.landmark_count, 2))  # type: ignore[no-any-return]  # (B, L, 2)


def fold_batch_norm(network: CoordinateNetwork2D) -> CoordinateNetwork2D:
    """A copy for inference whose convolutions and layers contain their batch norms.

    The copy is in evaluation mode, asks for no gradients, and differs from
    `network.eval()` by float rounding only. The argument is left as it is.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for block in folded.blocks:
        assert isinstance(block, _Block)
        if isinstance(block.norm, nn.BatchNorm2d):
            block.convolution = fuse_conv_bn_eval(block.convolution, block.norm)
            block.norm = nn.Identity()
    if isinstance(folded.hidden_norm, nn.BatchNorm1d):
        folded.hidden = fuse_linear_bn_eval(folded.hidden, folded.hidden_norm)
        folded.hidden_norm = nn.Identity()
    return folded.requires_grad_(False)
