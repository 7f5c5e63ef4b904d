"""The graph, on one page.

SelectVideos -> PlanSegments -> DecodeWindows -> AlignFaces -> StabilizeTracks -> WriteTracks
     \\              \\              \\  \\                        ^                  ^
      \\              \\              \\  `- failed, saved --------'                  |
       `- failed       `- failed --------------------------------------------------'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import apache_beam as beam

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
    """Everything the stages are told.

    separate_decode: whether a shuffle keeps decoding and aligning apart, for workers of
    their own. align_hints: Beam's resource hints of AlignFaces, min_ram and accelerator.
    fps: rows of this many frames per second only; None is all.
    stabilizer_sha256: hex digest that the stabilizer's weights must have, if given.
    threads: worker threads of the FnApiRunner, all in this process; 0 for any other runner.
    """

    run_output: RunOutput
    child: ChildSettings
    align: AlignSettings
    stabilizer: str
    overwrite: bool = False
    retry: frozenset[str] = frozenset()
    separate_decode: bool = False
    align_hints: Mapping[str, str] = field(default_factory=dict)
    fps: Fraction | None = None
    stabilizer_sha256: str | None = None
    threads: int = 0


@dataclass
class AnnotateGraph(beam.PTransform):  # type: ignore[misc]
    """Videos, and inputs that failed before there was a video to read, become status rows."""

    settings: GraphSettings

    def expand(
        self, inputs: tuple[beam.PCollection[Video], beam.PCollection[VideoFailure]]
    ) -> beam.PCollection[dict[str, Any]]:
        """Builds the graph; every input gives one row, read back from OUTPUT."""
        settings, (videos, unreadable) = self.settings, inputs
        place, child = settings.run_output, settings.child
        selected = videos | "SelectVideos" >> SelectVideos(
            place, settings.overwrite, settings.retry
        )
        planned = selected.videos | "PlanSegments" >> PlanSegments(child, settings.threads)
        decoded = planned["segments"] | "DecodeWindows" >> DecodeWindows(child, place)
        windows = decoded.windows
        if settings.separate_decode:
            windows = windows | "SeparateDecode" >> SeparateDecode()
        align = AlignFaces(settings.align).with_resource_hints(**settings.align_hints)
        aligned = windows | "AlignFaces" >> align
        parts = aligned | "SaveParts" >> SaveParts(place)
        outcomes = (parts, decoded.saved, decoded.failed) | "Outcomes" >> beam.Flatten()
        stabilize = StabilizeTracks(
            place,
            settings.stabilizer,
            settings.fps,
            settings.stabilizer_sha256,
            grouped=settings.threads > 0,
        )
        tracks = outcomes | "StabilizeTracks" >> stabilize
        failed = (selected.failed, planned["failed"], unreadable) | "Failures" >> beam.Flatten()
        written = (tracks, failed) | "WriteTracks" >> WriteTracks(place)
        ended = (written, selected.done) | "Ended" >> beam.Flatten()
        accounted = ((videos, unreadable), selected.videos, ended)
        return accounted | "AccountVideos" >> AccountVideos(place)
