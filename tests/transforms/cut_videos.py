"""A video through every stage's plain function, with chosen segments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from models.detection.detections import FaceDetector
from models.detection.face_detector import load_face_detector
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.model import load_landmark_model
from schemas.records import Segment, SegmentPart, Video
from transforms.align_faces import align_windows
from transforms.decoding.box_sources import DetectedBoxes
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import open_video
from transforms.decoding.window_builder import decode_windows
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import write_video

STABILIZER = "rts"
BATCH_WINDOWS = 64


def plan(video: Video, segment_seconds: float) -> list[Segment]:
    """The segments that `annotate` would make."""
    with open_video(video.uri) as opened:
        return plan_segments(video, opened, segment_seconds)


def cut_at(segments: list[Segment], cuts: Collection[int]) -> list[Segment]:
    """The same video with the cuts before some of its segments only."""
    starts = sorted({0, *cuts})
    stops = [*starts[1:], len(segments)]
    return [
        replace(
            segments[start],
            index=index,
            count=len(starts),
            own_stop_pts=segments[stop - 1].own_stop_pts,
        )
        for index, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


@dataclass
class Annotator:
    """Turns segments into a track table with the package's own models."""

    folder: Path
    outputs: int = 0

    @cached_property
    def model(self) -> LandmarkModel:
        return load_landmark_model()

    @cached_property
    def detector(self) -> FaceDetector:
        return load_face_detector()

    def tracks(self, segments: Iterable[Segment], **decoding: int) -> pa.Table:
        """The tracks of a video; `decoding` are options of `decode_windows`."""
        return self.stabilized(self.parts(segments, **decoding), STABILIZER)

    def parts(self, segments: Iterable[Segment], **decoding: int) -> list[SegmentPart]:
        """The landmark network's results for some segments."""
        run_output = self._new_output()
        return [part for s in segments for part in self._parts(s, run_output, decoding)]

    def stabilized(self, parts: list[SegmentPart], stabilizer: str) -> pa.Table:
        """The tracks of all parts of a video."""
        run_output = self._new_output()
        write_video(stabilize_segments(parts, run_output, stabilizer), run_output)
        return pq.ParquetFile(
            str(run_output.folder.tracks_of(parts[0].segment.video.video_id))
        ).read()

    def _new_output(self) -> RunOutput:
        self.outputs += 1
        return RunOutput(str(self.folder / str(self.outputs)), {})

    def _parts(
        self, segment: Segment, run_output: RunOutput, decoding: dict[str, int]
    ) -> Iterator[SegmentPart]:
        card = self.model.card
        spec = CropSpec(card.crop_size_px, card.crop_scale, card.window_frames)
        staging = run_output.staging(segment.video)
        with open_video(segment.video.uri) as opened:
            frames = FrameStream(segment, opened)
            boxes = DetectedBoxes(self.detector, segment.metadata.time_base)
            windows = list(decode_windows(segment, frames, boxes, spec, **decoding))
        for landmarks in align_windows(windows, self.model, batch_windows=BATCH_WINDOWS):
            yield save_part(staging, landmarks)
