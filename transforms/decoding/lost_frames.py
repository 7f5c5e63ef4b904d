"""Frames that went into a decoder and did not come out.

Decoders silently drop pictures whose references are missing. In most containers a packet is a
picture, and both have a pts: a packet that later frames overtake may be lost.

    packets in (decoding order)   0 3 1 2 6 4 5 ...
    frames out (display order)    0 1 . 3 4 5 6      2 is lost: 3 came without it

A loss is reported only if the surrounding frames leave a gap longer than their steps. So none is
reported for the second field of a frame in two packets, for packets with two pictures or none, or
where timestamps restart. Packets before the first keyframe cannot be decoded and are not lost: a
recording that starts in the middle of a GOP starts with its first keyframe.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.records import Segment
from transforms.decoding.packet_content import has_no_picture

#: Codecs of which every packet is a shown frame (VP8 and VP9 have hidden ones) ...
_CODECS: Final = ("h264", "hevc", "mpeg4", "mjpeg", "mpeg1video", "mpeg2video", "av1", "libdav1d")
#: ... in containers that store frames whole and give each its pts.
_CONTAINERS: Final = ("mov", "matroska", "flv")

#: Shorter MPEG-4 packets hold no picture: they repeat the previous one.
_MIN_PICTURE_BYTES: Final = 10
#: A rejected packet that is further away has no time, but garbage: so ends an IVF before another.
_MAX_JUMP_SECONDS: Final = 86_400
#: The low 32 bits of the time that the header of an IVF has as a frame: its version and length.
_IVF_HEADER_PTS: Final = 32 << 16
#: A gap is longer than this times the shortest step of the surrounding frames.
_HOLE_STEPS: Final = 1.5
#: Frames before and after a gap whose steps are measured.
_FRAMES_ABOUT: Final = 3


class LostFrames:
    """Accounts for the frames that a segment owns."""

    def __init__(self, segment: Segment, container_name: str) -> None:
        self._segment = segment
        self._container = container_name
        self._step = segment.metadata.step_pts
        codec = segment.metadata.codec
        self._counts = codec in _CODECS and container_name.startswith(_CONTAINERS)
        self._min_bytes = _MIN_PICTURE_BYTES if codec == "mpeg4" else 1
        self._begun = segment.seek_pts is not None  # a key frame was read, or a frame shown
        self._inside: list[tuple[int, int]] = []  # a heap of (pts, stop)
        self._first_pts: int | None = None
        self._last_dts: int | None = None
        self._out: deque[int] = deque(maxlen=2 * _FRAMES_ABOUT + 2)  # pts of the last frames
        self._passed: list[_Passed] = []
        self._lost: list[tuple[int, int]] = []
        self._bad: list[int] = []  # pts of packets that were rejected, or decoded in part

    def packet_in(self, packet: Any) -> None:
        """A packet goes into the decoder."""
        self._begun |= bool(packet.is_keyframe)
        if packet.pts is None or packet.is_discard or not self._begun:
            return
        if packet.dts is not None:
            if self._last_dts is not None and packet.dts < self._last_dts:
                self._stop_counting()  # times start again
            self._last_dts = packet.dts
        if self._first_pts is None:
            self._first_pts = packet.pts
        # Pictures before the first one lack their references; they are not lost.
        is_picture = packet.size >= self._min_bytes
        if self._counts and is_picture and packet.pts >= self._first_pts:
            heapq.heappush(self._inside, (packet.pts, self._stop(packet)))

    def packet_rejected(self, packet: Any) -> None:
        """The decoder refused a packet."""
        if not self._begun:
            return
        if has_no_picture(self._segment.metadata.codec, bytes(packet)):
            self._inside = [inside for inside in self._inside if inside[0] != packet.pts]
            heapq.heapify(self._inside)
            return
        at, metadata = self._last_place(), self._segment.metadata
        if packet.pts is None or abs(packet.pts - at) * metadata.time_base > _MAX_JUMP_SECONDS:
            if self._segment.reports(at) and not self._is_after_ivf(packet):
                self._bad.append(at)  # counted at the last frame
        elif self._segment.reports(packet.pts):
            self._bad.append(packet.pts)
            self._lost.append((packet.pts, self._stop(packet)))

    def _is_after_ivf(self, packet: Any) -> bool:
        """Whether it is no frame, but garbage after the last of those that an IVF states.

        Its header states a length or a number of frames: one number where the step is 1. Another
        IVF after it has lost frames.
        """
        metadata = self._segment.metadata
        if self._container != "ivf" or metadata.step_pts != 1 or metadata.end_pts is None:
            return False
        is_header = (packet.pts or 0) & 0xFFFF_FFFF == _IVF_HEADER_PTS
        return self._last_place() + 1 >= metadata.end_pts and not is_header

    def reading_failed(self) -> None:
        """Reading the container failed."""
        self._bad.append(self._last_place())

    def frame_shown(self, pts: int, frame: Any) -> None:
        """A frame was output at this pts, in order; overtaken packets may be lost."""
        self._begun = True
        if frame.pts is None:
            self._stop_counting()
        elif frame.pts != pts:  # its packet has this time, and is not lost
            for packets in (self._inside, self._lost, *(group.packets for group in self._passed)):
                packets[:] = [p for p in packets if p[0] != frame.pts or p[0] in self._bad]
            heapq.heapify(self._inside)
        passed = []
        while self._inside and self._inside[0][0] <= pts:
            packet = heapq.heappop(self._inside)
            if packet[0] < pts:
                passed.append(packet)
        if passed:
            self._passed.append(_Passed(passed, list(self._out), pts))
        for group in self._passed:
            group.after.append(pts)
        settled = [group for group in self._passed if len(group.after) > _FRAMES_ABOUT]
        self._settle(settled)
        self._out.append(pts)
        if frame.is_corrupt and self._segment.reports(pts):
            self._bad.append(pts)
            self._lost.append((pts, pts + self._step))

    def end(self, last_stop_pts: int | None) -> None:
        """The stream has ended: pending packets and the rest of a truncated file are lost."""
        self._settle(list(self._passed))
        usual_step = min(_steps(self._out), default=self._step)
        for pts, stop in self._inside:
            if not self._out or pts > self._out[-1] + _HOLE_STEPS * usual_step / 2:
                self._lose(pts, stop)
        self._inside.clear()
        metadata = self._segment.metadata
        if metadata.bytes_missing and self._segment.own_stop_pts is None:
            start = last_stop_pts if last_stop_pts is not None else metadata.start_pts
            stop = max(start + self._step, metadata.end_pts or 0)
            self._lost.append((start, stop))

    def _settle(self, groups: list[_Passed]) -> None:
        for group in groups:
            self._passed.remove(group)
            if group.is_hole(self._step):
                for pts, stop in group.packets:
                    self._lose(pts, stop)

    def _stop_counting(self) -> None:
        self._counts = False
        self._inside.clear()
        self._passed.clear()

    def take(self, before_pts: int | None = None) -> tuple[int, npt.NDArray[np.int64]]:
        """The losses of owned frames before a pts, or of all; each is returned once.

        Losses before a decoded frame are final. Returns how many packets were rejected, or decoded
        in part, and (L, 2) int64: [start, stop) of frames that are missing or damaged.
        """
        after = math.inf if before_pts is None else before_pts
        taken = [lost for lost in self._lost if lost[0] < after]
        self._lost = [lost for lost in self._lost if lost[0] >= after]
        later = [pts for pts in self._bad if pts >= after]
        count, self._bad = len(self._bad) - len(later), later
        return count, np.array(merged_ranges(taken), np.int64).reshape(-1, 2)

    def _last_place(self) -> int:
        """The pts for a packet without one: that of the last frame, or the segment's start."""
        segment = self._segment
        if self._out:
            return self._out[-1]
        if segment.seek_pts is None or segment.own_start_pts is None:
            return segment.metadata.start_pts
        return segment.own_start_pts

    def _lose(self, pts: int, stop: int) -> None:
        if self._segment.reports(pts):
            self._lost.append((pts, stop))

    def _stop(self, packet: Any) -> int:
        return int(packet.pts + (packet.duration or self._step))


@dataclass(slots=True)
class _Passed:
    """Packets that a later frame overtook, and the surrounding frames."""

    packets: list[tuple[int, int]]  # (pts, stop)
    before: list[int]  # pts of the frames before
    passed_by: int
    after: list[int] = field(default_factory=list)  # pts of the frames from `passed_by` on

    def is_hole(self, usual_step: int) -> bool:
        """Whether the surrounding frames leave a gap for one of the packets."""
        if not self.before:
            return True
        steps = _steps(self.before) + _steps(self.after)
        length = self.passed_by - self.before[-1]
        return length > _HOLE_STEPS * min(steps, default=usual_step)


def _steps(pts: Iterable[int]) -> list[int]:
    return [b - a for a, b in itertools.pairwise(pts) if b > a]


def merged_ranges(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted ranges; those that touch or overlap are merged."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged
