"""Landmarks to heatmaps and back (FHR paper, Eq. 1, 3 and 4, and the usual alternatives).

    encode   exp(-|c - c0|^2 / (2 sigma^2)) about a real-valued centre c0        (Eq. 1)
    decode   the highest pixel (Eq. 3), plus a sub-pixel offset from its neighbours:

    | codec | offset from the highest pixel, along x; y likewise |
    | --- | --- |
    | argmax | none |
    | quarter | a quarter pixel towards the higher neighbour |
    | fractional | sigma^2 (ln h(x+1) - ln h(x)) + 1/2 (Eq. 4); the opposite neighbour at the edge |
    | log_difference | sigma^2 / 2 (ln h(x+1) - ln h(x-1)) |
    | taylor | -H^-1 g of ln h, to second order about the pixel (DARK, Zhang et al. 2020) |

DARK takes gradient g and Hessian H from differences of the smoothed map. Smoothing moves
peaks at the map's edge inwards by more than a pixel, so here they come from a least-squares
fit around the pixel, weighted by h^2: as exact inside, and right at the edge.

`soft_argmax` decodes another kind of map: the softmax of the whole map is a distribution, and the
landmark its mean (Sun et al. 2018; Nibali et al. 2018). It has gradients throughout.

All coordinates are (x, y) heatmap pixels, the centre of the top-left pixel at (0, 0). Offsets
have gradients with respect to the heatmaps, the place of the highest pixel has none.

sigma = 3 px is used for both papers: the "bandwidth of 3 x 3" of the local-motion paper (section
4.1) is taken as the standard deviation along x and y. As a window, it would leave a network 9 of
4,096 pixels to learn from.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from schemas.choices import CODECS, SIGMA_PX

#: An offset is half a pixel at most, and one more where the stencil is moved in from the edge.
#: Larger values are noise, or a landmark outside of the map.
_OFFSET_LIMIT_PX: Final = 2.0
#: Determinant of the Hessian, in units of the fitted window, that makes a peak.
_MIN_CURVATURE: Final = 1e-4


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
    """The landmark of each map; always finite.

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
    if codec == "soft_argmax":
        return soft_argmax(maps)[0]
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
            return peak + _limited(_taylor_offset(maps, peak, sigma_px))
    raise ValueError(f"codec: got {codec!r}, expected one of {', '.join(CODECS)}")


