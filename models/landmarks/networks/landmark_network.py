"""The common interface of the landmark networks.

    windows (B, T, 3, S, S) -- coordinate networks --> (B, L, 2) crop units
                            -- heatmap networks -----> (B, L, S / stride, S / stride)

Windows are RGB, normalized, oldest frame first; the landmarks are those of the last frame.
In crop units -0.5 and 0.5 are the outer edges of the crop:
crop pixel = (value + 0.5) * S - 0.5. Heatmap pixel (x, y) is likewise crop pixel
(x + 0.5) * stride - 0.5, so both grids meet at the edges.

B batch, T frames of a window, C channels, H, W, S crop side, L landmarks.
"""

from __future__ import annotations

from torch import Tensor, nn


class LandmarkNetwork(nn.Module):
    """Base class: the attributes that a caller needs to feed a network and read its output.

    Attributes:
        landmark_count: L.
        crop_size_px: S.
        frames_seen: 1 where only the last frame of a window is used, else T.
        heatmap_stride: crop pixels a heatmap pixel, or None: the output is coordinates.
        makes_spread: the heatmaps are followed by as many maps of the logarithm of the expected
            error, in units of the crop's side (`soft_argmax_spread`).
    """

    frames_seen: int = 1
    heatmap_stride: int | None = None
    makes_spread: bool = False

    def __init__(self, landmark_count: int, crop_size_px: int, *, multiple_px: int = 1) -> None:
        """Raises ValueError unless the crop's side is a positive multiple of `multiple_px`."""
        if crop_size_px < multiple_px or crop_size_px % multiple_px:
            raise ValueError(
                f"crop_size_px: got {crop_size_px}, expected a multiple of {multiple_px}"
            )
        super().__init__()
        self.landmark_count = landmark_count
        self.crop_size_px = crop_size_px


def last_frame(x: Tensor) -> Tensor:
    """(B, T, 3, S, S) windows or (B, 3, S, S) crops to (B, 3, S, S)."""
    return x[:, -1] if x.ndim == 5 else x


def features_by_frame(encoder: nn.Module, x: Tensor, *, early: bool) -> Tensor:
    """(B, T, 3, S, S) windows to the features (B, T, C, H, W); `early`: by a 3D encoder."""
    if early:
        return encoder(x.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]
    return encoder(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # type: ignore[no-any-return]


def init_xavier_uniform(network: nn.Module) -> None:
    """Xavier uniform weights and zero biases (local-motion paper, section 4.2)."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
