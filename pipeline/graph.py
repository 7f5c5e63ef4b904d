"""The graph, on one page.

SelectVideos -> PlanSegments -> DecodeWindows -> AlignFaces -> StabilizeTracks -> WriteTracks
     \\              \\              \\  \\                        ^                  ^
      \\              \\              \\  `- failed, saved --------'                  |
       `- failed       `- failed --------------------------------------------------'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from pipeline.settings import AnnotateSettings
from schemas.records import Video, VideoFailure
from transforms.account_videos import AccountVideos
from transforms.align_faces import AlignFaces, AlignSettings
from transforms.decode_windows import DecodeWindows
from transforms.decoding.child import ChildSettings
from transforms.plan_segments import PlanSegments
from transforms.select_videos import SelectVideos
from transforms.separate_decode import SeparateDecode
from transforms.stabilize_tracks import SaveParts, StabilizeTracks
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import WriteTracks


@dataclass(frozen=True)
class GraphSettings:
    """The settings of all stages.

    threads: worker threads of the FnApiRunner, all in this process; 0 for any other runner.
    """

    run_output: RunOutput
    child: ChildSettings
    align: AlignSettings
    settings: AnnotateSettings
    threads: int = 0


@dataclass
class AnnotateGraph(beam.PTransform):  # type: ignore[misc]
    """Videos, and inputs that failed before there was a video to read, become status rows."""

    stages: GraphSettings

    def expand(
        self, inputs: tuple[beam.PCollection[Video], beam.PCollection[VideoFailure]]
    ) -> beam.PCollection[dict[str, Any]]:
        """Builds the graph; every input gives one row, read back from OUTPUT."""
        (videos, unreadable), stages, settings = inputs, self.stages, self.stages.settings
        output, child = stages.run_output, stages.child
        selected = videos | "SelectVideos" >> SelectVideos(
            output, settings.overwrite, frozenset(settings.retry)
        )
        planned = selected.videos | "PlanSegments" >> PlanSegments(child, stages.threads)
        decoded = planned["segments"] | "DecodeWindows" >> DecodeWindows(child, output)
        windows = decoded.windows
        if settings.separate_decode:
            windows = windows | "SeparateDecode" >> SeparateDecode()
        align = AlignFaces(stages.align).with_resource_hints(**settings.align_hints)
        aligned = windows | "AlignFaces" >> align
        parts = aligned | "SaveParts" >> SaveParts(output)
        outcomes = (parts, decoded.saved, decoded.failed) | "Outcomes" >> beam.Flatten()
        stabilize = StabilizeTracks(
            output,
            settings.stabilizer,
            settings.frame_rate,
            output.config.get("stabilizer_sha256"),
            grouped=stages.threads > 0,
        )
        tracks = outcomes | "StabilizeTracks" >> stabilize
        failed = (selected.failed, planned["failed"], unreadable) | "Failures" >> beam.Flatten()
        written = (tracks, failed) | "WriteTracks" >> WriteTracks(output)
        ended = (written, selected.done) | "Ended" >> beam.Flatten()
        accounted = ((videos, unreadable), selected.videos, ended)
        return accounted | "AccountVideos" >> AccountVideos(output)
