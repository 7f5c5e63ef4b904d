"""The 68-point layout (iBUG 300-W, 0-based) that every array of landmarks follows.

      17-21    22-26        brows
     36-41      42-47       eyes (36 and 45 are the outer corners)
          27-30             nose bridge
          31-35             nostrils
         48-67              mouth (48-59 outer, 60-67 inner lip)
    0 ...  8  ... 16        jaw, from the face's right ear over the chin to its left ear

Coordinates are (x, y) in pixels, x to the right, y down, with the centre of the
top-left pixel at (0, 0).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "COMMON_LANDMARKS",
    "CONTOURS",
    "COORDINATE_CONVENTION",
    "FLIP_PERMUTATION",
    "LANDMARK_COUNT",
    "LANDMARK_LAYOUT",
    "OUTER_EYE_CORNERS",
]

LANDMARK_COUNT: Final = 68
LANDMARK_LAYOUT: Final = "ibug68"
COORDINATE_CONVENTION: Final = "(x, y) px of the upright frame, top-left pixel centre at (0, 0)"
OUTER_EYE_CORNERS: Final = (36, 45)
#: The seven that 300VW and Talking Face have in common (FHR, Tables 4 and 5): the corners of the
#: eyes, the tip of the nose, the corners of the mouth.
COMMON_LANDMARKS: Final = (36, 39, 42, 45, 30, 48, 54)

#: Point sequences to draw, with whether the sequence closes on itself.
CONTOURS: Final[dict[str, tuple[range, bool]]] = {
    "jaw": (range(17), False),
    "right_brow": (range(17, 22), False),
    "left_brow": (range(22, 27), False),
    "nose_bridge": (range(27, 31), False),
    "nostrils": (range(31, 36), False),
    "right_eye": (range(36, 42), True),
    "left_eye": (range(42, 48), True),
    "outer_lip": (range(48, 60), True),
    "inner_lip": (range(60, 68), True),
}

_MIRRORED_PAIRS: Final = (
    [(i, 16 - i) for i in range(8)]
    + [(17 + i, 26 - i) for i in range(5)]
    + [(31, 35), (32, 34)]
    + [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    + [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56)]
    + [(60, 64), (61, 63), (67, 65)]
)


def _flip_permutation() -> npt.NDArray[np.intp]:
    permutation = np.arange(LANDMARK_COUNT)
    for a, b in _MIRRORED_PAIRS:
        permutation[a], permutation[b] = b, a
    permutation.setflags(write=False)
    return permutation


#: (68,) intp: landmark i of a mirrored image is landmark FLIP_PERMUTATION[i] of the image.
FLIP_PERMUTATION: Final = _flip_permutation()
