"""The heatmap regression networks of the local-motion paper (section 3.3, figure 2).

    crop 64x64x3 -> [3x3 convolution of 256, stride 2, batch norm, ELU] x 5  -> 2x2x256
      late:      -> ConvLSTM 256 over the 3 frames, its last timestep        -> 2x2x256
                 -> [3x3 transposed convolution of 256, stride 2, batch norm, ELU] x 5
                 -> 1x1 convolution of 512, batch norm, ELU -> 1x1 convolution to L heatmaps

    2DFCN        neither; sees one frame
    3DFCN        early: 3x3x3 convolutions over 3 frames, stride 2 in space only; without the
                 ConvLSTM the encoder's last timestep is decoded
    2DFCRNN      late
    3DFCRNN      both

10,210,116 (2DFCRNN) and 14,942,532 (3DFCRNN) parameters, as published.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from models.landmarks.networks.coordinate_network import CROP_SIZE_PX, WINDOW_FRAMES
from models.landmarks.networks.landmark_network import (
    LandmarkNetwork,
    features_by_frame,
    init_xavier_uniform,
    last_frame,
)
from models.landmarks.networks.recurrent_cell import RecurrentCell, conv_lstm_cell

_FILTERS: Final = 256
_STEPS: Final = 5


class HeatmapBlock(nn.Module):
    """A convolution of any kind, batch norm, ELU."""

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.convolution = convolution
        kind = nn.BatchNorm3d if isinstance(convolution, nn.Conv3d) else nn.BatchNorm2d
        self.norm = kind(convolution.out_channels)
        self.activation = nn.ELU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), or (B, C, T, H, W), to the sizes that the convolution gives."""
        return self.activation(self.norm(self.convolution(x)))  # type: ignore[no-any-return]


class HeatmapNetwork(LandmarkNetwork):
    """Normalized windows (B, 3, 3, S, S) float32 to heatmaps (B, L, S, S).

    With neither connection it sees the last frame, and takes (B, 3, S, S) crops too.

    Args:
        landmark_count: L.
        dropout: of the recurrent connections; there is no other.
        crop_size_px: S, a multiple of 32.
        early: 3D convolutions in the encoder.
        late: a ConvLSTM between encoder and decoder.
    """

    heatmap_stride = 1

    def __init__(
        self,
        landmark_count: int = 68,
        dropout: float = 0.2,
        crop_size_px: int = CROP_SIZE_PX,
        *,
        early: bool,
        late: bool,
    ) -> None:
        super().__init__(landmark_count, crop_size_px, multiple_px=2**_STEPS)
        self.early = early
        self.frames_seen = WINDOW_FRAMES if early or late else 1
        channels = [3] + [_FILTERS] * (_STEPS - 1)
        self.encoder = nn.Sequential(
            *(HeatmapBlock(_halving_convolution(c, early=early)) for c in channels)
        )
        self.cell: RecurrentCell | None = conv_lstm_cell(_FILTERS, dropout) if late else None
        self.decoder = nn.Sequential(
            *(HeatmapBlock(_doubling_convolution()) for _ in range(_STEPS)),
            HeatmapBlock(nn.Conv2d(_FILTERS, 2 * _FILTERS, kernel_size=1)),
        )
        self.output = nn.Conv2d(2 * _FILTERS, landmark_count, kernel_size=1)
        init_xavier_uniform(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 3, S, S) windows to (B, L, S, S) heatmaps of the last frame."""
        if self.frames_seen == 1:
            return self.decode(self.encode(last_frame(x)))
        features = features_by_frame(self.encoder, x, early=self.early)  # (B, T, 256, S/32, S/32)
        return self.decode(features[:, -1] if self.cell is None else self.cell(features))

    def encode(self, crops: Tensor) -> Tensor:
        """(B, 3, S, S) crops to their features (B, 256, S/32, S/32), without `early`."""
        return self.encoder(crops)  # type: ignore[no-any-return]

    def decode(self, features: Tensor) -> Tensor:
        """(B, 256, S/32, S/32) features to (B, L, S, S) heatmaps."""
        return self.output(self.decoder(features))  # type: ignore[no-any-return]


def _halving_convolution(channels: int, *, early: bool) -> nn.Conv2d | nn.Conv3d:
    if early:
        return nn.Conv3d(channels, _FILTERS, kernel_size=3, stride=(1, 2, 2), padding=1)
    return nn.Conv2d(channels, _FILTERS, kernel_size=3, stride=2, padding=1)


def _doubling_convolution() -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(
        _FILTERS, _FILTERS, kernel_size=3, stride=2, padding=1, output_padding=1
    )
