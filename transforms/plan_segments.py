"""PlanSegments: a video is cut into segments at keyframes, without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from schemas.errors import VideoError
from schemas.records import Segment, Video, VideoFailure
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import enter_pool, leave_pool, lent_child
from transforms.progress_board import BOARD, share_seconds
from transforms.share_out import ShareOut


class _PlanFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, settings: ChildSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        enter_pool()

    def process(self, video: Video) -> Iterator[Any]:
        try:
            with lent_child(self._settings) as child:
                segments = child.plan(video)
            BOARD.video_planned(segments)
            yield from segments
        except VideoError as error:
            BOARD.video_ended()
            yield beam.pvalue.TaggedOutput("failed", VideoFailure(video, error.reason, str(error)))

    def teardown(self) -> None:
        leave_pool()


@dataclass
class PlanSegments(beam.PTransform):  # type: ignore[misc]
    """A Video becomes its Segments (main output) or a VideoFailure (`failed`).

    threads: see ShareOut.
    """

    settings: ChildSettings
    threads: int = 0

    def expand(self, videos: beam.PCollection[Video]) -> Any:
        """Opens each container in the decoding child, and spreads the segments."""
        planned = videos | "Plan" >> beam.ParDo(_PlanFn(self.settings)).with_outputs(
            "failed", main="segments"
        )
        share_out = ShareOut(Segment, self.threads, share_seconds)
        return {"segments": planned.segments | "ShareOut" >> share_out, "failed": planned.failed}
