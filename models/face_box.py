r"""Boxes of faces in the convention of the YuNet detector, and sizes, from landmarks.

      +-----------+   hairline
      |  .-- --.  |   The box of a labelled face is a linear function of the extents of its
      |  o     o  |   68 landmarks (W x H around their middle), the nose tip (which follows
      |     >     |   a turned head) and the eyes:
      |   \___/   |
      +-----------+   just below the chin

The constants were fitted (robust least squares) to YuNet's boxes (yunet_n_640_640) of 2,945
faces of YouTube Faces and 2,409 of web videos. Median overlap with the detector's box 0.91
(IoU), 5th percentile 0.82. What is left over, relative to the longer side of the box, has the
standard deviations of `DETECTOR_NOISE`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import numpy as np
import numpy.typing as npt

#: Distance of the outer eye corners of a face seen from the front, over the root mean square
#: distance of its 68 landmarks from their middle (median of 48 videos).
_EYES_OVER_RADIUS: Final = 1.59
_NOSE_TIP: Final = 30
_EYES: Final = slice(36, 48)
#: Pull of the nose tip on the box's x, and of the eyes on its y.
_PULL: Final = np.array([0.11, 0.57])
#: From the extents in x and y to the box's width and height, a column each.
_SIZE_OF_EXTENT: Final = np.array([[0.65, 0.30], [0.295, 1.01]])


@dataclasses.dataclass(frozen=True, slots=True)
class BoxNoise:
    """Standard deviations of a detector's box around `box_from_landmarks`.

    shift_x, shift_y: of the centre, in units of the longer side.
    log_size: of the logarithm of the geometric mean of width and height.
    log_aspect: of the logarithm of width over height.
    """

    shift_x: float
    shift_y: float
    log_size: float
    log_aspect: float

    def widened(self, factor: float) -> BoxNoise:
        """The same noise, scaled by `factor`."""
        return BoxNoise(*(factor * value for value in dataclasses.astuple(self)))


#: The noise of YuNet's boxes around `box_from_landmarks`.
DETECTOR_NOISE: Final = BoxNoise(shift_x=0.016, shift_y=0.023, log_size=0.044, log_aspect=0.059)


def box_from_landmarks(landmarks_px: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The box that YuNet would draw around a face: (..., 68, 2) to (..., 4) x0, y0, x1, y1."""
    landmarks = np.asarray(landmarks_px, np.float64)
    low, high = landmarks.min(-2), landmarks.max(-2)
    middle, size = (low + high) / 2, (high - low) @ _SIZE_OF_EXTENT
    nose_x, eyes_y = landmarks[..., _NOSE_TIP, 0], landmarks[..., _EYES, 1].mean(-1)
    centre = middle + _PULL * (np.stack([nose_x, eyes_y], axis=-1) - middle)
    return np.concatenate([centre - size / 2, centre + size / 2], axis=-1).astype(np.float32)


def jitter_box(
    box_xyxy_px: npt.ArrayLike, rng: np.random.Generator, noise: BoxNoise = DETECTOR_NOISE
) -> npt.NDArray[np.float32]:
    """A box with a detector's noise: (4,) to (4,), Gaussian, clipped at 3 standard deviations."""
    x0, y0, x1, y1 = np.asarray(box_xyxy_px, np.float64)
    centre, size = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0])
    draw = np.clip(rng.standard_normal(4), -3, 3) * dataclasses.astuple(noise)
    centre += draw[:2] * size.max()
    size *= np.exp(draw[2] + draw[3] * np.array([0.5, -0.5]))
    return np.concatenate([centre - size / 2, centre + size / 2]).astype(np.float32)


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
