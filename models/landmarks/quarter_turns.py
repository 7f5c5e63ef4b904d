"""Quarter turns that bring a rolled face upright, and landmarks back.

Networks are best at upright faces. Where a first prediction shows a face that is rolled by more
than 45 degrees, its crop is turned by quarter turns, without resampling, and predicted again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_EYES: Final = slice(36, 48)
_MOUTH: Final = slice(48, 68)


def quarters_to_upright(landmarks_px: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Counterclockwise quarter turns after which each face is upright: (M, 68, 2) to (M,), 0 to 3.

    By the line from the middle of the eyes to that of the mouth, which turned heads have too.
    0 where landmarks are not finite.
    """
    down = landmarks_px[:, _MOUTH].mean(1) - landmarks_px[:, _EYES].mean(1)  # (M, 2)
    clockwise = np.arctan2(-down[:, 0], down[:, 1])  # 0 where the mouth is below the eyes
    quarters = np.round(np.nan_to_num(clockwise) / (np.pi / 2)).astype(np.intp)
    return np.asarray(quarters % 4, np.intp)


def landmarks_turned_back(
    landmarks_px: npt.NDArray[np.float32], quarters: int, size_px: int
) -> npt.NDArray[np.float32]:
    """Landmarks (..., 2) of a crop turned by `np.rot90(crop, quarters)` in the crop's pixels."""
    x, y = landmarks_px[..., 0], landmarks_px[..., 1]
    for _ in range(quarters):
        x, y = size_px - 1 - y, x
    return np.stack([x, y], axis=-1)
