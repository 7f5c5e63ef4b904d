"""Progress of the workers in this process, for a progress display in the same process.

The runners of one machine keep their workers in the driver's process, which reads the
board while it waits. On a cluster the board is not read; the counters serve there.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace

from schemas.records import Segment


@dataclass(slots=True)
class Progress:
    """How far the videos are. Seconds are seconds of video."""

    videos_done: int = 0
    seconds_planned: float = 0.0
    seconds_done: float = 0.0
    videos_known: int = 0  # planned, or finished without planning

    def seconds_expected(self, videos: int) -> float:
        """Estimated seconds of `videos` videos, extrapolated from those known."""
        return self.seconds_planned * videos / max(1, self.videos_known)


class ProgressBoard:
    """Counts planned and finished work; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Resets the board at the start of a run."""
        self._progress = Progress()  # without the segments that are underway
        self._segments_done: Counter[str] = Counter()
        self._seconds_underway: dict[tuple[str, int], float] = {}

    def video_planned(self, segments: list[Segment]) -> None:
        """A video was split into segments."""
        with self._lock:
            self._progress.videos_known += 1
            self._progress.seconds_planned += segments[0].metadata.duration_seconds or 0.0

    def video_ended(self) -> None:
        """A video needs no segments: it failed, or was done before."""
        with self._lock:
            self._progress.videos_known += 1
            self._progress.videos_done += 1

    def segment_decoded(self, segment: Segment, frames: int) -> None:
        """`frames` frames of an unfinished segment were decoded."""
        fps = segment.metadata.average_fps
        if fps:
            seconds = min(float(frames / fps), share_seconds(segment))
            with self._lock:
                self._seconds_underway[segment.video.video_id, segment.index] = seconds

    def segment_ended(self, segment: Segment) -> None:
        """A segment was decoded, saved before, or failed."""
        video_id = segment.video.video_id
        with self._lock:
            self._seconds_underway.pop((video_id, segment.index), None)
            self._progress.seconds_done += share_seconds(segment)
            self._segments_done[video_id] += 1
            self._progress.videos_done += self._segments_done[video_id] == segment.count

    def read(self) -> Progress:
        """A snapshot of the progress."""
        with self._lock:
            seconds = self._progress.seconds_done + sum(self._seconds_underway.values())
            return replace(self._progress, seconds_done=seconds)


def share_seconds(segment: Segment) -> float:
    """A segment's share of its video's duration: all segments count alike."""
    return (segment.metadata.duration_seconds or 0.0) / segment.count


#: The board of this process.
BOARD = ProgressBoard()
