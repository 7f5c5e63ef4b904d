"""PlanSegments: a video is cut into segments at keyframes, without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from schemas.errors import VideoError
from schemas.records import Video, VideoFailure
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import enter_pool, leave_pool, lent_child
from transforms.progress_board import BOARD


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
            BOARD.video_ended(video)
            yield beam.pvalue.TaggedOutput("failed", VideoFailure(video, error.reason, str(error)))

    def teardown(self) -> None:
        leave_pool()


@dataclass
class PlanSegments(beam.PTransform):  # type: ignore[misc]
    """A Video becomes its Segments (main output) or a VideoFailure (`failed`)."""

    settings: ChildSettings

    def expand(self, videos: beam.PCollection[Video]) -> Any:
        """Opens each container in the decoding child, and spreads the segments."""
        planned = videos | "Plan" >> beam.ParDo(_PlanFn(self.settings)).with_outputs(
            "failed", main="segments"
        )
        return {
            "segments": planned.segments | "Spread" >> beam.Reshuffle(),
            "failed": planned.failed,
        }