def soft_argmax(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The mean place and the logarithm of the softmax of each map.

    Args:
        maps: (..., H, W) floating, finite.

    Returns: (..., 2) (x, y) heatmap pixels; (..., H, W).
    """
    height, width = maps.shape[-2:]
    log_share = maps.flatten(-2).log_softmax(-1).view(maps.shape)
    share = log_share.exp()
    x = torch.arange(width, dtype=maps.dtype, device=maps.device)
    y = torch.arange(height, dtype=maps.dtype, device=maps.device)
    mean = torch.stack([(share.sum(-2) * x).sum(-1), (share.sum(-1) * y).sum(-1)], dim=-1)
    return mean, log_share


def soft_argmax_spread(log_spreads: Tensor, log_share: Tensor) -> Tensor:
    """The expected error of each landmark: the mean of its log spreads over its softmax.

    Args:
        log_spreads: (..., H, W), the logarithm of a distance.
        log_share: (..., H, W), as `soft_argmax` returns it.

    Returns: (...) the expected distance, in the unit of the spreads.
    """
    return (log_share.exp() * log_spreads).sum((-1, -2)).exp()


def read_places_and_spreads(maps: Tensor) -> tuple[Tensor, Tensor]:
    """`soft_argmax` and `soft_argmax_spread` in a third of the time, for inference.

    Args:
        maps: (B, 2 L, H, W) floating, finite: places, then log spreads; fast where channels are
            last in memory.

    Returns: (B, L, 2) (x, y) heatmap pixels; (B, L) the expected distances.
    """
    height, width = maps.shape[-2:]
    places, log_spreads = maps.movedim(1, -1).flatten(1, 2).chunk(2, dim=-1)  # (B, H W, L)
    x = torch.arange(width, dtype=maps.dtype, device=maps.device).repeat(height)
    y = torch.arange(height, dtype=maps.dtype, device=maps.device).repeat_interleave(width)
    share = (places - places.amax(1, keepdim=True)).exp()
    whole = share.sum(1, keepdim=True)  # (B, 1, L)
    mean = torch.stack([x, y]) @ share / whole  # (B, 2, L)
    spread = ((share * log_spreads).sum(1) / whole.squeeze(1)).exp()
    return mean.transpose(1, 2), spread


def _peak(maps: Tensor) -> Tensor:
    """(..., H, W) to the highest pixel (..., 2) int64 (x, y); the first of equals."""
    y = maps.amax(-1).argmax(-1)  # row by row is ten times as fast as argmax over the map
    row = maps.gather(-2, y[..., None, None].expand(*y.shape, 1, maps.shape[-1])).squeeze(-2)
    return torch.stack([row.argmax(-1), y], dim=-1)


def _moved_in(maps: Tensor, peak: Tensor) -> Tensor:
    """The pixel nearest to each peak that has neighbours on all sides."""
    last = torch.tensor([maps.shape[-1] - 2, maps.shape[-2] - 2], device=maps.device)
    return torch.minimum(peak.clamp(min=1), last)


def _value(maps: Tensor, at: Tensor) -> Tensor:
    """(..., H, W) at the pixels (..., 2): (...)."""
    index = at[..., 1] * maps.shape[-1] + at[..., 0]
    return maps.flatten(-2).gather(-1, index.unsqueeze(-1)).squeeze(-1)


def _neighbours(maps: Tensor, at: Tensor, step: int | Tensor) -> Tensor:
    """(..., H, W) a step along x, and a step along y, from the pixels (..., 2): (..., 2)."""
    x, y = (step * torch.eye(2, dtype=at.dtype, device=at.device)[axis] for axis in (0, 1))
    return torch.stack([_value(maps, at + x), _value(maps, at + y)], dim=-1)


def _log(values: Tensor) -> Tensor:
    return values.clamp(min=torch.finfo(values.dtype).tiny).log()


def _limited(offset: Tensor) -> Tensor:
    return offset.clamp(-_OFFSET_LIMIT_PX, _OFFSET_LIMIT_PX)


def _quarter_offset(maps: Tensor, peak: Tensor) -> Tensor:
    """Zero along an axis where the peak lies at the edge and has one neighbour only."""
    inner = _moved_in(maps, peak)
    slope = _neighbours(maps, inner, 1) - _neighbours(maps, inner, -1)
    return 0.25 * slope.sign() * (inner == peak)


def _fractional_offset(maps: Tensor, peak: Tensor, sigma_px: float) -> Tensor:
    """Eq. 4, with its squares multiplied out: z - z^ = s (sigma^2 (ln h1 - ln h) + 1/2).

    s is 1, and -1 at the far edges, where the neighbour lies in the opposite direction.
    """
    far = torch.tensor([maps.shape[-1] - 1, maps.shape[-2] - 1], device=maps.device)
    side = torch.where(peak < far, 1, -1)
    here = _log(_value(maps, peak))
    step = _log(_neighbours(maps, peak, side)) - here.unsqueeze(-1)
    return side * (sigma_px**2 * step + 0.5)


def _log_difference(maps: Tensor, inner: Tensor, sigma_px: float) -> Tensor:
    step = _log(_neighbours(maps, inner, 1)) - _log(_neighbours(maps, inner, -1))
    return 0.5 * sigma_px**2 * step


def _taylor_offset(maps: Tensor, peak: Tensor, sigma_px: float) -> Tensor:
    """-H^-1 g of ln h about the peak; zero where the fit has no maximum.

    ln h = a + g_x u + g_y v + h_xx u^2 / 2 + h_yy v^2 / 2 + h_xy u v is fitted to a window of
    two standard deviations about the peak, weighted by h^2: noise in ln h is noise over h.
    """
    radius = math.ceil(2 * sigma_px)
    reach = torch.arange(-radius, radius + 1, device=maps.device)
    dx, dy = reach.repeat(len(reach)), reach.repeat_interleave(len(reach))  # (K,)
    x, y = peak[..., :1] + dx, peak[..., 1:] + dy  # (..., K)
    height, width = maps.shape[-2:]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    values = maps.flatten(-2).gather(-1, index)
    top = _value(maps, peak).unsqueeze(-1).clamp(min=torch.finfo(maps.dtype).tiny)
    relative = (values / top).clamp(min=0.0, max=1.0)
    weights = relative.square() * inside

    u, v = dx.to(maps.dtype) / radius, dy.to(maps.dtype) / radius
    terms = torch.stack([torch.ones_like(u), u, v, u * u / 2, v * v / 2, u * v], dim=-1)  # (K, 6)
    weighted = weights.unsqueeze(-1) * terms  # (..., K, 6)
    normal = weighted.transpose(-1, -2) @ terms  # (..., 6, 6)
    right = weighted.transpose(-1, -2) @ _log(relative).unsqueeze(-1)  # (..., 6, 1)
    ridge = 1e-6 * torch.eye(6, dtype=maps.dtype, device=maps.device)
    _, gx, gy, hxx, hyy, hxy = torch.linalg.solve(normal + ridge, right).squeeze(-1).unbind(-1)

    determinant = hxx * hyy - hxy.square()
    peaked = (determinant > _MIN_CURVATURE) & (hxx < 0)
    safe = torch.where(peaked, determinant, 1.0)
    offset = torch.stack([hxy * gy - hyy * gx, hxy * gx - hxx * gy], dim=-1) / safe.unsqueeze(-1)
    return radius * torch.where(peaked.unsqueeze(-1), offset, 0.0)
