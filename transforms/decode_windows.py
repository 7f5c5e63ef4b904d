"""DecodeWindows: a segment is decoded and becomes windows of face crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam

from schemas.errors import VideoError
from schemas.records import Segment, SegmentFailure, SegmentWindows
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import enter_pool, leave_pool, lent_child
from transforms.progress_board import BOARD
from transforms.run_metrics import count, record_decode
from transforms.storage.parts import saved_parts
from transforms.storage.run_output import RunOutput


class _DecodeFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, settings: ChildSettings, run_output: RunOutput) -> None:
        self._settings = settings
        self._run_output = run_output

    def setup(self) -> None:
        enter_pool()

    def process(self, segment: Segment) -> Iterator[Any]:
        rest: Segment | None = segment
        for part in saved_parts(self._run_output.staging(segment.video), segment):
            count("segments_reused")  # saved by an earlier run
            rest = rest_after(part.segment, segment)
            yield beam.pvalue.TaggedOutput("saved", part)
        try:
            if rest is not None:
                with lent_child(self._settings) as child:
                    for windows in child.decode(rest, partial(BOARD.segment_decoded, segment)):
                        count("frames_decoded", windows.rows.frames)
                        count("windows", len(windows.windows))
                        record_decode(windows.stats)
                        rest = rest_after(windows.segment, segment)
                        yield windows
        except VideoError as error:
            count("segments_failed")
            failure = SegmentFailure(rest or segment, error.reason, str(error))
            yield beam.pvalue.TaggedOutput("failed", failure)
        BOARD.segment_ended(segment)

    def teardown(self) -> None:
        leave_pool()


def rest_after(piece: Segment, segment: Segment) -> Segment | None:
    """What is left of a segment after a piece of it; None after the last one."""
    if piece.own_stop_pts == segment.own_stop_pts:
        return None
    return segment.after(piece.own_stop_pts)


@dataclass
class DecodeWindows(beam.PTransform):  # type: ignore[misc]
    """A Segment becomes SegmentWindows (main), in pieces where it is long; what an earlier
    run saved of it comes as SegmentParts (`saved`), what is left when decoding fails as a
    SegmentFailure (`failed`).
    """

    settings: ChildSettings
    run_output: RunOutput

    def expand(self, segments: beam.PCollection[Segment]) -> Any:
        """Decodes each segment in the worker's decoding child."""
        decode = beam.ParDo(_DecodeFn(self.settings, self.run_output))
        decode = decode.with_output_types(SegmentWindows)  # of the main output
        return segments | "Decode" >> decode.with_outputs("failed", "saved", main="windows")
