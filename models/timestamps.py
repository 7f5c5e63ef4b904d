"""Presentation timestamps for every frame, also where the container has none.

Raw streams carry no timestamps and broken ones repeat them; everything downstream
(matching rows to frames, the order of a track) needs strictly increasing integers.
"""

from __future__ import annotations

__all__ = ["PtsCounter"]


class PtsCounter:
    """Turns the pts of decoded frames into strictly increasing ones, in display order.

    A pts that is missing, or not above the one before, becomes the one before plus one
    frame's step; the first one, if missing, is 0.

    Args:
        step: What a missing pts is above the one before: a frame's usual distance.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self._last: int | None = None

    def next(self, pts: int | None) -> int:
        """The pts to use for the next frame, given the one that its container has."""
        if self._last is None:
            self._last = pts if pts is not None else 0
        elif pts is None or pts <= self._last:
            self._last += self.step
        else:
            self._last = pts
        return self._last
