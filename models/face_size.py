"""The size of a face, from its landmarks: the unit that stabilizers measure lengths in."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

#: Distance of the outer eye corners of a face seen from the front, over the root mean square
#: distance of its 68 landmarks from their middle (median of 48 videos).
_EYES_OVER_RADIUS: Final = 1.59


def face_size_px(landmarks_px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The size of faces, (..., 68, 2) to (...): the interocular distance of a frontal view.

    A constant times the root mean square distance of the landmarks from their middle, which
    hardly jitters and does not vanish when the head turns.
    """
    spread = ((landmarks_px - landmarks_px.mean(-2, keepdims=True)) ** 2).sum(-1).mean(-1)
    return np.asarray(_EYES_OVER_RADIUS * np.sqrt(spread), np.float64)


def size_of_moments_px(square: float, x: float, y: float, count: int) -> float:
    """`face_size_px` from sums over `count` landmarks: of x^2 + y^2 in px^2, of x and of y."""
    spread = square / count - (x * x + y * y) / (count * count)
    return _EYES_OVER_RADIUS * math.sqrt(max(0.0, spread))
