"""How far back a decision about a frame may look, and thus how far segments overlap.

    segment s    K ----------- owns ----------------------|. .
    segment s+1                          K' . . . . . . . .|----- owns ------
                                         '-- overhang ----'

What a segment owns must not depend on what came before its keyframe. The overhang is the sum of
the look-back of each decision:

    is this frame a repeat of the one before?     CONTEXT_SECONDS of changes before it
    which frame does it repeat?                   2 REFRESH_SECONDS: still pictures are refreshed
    which detections are one face?                LINK_SECONDS
    which frames share its window?                WINDOW_SECONDS
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from models.face_tracking import LINK_SECONDS

#: Windows do not span a gap longer than this; the frame before such a gap is an end.
WINDOW_SECONDS: Final = Fraction(1, 4)
#: How far back changes are compared with a frame's own change.
CONTEXT_SECONDS: Final = Fraction(1, 10)
#: A picture that stands still for longer gives a sample in each step of the detection grid.
REFRESH_SECONDS: Final = Fraction(1, 5)
#: A segment owns frames from this long after its keyframe.
OVERHANG_SECONDS: Final = (
    CONTEXT_SECONDS + 2 * REFRESH_SECONDS + Fraction(LINK_SECONDS) + WINDOW_SECONDS
)
