"""SumVideos: status rows become the totals of a run."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import apache_beam as beam
import msgspec

from transforms.storage.atomic_files import Folder, write_bytes

_INCOMPLETE: Final = ("partial", "failed")
_NAMED: Final = 20


@dataclass(frozen=True, slots=True, order=True)
class IncompleteVideo:
    """A video with status partial or failed, and why."""

    video_id: str
    status: str
    reason: str
    message: str


@dataclass(slots=True)
class VideoTotals:
    """Totals of a run's status rows, with the first few incomplete videos."""

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    face_frames: int = 0
    incomplete: list[IncompleteVideo] = field(default_factory=list)

    @property
    def videos(self) -> int:
        """Number of videos."""
        return sum(self.statuses.values())

    def add(self, row: Mapping[str, Any]) -> None:
        """Counts one row of the videos table."""
        self.statuses[row["status"]] += 1
        if row["reason"]:
            self.reasons[row["reason"]] += 1
        self.frames += row["frames_decoded"]
        self.face_frames += row["face_frames"]
        if row["status"] in _INCOMPLETE:
            words = (row[name] or "" for name in ("video_id", "status", "reason", "message"))
            self._name([IncompleteVideo(*words)])

    def merge(self, other: VideoTotals) -> None:
        """Adds other totals."""
        self.statuses.update(other.statuses)
        self.reasons.update(other.reasons)
        self.frames += other.frames
        self.face_frames += other.face_frames
        self._name(other.incomplete)

    def _name(self, more: Iterable[IncompleteVideo]) -> None:
        for video in more:
            if len(self.incomplete) < _NAMED or video < self.incomplete[-1]:
                insort(self.incomplete, video)
                del self.incomplete[_NAMED:]


class _SumFn(beam.CombineFn):  # type: ignore[misc]
    def create_accumulator(self) -> VideoTotals:
        return VideoTotals()

    def add_input(self, totals: VideoTotals, row: Mapping[str, Any]) -> VideoTotals:
        totals.add(row)
        return totals

    def merge_accumulators(self, parts: Iterable[VideoTotals]) -> VideoTotals:
        totals = VideoTotals()
        for part in parts:
            totals.merge(part)
        return totals

    def extract_output(self, totals: VideoTotals) -> VideoTotals:
        return totals


@dataclass
class SumVideos(beam.PTransform):  # type: ignore[misc]
    """Rows of the videos table become one VideoTotals, also written to `url` as JSON."""

    url: str

    def expand(self, rows: beam.PCollection[Mapping[str, Any]]) -> beam.PCollection[VideoTotals]:
        """Sums in the pipeline, so that the driver holds no row, and writes the totals."""
        return (
            rows
            | "Sum" >> beam.CombineGlobally(_SumFn())
            | "WriteTotals" >> beam.Map(_write, self.url)
        )


def _write(totals: VideoTotals, url: str) -> VideoTotals:
    write_bytes(url, msgspec.json.encode(totals))
    return totals


def read_totals(url: str) -> VideoTotals:
    """Reads totals that SumVideos wrote."""
    return msgspec.json.decode(
        Folder(url).read_bytes(), type=VideoTotals, dec_hook=lambda kind, counts: kind(counts)
    )
