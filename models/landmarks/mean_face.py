"""A mean face in three dimensions, for head pose.

Found by factoring labelled faces into one rigid shape and a scaled orthographic camera each
(Tomasi and Kanade, "Shape and motion from image streams under orthography", IJCV 1992), with
Huber weights and a shape that is its own mirror image. The faces: the labels of 2,000 pictures of
300W (HELEN, LFPW, AFW; Sagonas et al., 2013) and of 1,188 pictures of iBUG turned out to profile
(300W-LP; Zhu et al., 2016), and their mirror images.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.landmarks import FLIP_PERMUTATION, LANDMARK_COUNT

#: Of the landmarks on the face's right half and in its middle, by number.
_RIGHT_HALF: Final = {
    # jaw: from the ear to the chin
    0: (-0.850, 0.039, 0.540),
    1: (-0.841, 0.255, 0.503),
    2: (-0.815, 0.465, 0.485),
    3: (-0.769, 0.669, 0.473),
    4: (-0.687, 0.871, 0.422),
    5: (-0.556, 1.043, 0.321),
    6: (-0.397, 1.176, 0.169),
    7: (-0.217, 1.281, 0.022),
    8: (0.000, 1.322, -0.019),
    # brow
    17: (-0.660, -0.165, 0.079),
    18: (-0.561, -0.244, -0.055),
    19: (-0.424, -0.269, -0.153),
    20: (-0.286, -0.254, -0.216),
    21: (-0.155, -0.211, -0.250),
    # nose bridge, nostrils
    27: (0.000, -0.011, -0.279),
    28: (0.000, 0.130, -0.379),
    29: (0.000, 0.266, -0.484),
    30: (0.000, 0.398, -0.518),
    31: (-0.160, 0.499, -0.258),
    32: (-0.085, 0.521, -0.309),
    33: (0.000, 0.542, -0.333),
    # eye
    36: (-0.500, 0.000, 0.000),
    37: (-0.415, -0.049, -0.086),
    38: (-0.307, -0.048, -0.093),
    39: (-0.215, 0.014, -0.069),
    40: (-0.312, 0.036, -0.090),
    41: (-0.419, 0.037, -0.064),
    # outer lip, inner lip
    48: (-0.311, 0.779, -0.051),
    49: (-0.200, 0.714, -0.217),
    50: (-0.079, 0.677, -0.306),
    51: (0.000, 0.694, -0.315),
    57: (0.000, 0.928, -0.244),
    58: (-0.092, 0.920, -0.230),
    59: (-0.204, 0.874, -0.165),
    60: (-0.268, 0.781, -0.063),
    61: (-0.085, 0.753, -0.247),
    62: (0.000, 0.756, -0.272),
    66: (0.000, 0.823, -0.240),
    67: (-0.086, 0.814, -0.224),
}


def _mirrored() -> npt.NDArray[np.float64]:
    """(68, 3): the right half and its mirror image, read-only."""
    points = np.empty((LANDMARK_COUNT, 3))
    for number, (x, y, z) in _RIGHT_HALF.items():
        points[FLIP_PERMUTATION[number]] = -x, y, z
        points[number] = x, y, z
    points.setflags(write=False)
    return points


#: (68, 3) float64: x to the left of the face (right in its picture), y down, z away from the
#: camera; in distances between the outer eye corners, whose middle is at 0. Upright as the median
#: of 300W's frontal faces.
MEAN_FACE: Final = _mirrored()
