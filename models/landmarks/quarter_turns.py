"""Faces that lie on their side or head: by how many quarter turns, and there and back.

Networks are best at faces that stand. Where the landmarks of a first look say that a face is
nearer to its side or head, the crop is turned by whole quarters, which moves pixels and blends
none, and looked at again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_EYES: Final = slice(36, 48)
_MOUTH: Final = slice(48, 68)


def quarters_to_upright(landmarks_px: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Counterclockwise quarter turns after which each face stands: (M, 68, 2) to (M,), 0 to 3.

    By the line from the middle of the eyes to that of the mouth, which turned heads have too.
    Landmarks that are not finite say 0.
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
