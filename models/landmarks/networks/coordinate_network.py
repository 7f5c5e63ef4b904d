"""The coordinate regression networks of the local-motion paper (section 3.2, figure 1).

    2D      crop 64x64x3 -> [3x3 convolution, batch norm, ELU, max pool 2] x 5 -> 2x2x512
                         -> FC 1024, batch norm, ELU, dropout 0.2 -> FC 136
    3D      early: 3x3x3 convolutions over a window of 3 frames, pooled in space only,
                   so FC 1024 sees 3x2x2x512
    2DRNN   late:  the 2D convolutions on each frame, and an LSTM of 1024 units over the
                   frames in place of FC 1024
    3DRNN   both

"Padding 2" of the paper is taken as Keras `same`: only this gives 2x2x512, and it gives the
published numbers of parameters: 3,810,184, 11,139,656, 14,296,968 and
17,432,136.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from torch import Tensor, nn

from models.landmarks.networks.landmark_network import (
    LandmarkNetwork,
    features_by_frame,
    init_xavier_uniform,
    last_frame,
)
from models.landmarks.networks.recurrent_cell import lstm_cell

CROP_SIZE_PX: Final = 64
WINDOW_FRAMES: Final = 3
_CHANNELS: Final = (3, 32, 64, 128, 256, 512)
FEATURE_CHANNELS: Final = _CHANNELS[-1]
_REDUCTION: Final[int] = 2 ** (len(_CHANNELS) - 1)
_HIDDEN_UNITS: Final = 1024


class CoordinateBlock(nn.Module):
    """Convolution, batch norm, ELU, max pool; the pool goes first since ELU is monotonic."""

    def __init__(self, channels_in: int, channels_out: int, *, early: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv3d if early else nn.Conv2d
        self.convolution = convolution(channels_in, channels_out, kernel_size=3, padding=1)
        self.norm = (nn.BatchNorm3d if early else nn.BatchNorm2d)(channels_out)
        self.pool = nn.MaxPool3d((1, 2, 2)) if early else nn.MaxPool2d(2)
        self.activation = nn.ELU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S), or (B, C, T, S, S), to half of S."""
        return self.activation(self.pool(self.norm(self.convolution(x))))  # type: ignore[no-any-return]


class CoordinateNetwork(LandmarkNetwork):
    """Normalized windows (B, 3, 3, S, S) float32 to landmarks (B, L, 2) in crop units.

    With neither connection it sees the last frame, and takes (B, 3, S, S) crops too.

    Args:
        landmark_count: L.
        dropout: of FC 1024, or of the output and the recurrent connections of the LSTM.
        crop_size_px: S, a multiple of 32.
        early: 3D convolutions.
        late: an LSTM in place of FC 1024.
    """

    def __init__(
        self,
        landmark_count: int = 68,
        dropout: float = 0.2,
        crop_size_px: int = CROP_SIZE_PX,
        *,
        early: bool,
        late: bool = False,
    ) -> None:
        super().__init__(landmark_count, crop_size_px, multiple_px=_REDUCTION)
        self.early = early
        self.frames_seen = WINDOW_FRAMES if early or late else 1
        self.blocks = nn.Sequential(
            *(CoordinateBlock(a, b, early=early) for a, b in pairwise(_CHANNELS))
        )
        features = FEATURE_CHANNELS * (crop_size_px // _REDUCTION) ** 2  # of a frame
        self.cell = lstm_cell(features, _HIDDEN_UNITS, dropout) if late else None
        if not late:
            self.hidden = nn.Linear(self.frames_seen * features, _HIDDEN_UNITS)
            self.hidden_norm: nn.Module = nn.BatchNorm1d(_HIDDEN_UNITS)
            self.activation = nn.ELU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(_HIDDEN_UNITS, 2 * landmark_count)
        init_xavier_uniform(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 3, S, S) windows to (B, L, 2) landmarks in crop units."""
        if self.cell is not None:
            features = features_by_frame(self.blocks, x, early=self.early)  # (B, T, 512, 2, 2)
            return self.decode(self.cell(features.flatten(2)))
        x = x.transpose(1, 2) if self.early else last_frame(x)
        return self.decode(self.blocks(x).flatten(1))

    def encode(self, crops: Tensor) -> Tensor:
        """(B, 3, S, S) crops to their features (B, 2048), without `early`."""
        return self.blocks(crops).flatten(1)  # type: ignore[no-any-return]

    def decode(self, x: Tensor) -> Tensor:
        """(B, F) features, or the (B, 1024) hidden state of the LSTM, to (B, L, 2) crop units."""
        if self.cell is None:
            x = self.activation(self.hidden_norm(self.hidden(x)))
        return self.output(self.dropout(x)).unflatten(1, (self.landmark_count, 2))  # type: ignore[no-any-return]
