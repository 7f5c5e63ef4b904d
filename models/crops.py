"""Crops: the square of a frame that a network sees, and the exact inverse map.

One sampler serves training (planes of an RGB photograph) and decoding (Y, U and V
planes of a video frame), so a network gets the same input in production as in training.

          crop pixel u ---- affine ---> image pixel x        (pixel centres are integers)
               x = x0 + (u + 0.5) * side / size            x0: the crop's left edge

Boxes are (x0, y0, x1, y1) in the same continuous pixel coordinates as landmarks.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]
Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def square_affine(
    box_xyxy_px: npt.ArrayLike,
    *,
    scale: float,
    size_px: int,
    pixel_aspect: float = 1.0,
    angle_deg: float = 0.0,
) -> Affine:
    """The affine map from a square crop to the image around a box.

    The crop is centred on the box; its side is `scale` times the longer side of the box,
    measured on square pixels. `pixel_aspect` is the width of an image pixel over its
    height, `angle_deg` turns the crop clockwise in the image (training only).

    Returns (2, 3) float64: image_xy = affine @ (crop_x, crop_y, 1).
    """
    x0, y0, x1, y1 = np.asarray(box_xyxy_px, np.float64)
    side = scale * max((x1 - x0) * pixel_aspect, y1 - y0)  # in units of an image pixel's height
    step = side / size_px
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    linear = step * np.array([[c, -s], [s, c]])
    linear[0] /= pixel_aspect
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    offset = centre - linear @ np.full(2, (size_px - 1) / 2)
    return np.column_stack([linear, offset])


def fit_affine(width_px: int, height_px: int, *, out_width_px: int, out_height_px: int) -> Affine:
    """The affine map from a whole-frame thumbnail to the frame: edges meet edges.

    Returns (2, 3) float64: frame_xy = affine @ (thumbnail_x, thumbnail_y, 1).
    """
    kx, ky = width_px / out_width_px, height_px / out_height_px
    return np.array([[kx, 0.0, kx / 2 - 0.5], [0.0, ky, ky / 2 - 0.5]])


def thumbnail_affine(
    width_px: int, height_px: int, longest_side_px: int, pixel_aspect: float = 1.0
) -> tuple[Affine, int, int]:
    """`fit_affine` of a thumbnail with square pixels, its width and its height in pixels.

    Its longer side is at most `longest_side_px`; smaller frames are not enlarged. `pixel_aspect`
    is the width of a frame's pixel over its height.
    """
    shown = width_px * pixel_aspect, float(height_px)
    scale = min(1.0, longest_side_px / max(shown))
    width, height = (max(1, round(length * scale)) for length in shown)
    return fit_affine(width_px, height_px, out_width_px=width, out_height_px=height), width, height


def crop_to_image(points: npt.NDArray[np.floating], affine: Affine) -> npt.NDArray[np.float64]:
    """Maps (..., 2) points of a crop to pixels of the image; (M, N, 2) by (M, 2, 3) maps, too."""
    offset = affine[:, 2] if affine.ndim == 2 else affine[:, None, :, 2]
    return np.asarray(points, np.float64) @ np.swapaxes(affine[..., :2], -1, -2) + offset


def image_to_crop(points: npt.NDArray[np.floating], affine: Affine) -> npt.NDArray[np.float64]:
    """Maps (..., 2) pixels of the image to points of a crop; the inverse of `crop_to_image`."""
    inverse = np.linalg.inv(affine[:, :2])
    return (np.asarray(points, np.float64) - affine[:, 2]) @ inverse.T


def pixel_size(affine: Affine) -> npt.NDArray[np.float64]:
    """The side, in pixels of the image, of the square that has a crop pixel's area.

    Of a (2, 3) map, or of each of (..., 2, 3).
    """
    size: npt.NDArray[np.float64] = np.sqrt(np.abs(np.linalg.det(affine[..., :2])))
    return size


def compose_affines(outer: Affine, inner: Affine) -> Affine:
    """The (2, 3) affine map that applies `inner`, then `outer`."""
    offset = crop_to_image(inner[:, 2], outer)
    composed: Affine = np.column_stack([outer[:, :2] @ inner[:, :2], offset])
    return composed


def sample_plane(plane: Plane, affine: Affine, width_px: int, height_px: int) -> Plane:
    """Samples `plane` on the grid of a crop, without aliasing.

    Where the crop shrinks the image by less than two, each of its pixels is one bilinear sample.
    Where it shrinks it more, each is the mean of 2 x 2 bilinear samples of the image, reduced
    (area mean) to pixels about as large as those samples are apart. One sample would prevent
    aliasing, but its blur depends on its position between two pixels, and a varying blur shifts
    the image: a small spot by up to 0.02 crop pixels, with four samples by less than 0.001.
    Outside the plane the nearest border pixel is repeated.

    Args:
        plane: (H, W) or (H, W, C), uint8 or uint16.
        affine: (2, 3) float64, crop pixel to plane pixel.

    Returns: (height_px, width_px[, C]) of the plane's dtype.
    """
    if _steps_px(affine).max() < 2:
        return _sample_bilinearly(plane, affine, width_px, height_px)
    fine_px = 2 * width_px, 2 * height_px
    to_crop = fit_affine(width_px, height_px, out_width_px=fine_px[0], out_height_px=fine_px[1])
    fine = _sample_bilinearly(plane, compose_affines(affine, to_crop), *fine_px)
    sampled: Plane = cv2.resize(fine, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return sampled


def _steps_px(affine: Affine) -> npt.NDArray[np.float64]:
    """(2,) how far from each other, in x and in y, a crop's pixels lie in the plane."""
    steps_px: npt.NDArray[np.float64] = np.abs(affine[:, :2]).sum(1)
    return steps_px


