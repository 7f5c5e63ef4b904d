"""DecodeWindows: a segment becomes windows of face crops; pixels are born here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from schemas.errors import VideoError
from schemas.records import Segment, SegmentFailure, SegmentPart
from transforms.decoding_child import ChildSettings, DecodingChild
from transforms.parts import part_url
from transforms.progress_board import BOARD
from transforms.storage import Folder
from transforms.workplace import Workplace

__all__ = ["DecodeWindows"]


class _DecodeFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, settings: ChildSettings, workplace: Workplace) -> None:
        self._settings = settings
        self._workplace = workplace
        self._frames = Metrics.counter("facetracks", "frames_decoded")
        self._windows = Metrics.counter("facetracks", "windows")
        self._failed = Metrics.counter("facetracks", "segments_failed")
        self._reused = Metrics.counter("facetracks", "segments_reused")

    def setup(self) -> None:
        self._child = DecodingChild(self._settings)

    def process(self, segment: Segment) -> list[Any]:
        part = part_url(self._workplace.staging(segment.video), segment)
        if Folder(part).exists():  # a run before this one got as far
            self._reused.inc()
            BOARD.segment_ended(segment)
            return [beam.pvalue.TaggedOutput("saved", SegmentPart(segment, part))]
        try:
            windows = self._child.decode(segment)
        except VideoError as error:
            self._failed.inc()
            BOARD.segment_ended(segment)
            failure = SegmentFailure(segment, error.reason, str(error))
            return [beam.pvalue.TaggedOutput("failed", failure)]
        self._frames.inc(len(windows.rows.frame_pts))
        self._windows.inc(len(windows.windows))
        BOARD.segment_ended(segment)
        return [windows]

    def teardown(self) -> None:
        self._child.close()


@dataclass
class DecodeWindows(beam.PTransform):  # type: ignore[misc]
    """A Segment becomes SegmentWindows (main), a SegmentFailure (`failed`), or the
    SegmentPart that an earlier run saved (`saved`).
    """

    settings: ChildSettings
    workplace: Workplace

    def expand(self, segments: beam.PCollection[Segment]) -> Any:
        """Decodes each segment in the worker's decoding child."""
        return segments | "Decode" >> beam.ParDo(
            _DecodeFn(self.settings, self.workplace)
        ).with_outputs("failed", "saved", main="windows")
