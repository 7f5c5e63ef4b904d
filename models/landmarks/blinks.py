r"""Blinks: short dips of how far the eyes are open.

opening   ----.         .------     of both eyes, over the baseline around it
0.8  . . . . . \ . . . / . . . . .  start and stop
0.6  . . . . . .\. . ./. . . . . .  a blink goes below
                 '---'              depth: 1 - minimum
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import percentile_filter

#: The baseline opening: this percentile of the seconds before and after.
_AROUND_SECONDS: Final = 3.0
_OPEN_PERCENTILE: Final = 80
_EDGE: Final = 0.8
_SHUT: Final = 0.6
#: Eyes that are shut for longer are asleep or look down: no blink.
_LONGEST_SECONDS: Final = 0.6
#: Blinks are too short for videos whose frames are further apart.
_STEP_SECONDS: Final = 0.12

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blink:
    """One blink; rows are those of the sequence that was searched.

    start, stop: its first row, and the first row after it.
    lowest: the row of the minimum.
    depth: 1 minus the opening there over the baseline, 0..1.
    """

    start: int
    stop: int
    lowest: int
    depth: float


def find_blinks(opening: Array, seconds: Array) -> list[Blink]:
    """The blinks in a sequence of one face without gaps.

    A blink is a dip below 0.6 of the baseline (the 80th percentile of the 3 s before and after).
    It starts where the opening falls below 0.8 and stops where it rises above 0.8 again; both lie
    in the sequence, at most 0.6 s apart. If the median time step exceeds 0.12 s, none are found.

    Args:
        opening: (N,) eye aspect ratio, the mean of both eyes; nan counts as open.
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
