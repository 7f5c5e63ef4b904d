"""Selects the frames of a lower frame rate: the first of every time step.

    seconds  0         1/fps       2/fps       3/fps
    frames   x . . . . . x . . . . x . . . . . . x . .

A frame is selected if it is in another step than the frame before it. Steps are counted from the
video's first pts, in exact fractions, so the selection depends on the frames' timestamps alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class FrameTicks:
    """The steps of a frame rate in one video.

    fps: frames a second.
    time_base: seconds per unit of pts.
    start_pts: where the first step begins.
    """

    fps: Fraction
    time_base: Fraction
    start_pts: int = 0

    def among(self, pts: Iterable[int], previous_pts: int | None = None) -> list[bool]:
        """Which of the frames that follow each other are the first of a step.

        `previous_pts` is the frame before them; None: they are the video's first.
        """
        before = None if previous_pts is None else self._step(previous_pts)
        steps = [before, *(self._step(at) for at in pts)]
        return [step != last for last, step in itertools.pairwise(steps)]

    def _step(self, pts: int) -> int:
        return math.floor((pts - self.start_pts) * self.time_base * self.fps)


def as_rate(value: object) -> Fraction:
    """A frame rate as it is written: 5, 0.2, "29.97", "30000/1001".

    Raises:
        ValueError: it is no number above 0.
    """
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise ValueError(f"got {value!r}, expected a number of frames a second above 0")
    return rate
