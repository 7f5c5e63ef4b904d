"""Tracks of one video as a table, without a pipeline and without an output folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from models.landmarks.landmark_model import LandmarkModel
from pipeline.annotate_videos import stage_settings
from pipeline.graph import GraphSettings
from pipeline.inputs import check_protocol, video_of
from pipeline.settings import AnnotateSettings
from schemas.errors import VideoError
from schemas.records import Segment, SegmentFailure, Video
from transforms.align_faces import align_windows
from transforms.decode_windows import rest_after
from transforms.decoding.child import DecodingChild
from transforms.decoding.child_pool import lent_child
from transforms.select_videos import inspect_video
from transforms.stabilize_tracks import SegmentOutcome, stabilize_segments
from transforms.storage.parts import save_part
from transforms.storage.table_reading import read_parquet
from transforms.write_tracks import write_video


def annotate_clip(video: str | Path | Video, settings: AnnotateSettings | None = None) -> pa.Table:
    """The tracks of one video, the same as `annotate` writes.

        tracks = annotate_clip("clip.mp4").to_pandas()

    Args:
        video: a path or URL; or a `Video`, for a range or for boxes of your own.
        settings: None is the defaults; what concerns many videos does nothing here.

    Returns: a pyarrow.Table with the columns of the tracks table of the README, sorted by
        face_id, then frame_index. Frames that cannot be decoded have no rows.

    Raises:
        VideoError: nothing could be decoded; `reason` says why, in the words of the videos table.
        UsageError: settings or weights that cannot be used.
    """
    settings = settings or AnnotateSettings()
    video = video_of(video)
    check_protocol(video, settings.allow_protocols)
    video = inspect_video(video)
    with tempfile.TemporaryDirectory(prefix="facetracks-") as folder:
        stages = stage_settings(folder, settings, "none")
        model = stages.align.load_model()
        with lent_child(stages.child) as child:
            outcomes = [
                outcome
                for segment in child.plan(video)
                for outcome in _outcomes(segment, child, model, stages)
            ]
        tracks = stabilize_segments(
            outcomes, stages.run_output, settings.stabilizer, settings.frame_rate
        )
        row = write_video(tracks, stages.run_output)
        if row["status"] == "failed":
            raise VideoError(row["reason"], row["message"])
        content = stages.run_output.folder.tracks_of(video.video_id).read_bytes()
        return read_parquet(pa.BufferReader(content))


def _outcomes(
    segment: Segment, child: DecodingChild, model: LandmarkModel, stages: GraphSettings
) -> Iterator[SegmentOutcome]:
    """The saved parts of a segment, and what is left of it when decoding fails."""
    rest: Segment | None = segment
    staging = stages.run_output.staging(segment.video)
    try:
        for windows in child.decode(segment):
            for landmarks in align_windows(
                [windows], model, batch_windows=model.batch_windows, fps=stages.align.fps
            ):
                yield save_part(staging, landmarks)
            rest = rest_after(windows.segment, segment)
    except VideoError as error:
        yield SegmentFailure(rest or segment, error.reason, str(error))
