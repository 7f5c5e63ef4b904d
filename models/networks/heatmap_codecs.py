"""Landmarks to heatmaps and back (FHR paper, Eq. 1, 3 and 4, and the usual alternatives).

    encode   exp(-|c - c0|^2 / (2 sigma^2)) about a real-valued centre c0        (Eq. 1)
    decode   the highest pixel, (Eq. 3), and from its neighbours what it lacks:

    | codec | offset from the highest pixel, along x; y likewise |
    | --- | --- |
    | argmax | none |
    | quarter | a quarter pixel towards the higher neighbour |
    | fractional | sigma^2 (ln h(x+1) - ln h(x)) + 1/2 (Eq. 4); the opposite neighbour at the edge |
    | log_difference | sigma^2 / 2 (ln h(x+1) - ln h(x-1)) |
    | taylor | -H^-1 g of ln h, smoothed before by a Gaussian (DARK, Zhang et al. 2020) |

All coordinates are (x, y) heatmap pixels, the centre of the top-left pixel at (0, 0). Offsets
have gradients with respect to the heatmaps, the place of the highest pixel has none.

sigma = 3 px serves both papers: the "bandwidth of 3 x 3" of the local-motion paper (section
4.1) is read as the standard deviation along x and y. Read as a window, it would leave a
network 9 of 4,096 pixels to learn from.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["CODECS", "SIGMA_PX", "decode_heatmaps", "encode_heatmaps"]

CODECS: Final = ("argmax", "quarter", "fractional", "log_difference", "taylor")
SIGMA_PX: Final = 3.0
#: An offset is half a pixel at most, and one more where the stencil is moved in from the edge.
#: What comes out larger is noise, or a landmark outside of the map.
_OFFSET_LIMIT_PX: Final = 2.0


def encode_heatmaps(
    landmarks_px: Tensor, height_px: int, width_px: int, sigma_px: float = SIGMA_PX
) -> Tensor:
    """Gaussians of height 1 about real-valued centres, in or out of the map (Eq. 1).

    Args:
        landmarks_px: (..., 2) floating, (x, y) heatmap pixels.
        height_px: H.
        width_px: W.
        sigma_px: standard deviation in heatmap pixels.

    Returns: (..., H, W) of the landmarks' dtype, on their device.
    """
    x = torch.arange(width_px, dtype=landmarks_px.dtype, device=landmarks_px.device)
    y = torch.arange(height_px, dtype=landmarks_px.dtype, device=landmarks_px.device)
    scale = -0.5 / sigma_px**2
    along_x = (scale * (x - landmarks_px[..., :1]).square()).exp()  # (..., W)
    along_y = (scale * (y - landmarks_px[..., 1:]).square()).exp()  # (..., H)
    return along_y.unsqueeze(-1) * along_x.unsqueeze(-2)


def decode_heatmaps(
    heatmaps: Tensor, codec: str = "fractional", sigma_px: float = SIGMA_PX
) -> Tensor:
    """The landmark of each map; finite whatever the maps hold.

    Args:
        heatmaps: (..., H, W) floating, H and W at least 3.
        codec: one of CODECS.
        sigma_px: standard deviation that the maps were encoded with.

    Returns: (..., 2) of the maps' dtype (half precision becomes float32), (x, y) heatmap pixels.

    Raises:
        ValueError: there is no such codec, or the maps are too small.
    """
    if heatmaps.shape[-2] < 3 or heatmaps.shape[-1] < 3:
        raise ValueError(f"heatmaps: got shape {tuple(heatmaps.shape)}, expected 3x3 px or more")
    if heatmaps.dtype in (torch.float16, torch.bfloat16):
        heatmaps = heatmaps.float()
    maps = torch.nan_to_num(heatmaps)
    peak = _peak(maps)
    match codec:
        case "argmax":
            return peak.to(maps.dtype)
        case "quarter":
            return peak + _quarter_offset(maps, peak)
        case "fractional":
            return peak + _limited(_fractional_offset(maps, peak, sigma_px))
        case "log_difference":
            inner = _moved_in(maps, peak)
            return inner + _limited(_log_difference(maps, inner, sigma_px))
        case "taylor":
            smooth = _smoothed(maps, sigma_px)
            inner = _moved_in(maps, _peak(smooth))
            return inner + _limited(_taylor_offset(smooth, inner))
    raise ValueError(f"codec: got {codec!r}, expected one of {', '.join(CODECS)}")


def _peak(maps: Tensor) -> Tensor:
    """(..., H, W) to the highest pixel (..., 2) int64 (x, y); the first of equals."""
    index = maps.flatten(-2).argmax(-1)
    width = maps.shape[-1]
    return torch.stack([index % width, index // width], dim=-1)


def _moved_in(maps: Tensor, peak: Tensor) -> Tensor:
    """The pixel nearest to each peak that has neighbours on all sides."""
    last = torch.tensor([maps.shape[-1] - 2, maps.shape[-2] - 2], device=maps.device)
    return torch.minimum(peak.clamp(min=1), last)


def _value(maps: Tensor, at: Tensor, dx: int | Tensor = 0, dy: int | Tensor = 0) -> Tensor:
    """(..., H, W) at the pixels (..., 2), shifted: (...)."""
    index = (at[..., 1] + dy) * maps.shape[-1] + (at[..., 0] + dx)
    return maps.flatten(-2).gather(-1, index.unsqueeze(-1)).squeeze(-1)


def _log(values: Tensor) -> Tensor:
    return values.clamp(min=torch.finfo(values.dtype).tiny).log()


def _limited(offset: Tensor) -> Tensor:
    return offset.clamp(-_OFFSET_LIMIT_PX, _OFFSET_LIMIT_PX)


def _quarter_offset(maps: Tensor, peak: Tensor) -> Tensor:
    """None along an axis at whose end the peak lies: there is nothing to compare."""
    inner = _moved_in(maps, peak)
    slope = torch.stack(
        [
            _value(maps, inner, dx=1) - _value(maps, inner, dx=-1),
            _value(maps, inner, dy=1) - _value(maps, inner, dy=-1),
        ],
        dim=-1,
    )
    return 0.25 * slope.sign() * (inner == peak)


def _fractional_offset(maps: Tensor, peak: Tensor, sigma_px: float) -> Tensor:
    """Eq. 4, with its squares multiplied out: z - z^ = s (sigma^2 (ln h1 - ln h) + 1/2).

    s is 1, and -1 at the far edges, where the neighbour lies in the opposite direction.
    """
    far = torch.tensor([maps.shape[-1] - 1, maps.shape[-2] - 1], device=maps.device)
    side = torch.where(peak < far, 1, -1)
    here = _log(_value(maps, peak))
    step_x = _log(_value(maps, peak, dx=side[..., 0])) - here
    step_y = _log(_value(maps, peak, dy=side[..., 1])) - here
    return side * (sigma_px**2 * torch.stack([step_x, step_y], dim=-1) + 0.5)


def _log_difference(maps: Tensor, inner: Tensor, sigma_px: float) -> Tensor:
    step_x = _log(_value(maps, inner, dx=1)) - _log(_value(maps, inner, dx=-1))
    step_y = _log(_value(maps, inner, dy=1)) - _log(_value(maps, inner, dy=-1))
    return 0.5 * sigma_px**2 * torch.stack([step_x, step_y], dim=-1)


def _smoothed(maps: Tensor, sigma_px: float) -> Tensor:
    """Convolved with a Gaussian as wide as the maps' own: what noise leaves is one peak."""
    radius = math.ceil(2.5 * sigma_px)
    at = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = (-0.5 * (at / sigma_px).square()).exp()
    kernel = kernel / kernel.sum()
    x = maps.reshape(-1, 1, *maps.shape[-2:])
    x = functional.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = functional.conv2d(x, kernel.view(1, 1, 1, -1))
    return functional.conv2d(x, kernel.view(1, 1, -1, 1)).view(maps.shape)


def _taylor_offset(maps: Tensor, at: Tensor) -> Tensor:
    """-H^-1 g of the logarithm at pixels with neighbours; none where it is not a peak."""

    def log(dx: int, dy: int) -> Tensor:
        return _log(_value(maps, at, dx, dy))

    gx, gy = (log(1, 0) - log(-1, 0)) / 2, (log(0, 1) - log(0, -1)) / 2
    hxx = log(1, 0) - 2 * log(0, 0) + log(-1, 0)
    hyy = log(0, 1) - 2 * log(0, 0) + log(0, -1)
    hxy = (log(1, 1) - log(1, -1) - log(-1, 1) + log(-1, -1)) / 4
    determinant = hxx * hyy - hxy.square()
    peaked = (determinant > 1e-9) & (hxx < 0)
    safe = torch.where(peaked, determinant, 1.0)
    offset = torch.stack([hxy * gy - hyy * gx, hxy * gx - hxx * gy], dim=-1) / safe.unsqueeze(-1)
    return torch.where(peaked.unsqueeze(-1), offset, 0.0)
