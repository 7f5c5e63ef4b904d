"""How far back a decision about a frame may look, and so how far segments overlap.

    segment s    K ----------- owns ----------------------|. .
    segment s+1                          K' . . . . . . . .|----- owns ------
                                         '-- overhang ----'

What a segment owns must not depend on what came before its keyframe. The overhang is the sum of
all that one decision can lean on another for:

    is this frame a repeat of the one before?     CONTEXT_SECONDS of changes before it
    which frame does it repeat?                   2 REFRESH_SECONDS: still pictures are refreshed
    which detections are one face?                LINK_SECONDS
    which frames share its window?                WINDOW_SECONDS
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from models.face_tracking import LINK_SECONDS

#: A frame further from the one before it is no neighbour in a window; the one before it is an end.
WINDOW_SECONDS: Final = Fraction(1, 4)
#: How far back the changes lie that a frame's own change is compared with.
CONTEXT_SECONDS: Final = Fraction(1, 10)
#: A picture that stands still longer is looked at again, once in a step of the detection grid.
REFRESH_SECONDS: Final = Fraction(1, 5)
#: A segment owns frames from this long after its keyframe.
OVERHANG_SECONDS: Final = (
    CONTEXT_SECONDS + 2 * REFRESH_SECONDS + Fraction(LINK_SECONDS) + WINDOW_SECONDS
)
