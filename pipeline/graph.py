"""The graph, on one page.

SelectVideos -> PlanSegments -> DecodeWindows -> AlignFaces -> StabilizeTracks -> WriteTracks
     \\              \\              \\  \\                        ^                  ^
      \\              \\              \\  `- failed, saved --------'                  |
       `- failed       `- failed --------------------------------------------------'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import apache_beam as beam

from schemas.records import Video, VideoFailure
from transforms.align_faces import AlignFaces, LandmarkModelHandler
from transforms.decode_windows import DecodeWindows
from transforms.decoding.child import ChildSettings
from transforms.plan_segments import PlanSegments
from transforms.select_videos import SelectVideos
from transforms.separate_decode import SeparateDecode
from transforms.stabilize_tracks import SaveParts, StabilizeTracks
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import WriteTracks

__all__ = ["GraphSettings", "annotate_videos"]


@dataclass(frozen=True)
class GraphSettings:
    """Everything the stages are told.

    separate_decode: whether a shuffle keeps decoding and aligning apart, for workers of
    their own. align_hints: Beam's resource hints of AlignFaces, min_ram and accelerator.
    """

    run_output: RunOutput
    child: ChildSettings
    handler: LandmarkModelHandler
    stabilizer: str
    overwrite: bool = False
    retry: frozenset[str] = frozenset()
    separate_decode: bool = False
    align_hints: Mapping[str, str] = field(default_factory=dict)


def annotate_videos(
    pipeline: beam.Pipeline,
    videos: list[Video],
    failures: list[VideoFailure],
    settings: GraphSettings,
) -> beam.PCollection[str]:
    """Builds the graph; gives back the video_ids that were written.

    `failures` are inputs that came to nothing before there was a video to read.
    """
    place, child = settings.run_output, settings.child
    read = pipeline | "SelectVideos" >> SelectVideos(
        videos, place, settings.overwrite, settings.retry
    )
    planned = read.videos | "PlanSegments" >> PlanSegments(child)
    decoded = planned["segments"] | "DecodeWindows" >> DecodeWindows(child, place)
    windows = decoded.windows
    if settings.separate_decode:
        windows = windows | "SeparateDecode" >> SeparateDecode()
    align = AlignFaces(settings.handler).with_resource_hints(**settings.align_hints)
    aligned = windows | "AlignFaces" >> align
    parts = aligned | "SaveParts" >> SaveParts(place)
    outcomes = (parts, decoded.saved, decoded.failed) | "Outcomes" >> beam.Flatten()
    tracks = outcomes | "StabilizeTracks" >> StabilizeTracks(place, settings.stabilizer)
    unreadable = pipeline | "Unreadable" >> beam.Create(failures)
    failed = (read.failed, planned["failed"], unreadable) | "Failures" >> beam.Flatten()
    return (tracks, failed) | "WriteTracks" >> WriteTracks(place)
