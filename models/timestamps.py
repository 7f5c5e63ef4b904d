"""Presentation timestamps for every frame, also where the container lacks or misorders them.

Raw streams carry no timestamps and broken ones repeat them; everything downstream
(matching rows to frames, the order of a track) needs strictly increasing integers. AVI stores
decoding times only, so that of B-frames the right times come with the wrong frames:

    frames out   I  B  B  P  B  B  P       packets in  I P B B P B B
    pts          1  3  4  2  6  7  5
    given        1  2  3  4  5  6  7
"""

from __future__ import annotations

import heapq
import math
from typing import Final

#: At most this many frames wait for an earlier time: encoders show few B-frames in a row.
_MAX_WAITING: Final = 8


class PtsCounter:
    """Turns the pts of decoded frames into strictly increasing ones, in display order.

    A pts that is missing, or not above the one before, becomes the one before plus one
    frame's step; where timestamps restart, plus the step that the container has.

    Args:
        step: the usual distance of two frames, by which a missing pts follows the one before.
        start: the pts of the first frame, if it has none.
    """

    def __init__(self, step: int, start: int = 0) -> None:
        self.step = step
        self.start = start
        self._last: int | None = None
        self._stored: int | None = None  # of the frame before, as its container has it
        self._inside: set[int] = set()
        self._waiting: list[int] = []

    def packet_in(self, pts: int | None) -> None:
        """A packet with this pts goes into the decoder."""
        if pts is not None and (self._last is None or pts > self._last):
            self._inside.add(pts)

    def frame_out(self, pts: int | None) -> list[int]:
        """The pts to use for the first frames of those that wait, of which this one is the last.

        Frames wait while a packet is inside whose pts is before all of theirs: it may be the
        time of the first of them.
        """
        if pts is None:
            return [*self.end(), self.next(None)]
        self._inside.discard(pts)
        heapq.heappush(self._waiting, pts)
        given: list[int] = []
        while self._waiting and (
            len(self._waiting) > _MAX_WAITING
            or min(self._inside, default=math.inf) > self._waiting[0]
        ):
            given.append(self.next(heapq.heappop(self._waiting)))
            self._inside = {inside for inside in self._inside if inside > given[-1]}
        return given

    def end(self) -> list[int]:
        """The pts to use for all frames that still wait."""
        waiting, self._waiting = sorted(self._waiting), []
        return [self.next(pts) for pts in waiting]

    def next(self, pts: int | None) -> int:
        """The pts to use for the next frame, given the one that its container has."""
        if self._last is None:
            self._last = pts if pts is not None else self.start
        elif pts is not None and pts > self._last:
            self._last = pts
        elif pts is not None and self._stored is not None and pts > self._stored:
            self._last += pts - self._stored
        else:
            self._last += self.step
        self._stored = pts
        return self._last
