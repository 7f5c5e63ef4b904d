"""Quality of a face's crop: its blur, and how much of the face is outside the picture.

Both are computed in the decoding process, from the landmark network's input.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import Affine, image_to_crop

#: Taps of the blur that a crop is compared with (Crete et al., 2007).
_TAPS: Final = 9
#: Pixels that a part of a crop must have in both directions.
_MIN_SIDE_PX: Final = 2 * _TAPS
#: Mean difference of neighbouring pixels, 0..255, below which a crop counts as uniform.
_FLAT: Final = 0.05


def face_blur(
    crop: npt.NDArray[np.uint8],
    affine: Affine,
    box_xyxy_px: npt.ArrayLike,
    width_px: int,
    height_px: int,
) -> float:
    """Blur of a face in its crop: 0 is sharp, 1 is blurred.

    The blur effect of Crete, Dolmiere, Ladret and Nicolas ("The blur effect: perception and
    estimation with a new no-reference perceptual blur metric", 2007, equations 1 to 7) of the
    luma (BT.601) under the box, as far as it is in the picture: blurring a sharp picture
    again changes the differences of neighbouring pixels much, blurring a blurred one little. It
    depends neither on light nor contrast, and, in a crop of fixed size, not on the frame's:
    a face with fewer pixels than its crop counts as blurred. Noise counts as sharp.

    Args:
        crop: (S, S, 3) uint8 RGB.
        affine: (2, 3) float64, from the crop to the upright frame; without a turn.
        box_xyxy_px: the face's box in the upright frame.
        width_px, height_px: of the upright frame.

    Returns: nan where fewer than 18 crop pixels in either direction are in the picture, or
        where all of them are alike.
    """
    x0, y0, x1, y1 = np.asarray(box_xyxy_px, np.float64).tolist()
    inside = np.array(
        [[max(x0, -0.5), max(y0, -0.5)], [min(x1, width_px - 0.5), min(y1, height_px - 0.5)]]
    )
    first, last = image_to_crop(inside, affine)
    left, top = np.maximum(np.ceil(first), 0).astype(int).tolist()
    right, bottom = np.minimum(np.floor(last), len(crop) - 1).astype(int).tolist()
    if min(right - left, bottom - top) + 1 < _MIN_SIDE_PX:
        return float("nan")
    part = crop[top : bottom + 1, left : right + 1]
    luma = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    across = _blur_effect(luma)
    down = _blur_effect(np.ascontiguousarray(luma.T))
    return float(np.maximum(across, down))  # nan where either is


def _blur_effect(luma: npt.NDArray[np.float32]) -> float:
    """The share of the differences along x that a blur along x leaves; nan where flat."""
    blurred = cv2.blur(luma, (_TAPS, 1), borderType=cv2.BORDER_REPLICATE)
    differences = np.abs(np.diff(luma, axis=1))
    total = float(differences.sum(dtype=np.float64))
    if total < _FLAT * differences.size:
        return float("nan")
    lost = np.maximum(differences - np.abs(np.diff(blurred, axis=1)), 0)
    return 1.0 - float(lost.sum(dtype=np.float64)) / total


def cut_off_share(box_xyxy_px: npt.ArrayLike, width_px: int, height_px: int) -> float:
    """The share of a box's area, 0..1, that lies outside the upright frame.

    The frame covers [-0.5, width_px - 0.5] and [-0.5, height_px - 0.5]. A box without area
    counts as outside where its left upper corner is.
    """
    x0, y0, x1, y1 = np.asarray(box_xyxy_px, np.float64).tolist()
    shares = []
    for low, high, end in ((x0, x1, width_px - 0.5), (y0, y1, height_px - 0.5)):
        if high <= low:
            shares.append(float(-0.5 <= low <= end))
            continue
        seen = min(high, end) - max(low, -0.5)
        shares.append(min(max(seen, 0.0) / (high - low), 1.0))
    return 1.0 - shares[0] * shares[1]
