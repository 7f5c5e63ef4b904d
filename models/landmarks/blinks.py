r"""Blinks: short dips of how far the eyes are open.

opening   ----.         .------     of both eyes, over what is usual around it
0.8  . . . . . \ . . . / . . . . .  start and stop
0.6  . . . . . .\. . ./. . . . . .  a blink goes below
                 '---'              depth: 1 - the least
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import percentile_filter

__all__ = ["Blink", "find_blinks"]

#: Seconds to either side, and the percentile in them, that tell how far open eyes are.
_AROUND_SECONDS: Final = 3.0
_OPEN_PERCENTILE: Final = 80
_EDGE: Final = 0.8
_SHUT: Final = 0.6
#: Eyes that are shut for longer sleep, or look down.
_LONGEST_SECONDS: Final = 0.6
#: A video of fewer frames a second shows no blinks.
_STEP_SECONDS: Final = 0.12

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blink:
    """One blink, by rows of the stretch it was found in.

    start, stop: the first row of it, and the first after it.
    lowest: the row where the eyes are least open.
    depth: of the usual opening, what is missing there, 0..1.
    """

    start: int
    stop: int
    lowest: int
    depth: float


def find_blinks(opening: Array, seconds: Array) -> list[Blink]:
    """The blinks in an unbroken stretch of one face.

    A blink is a dip below 0.6 of the usual opening (the 80th percentile of the 3 s before and
    after), from where it falls below 0.8 to where it rises above it again, within 0.6 s; both are
    in the stretch. Where the usual step in time is longer than 0.12 s, none are found.

    Args:
        opening: (N,) eye aspect ratio, the mean of both eyes; nan is taken for open.
        seconds: (N,) rising.
    """
    if len(opening) < 3:
        return []
    step = float(np.median(np.diff(seconds)))
    if not 0 < step <= _STEP_SECONDS:
        return []
    known = np.where(np.isfinite(opening), opening, np.inf)
    reach = min(round(_AROUND_SECONDS / step), len(known) - 1)
    usual = percentile_filter(known, _OPEN_PERCENTILE, size=2 * reach + 1, mode="nearest")
    share = np.divide(known, usual, out=np.ones_like(known), where=np.isfinite(known) & (usual > 0))
    low = share < _EDGE
    edges = np.flatnonzero(np.diff(low.astype(np.int8), prepend=0, append=0))
    blinks = []
    for start, stop in edges.reshape(-1, 2).tolist():
        lowest = start + int(share[start:stop].argmin())
        whole = start > 0 and stop < len(share)
        if whole and share[lowest] < _SHUT and seconds[stop] - seconds[start] <= _LONGEST_SECONDS:
            blinks.append(Blink(start, stop, lowest, float(1 - share[lowest])))
    return blinks
