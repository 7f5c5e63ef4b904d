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

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

LANDMARK_COUNT: Final = 68
LANDMARK_LAYOUT: Final = "ibug68"
COORDINATE_CONVENTION: Final = "(x, y) px of the upright frame, top-left pixel centre at (0, 0)"
OUTER_EYE_CORNERS: Final = (36, 45)
#: The seven that 300VW and Talking Face have in common (FHR, Tables 4 and 5): the corners of the
#: eyes, the tip of the nose, the corners of the mouth.
COMMON_LANDMARKS: Final = (36, 39, 42, 45, 30, 48, 54)


@dataclass(frozen=True, slots=True)
class LandmarkGroups:
    """The parts of the face as places among the 68 landmarks, to index arrays with.

        eyes = landmarks_px[..., LANDMARKS.left_eye, :]  # (..., 6, 2) px

    Left and right are the face's own. Each group is a range of indices: jaw 0-16, right_brow
    17-21, left_brow 22-26, nose 27-35 (nose_bridge 27-30, nostrils 31-35), right_eye 36-41,
    left_eye 42-47, mouth 48-67 (outer_lip 48-59, inner_lip 60-67). `names()` gives all 68 names.
    """

    jaw: range = range(17)
    right_brow: range = range(17, 22)
    left_brow: range = range(22, 27)
    nose: range = range(27, 36)
    nose_bridge: range = range(27, 31)
    nostrils: range = range(31, 36)
    right_eye: range = range(36, 42)
    left_eye: range = range(42, 48)
    mouth: range = range(48, 68)
    outer_lip: range = range(48, 60)
    inner_lip: range = range(60, 68)

    def names(self) -> tuple[str, ...]:
        """The 68 landmarks by name, `jaw_0` to `inner_lip_7`: the smallest group and the place."""
        groups = sorted(CONTOURS, key=lambda group: getattr(self, group).start)
        return tuple(f"{g}_{place}" for g in groups for place in range(len(getattr(self, g))))


#: The groups of the 68-point layout.
LANDMARKS: Final = LandmarkGroups()

#: Point sequences to draw, with whether the sequence closes on itself.
CONTOURS: Final[dict[str, tuple[range, bool]]] = {
    "jaw": (LANDMARKS.jaw, False),
    "right_brow": (LANDMARKS.right_brow, False),
    "left_brow": (LANDMARKS.left_brow, False),
    "nose_bridge": (LANDMARKS.nose_bridge, False),
    "nostrils": (LANDMARKS.nostrils, False),
    "right_eye": (LANDMARKS.right_eye, True),
    "left_eye": (LANDMARKS.left_eye, True),
    "outer_lip": (LANDMARKS.outer_lip, True),
    "inner_lip": (LANDMARKS.inner_lip, True),
}

_MIRRORED_PAIRS: Final = (
    [(i, 16 - i) for i in range(8)]
    + [(17 + i, 26 - i) for i in range(5)]
    + [(31, 35), (32, 34)]
    + [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    + [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56)]
    + [(60, 64), (61, 63), (67, 65)]
)


#: (68,) intp: landmark i of a mirrored image is landmark FLIP_PERMUTATION[i] of the image.
FLIP_PERMUTATION: Final[npt.NDArray[np.intp]] = np.arange(LANDMARK_COUNT)
for _one, _other in _MIRRORED_PAIRS:
    FLIP_PERMUTATION[[_one, _other]] = _other, _one
FLIP_PERMUTATION.setflags(write=False)
