"""Input checks of stabilizers: missing coordinates, jumps; the size of a face over time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.face_box import face_size_px

#: Beyond this a coordinate counts as missing.
FARTHEST_PX: Final = 1e7
#: Root mean square distance between two frames' landmarks, in sizes of the face, above which a
#: new track starts.
JUMP_SIZES: Final = 1.0
#: Weight of the newest frame in a track's running face size.
SIZE_RATE: Final = 0.05
#: Smaller faces count as this large.
SMALLEST_SIZE_PX: Final = 1e-3

Landmarks = npt.NDArray[np.float64]


def fill_missing(landmarks_px: Landmarks, last_px: Landmarks | None) -> Landmarks:
    """(..., 68, 2) landmarks, their missing coordinates replaced by those of the frame before.

    Missing are those that are not finite or out of range. On a track's first frame they get the
    mean of the others.
    """
    missing = ~(np.abs(landmarks_px) < FARTHEST_PX)
    if not missing.any():
        return landmarks_px
    if last_px is None:
        last_px = np.ma.masked_array(landmarks_px, missing).mean(-2, keepdims=True).filled(0.0)
    return np.where(missing, last_px, landmarks_px)


def jumps(landmarks_px: Landmarks, last_px: Landmarks) -> bool:
    """Whether (68, 2) landmarks are farther from the frame before than a face moves."""
    moved2 = ((landmarks_px - last_px) ** 2).sum(-1).mean()
    return is_jump(float(moved2), float(face_size_px(last_px)))


def is_jump(moved2: float, size_px: float) -> bool:
    """Whether a movement is a jump; `moved2`: mean square over landmarks, px^2."""
    return moved2 > (JUMP_SIZES * size_px) ** 2 + 1.0
