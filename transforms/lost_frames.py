"""Frames that went into a decoder and did not come out.

Decoders drop pictures whose references are gone, and say nothing. But in most containers
a packet is a frame, and both have a pts: what was handed in, and is passed by a later
frame, is lost.

    packets in (decoding order)   0 3 1 2 6 4 5 ...
    frames out (display order)    0 1 . 3 4 5 6      2 is lost: 3 came without it
"""

from __future__ import annotations

import heapq
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.records import Segment

__all__ = ["LostFrames", "merged_ranges"]

#: Codecs of which every packet is a shown frame (VP8 and VP9 have hidden ones) ...
_CODECS: Final = ("h264", "hevc", "mpeg4", "mjpeg", "mpeg1video", "mpeg2video", "av1", "libdav1d")
#: ... in containers that store frames whole and give each its pts.
_CONTAINERS: Final = ("mov", "matroska", "flv")


class LostFrames:
    """Accounts for the frames that a segment owns.

    Attributes: `packets_bad`, packets that were rejected, or decoded in part.
    """

    def __init__(self, segment: Segment, container_name: str, step_pts: int) -> None:
        self.packets_bad = 0
        self._segment = segment
        self._step = step_pts
        self._counts = segment.probe.codec in _CODECS and container_name.startswith(_CONTAINERS)
        self._inside: list[tuple[int, int]] = []  # a heap of (pts, stop)
        self._first_pts: int | None = None
        self._lost: list[tuple[int, int]] = []

    def packet_in(self, packet: Any) -> None:
        """A packet goes into the decoder."""
        if packet.pts is None or packet.is_discard or not packet.size:
            return
        if self._first_pts is None:
            self._first_pts = packet.pts
        # Pictures shown before the first one lean on what was never read; they are not lost.
        if self._counts and packet.pts >= self._first_pts:
            heapq.heappush(self._inside, (packet.pts, self._stop(packet)))

    def packet_rejected(self, packet: Any) -> None:
        """The decoder refused a packet."""
        if packet.pts is None:
            self.packets_bad += 1
        elif self._segment.owns(packet.pts):
            self.packets_bad += 1
            self._lost.append((packet.pts, self._stop(packet)))

    def frame_out(self, frame: Any) -> None:
        """A frame comes out; what should have come before it is lost."""
        if frame.pts is None:
            self._counts = False
            self._inside.clear()
            return
        while self._inside and self._inside[0][0] <= frame.pts:
            pts, stop = heapq.heappop(self._inside)
            if pts < frame.pts:
                self._lose(pts, stop)
        if frame.is_corrupt and self._segment.owns(frame.pts):
            self.packets_bad += 1
            self._lost.append((frame.pts, frame.pts + self._step))

    def end(self, last_stop_pts: int | None) -> None:
        """The stream has ended: what is inside is lost, and what a cut-off file lacks."""
        for pts, stop in self._inside:
            self._lose(pts, stop)
        self._inside.clear()
        probe = self._segment.probe
        if probe.bytes_missing and self._segment.own_stop_pts is None:
            start = last_stop_pts if last_stop_pts is not None else probe.start_pts
            stop = max(start + self._step, probe.end_pts or 0)
            self._lost.append((start, stop))

    def ranges(self) -> npt.NDArray[np.int64]:
        """(L, 2) int64: [start, stop) of owned frames that are missing or damaged."""
        return np.array(merged_ranges(self._lost), np.int64).reshape(-1, 2)

    def _lose(self, pts: int, stop: int) -> None:
        if self._segment.owns(pts):
            self._lost.append((pts, stop))

    def _stop(self, packet: Any) -> int:
        return int(packet.pts + (packet.duration or self._step))


def merged_ranges(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that touch or overlap made one."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged
