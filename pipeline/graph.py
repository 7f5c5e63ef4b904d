"""The graph, on one page.

ReadVideos -> PlanSegments -> DecodeWindows -> AlignFaces -> StabilizeTracks -> WriteTracks
     \\              \\              \\  \\                        ^                  ^
      \\              \\              \\  `- failed, saved --------'                  |
       `- failed       `- failed --------------------------------------------------'
"""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from schemas.records import Video, VideoFailure
from transforms.align_faces import AlignFaces, LandmarkModelHandler
from transforms.decode_windows import DecodeWindows
from transforms.decoding_child import ChildSettings
from transforms.plan_segments import PlanSegments
from transforms.read_videos import ReadVideos
from transforms.stabilize_tracks import SaveParts, StabilizeTracks
from transforms.workplace import Workplace
from transforms.write_tracks import WriteTracks

__all__ = ["GraphSettings", "annotate_videos"]


@dataclass(frozen=True)
class GraphSettings:
    """Everything the stages are told."""

    workplace: Workplace
    child: ChildSettings
    handler: LandmarkModelHandler
    stabilizer: str
    overwrite: bool = False
    retry: frozenset[str] = frozenset()


def annotate_videos(
    pipeline: beam.Pipeline,
    videos: list[Video],
    failures: list[VideoFailure],
    settings: GraphSettings,
) -> beam.PCollection[str]:
    """Builds the graph; gives back the video_ids that were written.

    `failures` are inputs that came to nothing before there was a video to read.
    """
    place, child = settings.workplace, settings.child
    read = pipeline | "ReadVideos" >> ReadVideos(videos, place, settings.overwrite, settings.retry)
    planned = read.videos | "PlanSegments" >> PlanSegments(child)
    decoded = planned["segments"] | "DecodeWindows" >> DecodeWindows(child, place)
    aligned = decoded.windows | "AlignFaces" >> AlignFaces(settings.handler)
    parts = aligned | "SaveParts" >> SaveParts(place)
    outcomes = (parts, decoded.saved, decoded.failed) | "Outcomes" >> beam.Flatten()
    tracks = outcomes | "StabilizeTracks" >> StabilizeTracks(place, settings.stabilizer)
    unreadable = pipeline | "Unreadable" >> beam.Create(failures)
    failed = (read.failed, planned["failed"], unreadable) | "Failures" >> beam.Flatten()
    return (tracks, failed) | "WriteTracks" >> WriteTracks(place)