def _sample_bilinearly(plane: Plane, affine: Affine, width_px: int, height_px: int) -> Plane:
    """Bilinear samples of the plane, reduced by whole factors to pixels as large as a step."""
    height, width = plane.shape[:2]
    factor_x, factor_y = np.maximum(1, _steps_px(affine).astype(int)).tolist()
    corners = np.array([[-1, -1], [width_px, -1], [-1, height_px], [width_px, height_px]])
    reach = crop_to_image(corners.astype(np.float64), affine)
    # The covered part, grown to whole reduction blocks that are anchored at pixel 0.
    low = np.clip(np.floor(reach.min(0)) - 1, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(reach.max(0)) + 2, 1, [width, height]).astype(int)
    x0, y0 = low[0] // factor_x * factor_x, low[1] // factor_y * factor_y
    x1 = min(-(-int(high[0]) // factor_x) * factor_x, width)
    y1 = min(-(-int(high[1]) // factor_y) * factor_y, height)
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    part = plane[y0:y1, x0:x1]
    if factor_x > 1 or factor_y > 1:
        out = (-(-(x1 - x0) // factor_x), -(-(y1 - y0) // factor_y))
        pad = (out[1] * factor_y - (y1 - y0), out[0] * factor_x - (x1 - x0))
        if any(pad):
            part = cv2.copyMakeBorder(part, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
        part = cv2.resize(part, out, interpolation=cv2.INTER_AREA)
    # Plane pixel x is pixel (x - x0 + 0.5) / factor - 0.5 of the reduced part.
    factors = np.array([[factor_x], [factor_y]], np.float64)
    to_part = affine / factors
    to_part[:, 2] += (0.5 - np.array([x0, y0])) / factors[:, 0] - 0.5
    sampled: Plane = cv2.warpAffine(
        part,
        to_part,
        (width_px, height_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return sampled


def turned_back(
    points: npt.NDArray[np.float32], quarters: int, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Points (..., 2) of `np.rot90(image, quarters)` in pixels of the image, of shape (H, W)."""
    x, y = points[..., 0], points[..., 1]
    for left in range(quarters, 0, -1):  # turns to undo, each counterclockwise
        x, y = shape[left % 2] - 1 - y, x
    return np.stack([x, y], axis=-1)
