"""A track Parquet and its video as labelled data: stabilized landmarks taken for the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

import numpy as np

from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin
from models.landmarks.datasets.labelled_set import LabelledSet
from models.landmarks.datasets.labelled_video import FaceLabel, Frame, LabelledVideo
from pipeline.videos.track_file import find_track_file, read_track_file
from pipeline.videos.upright_frames import upright_frames, whole_video
from schemas.errors import UsageError, VideoError
from transforms.decoding.child_pool import kept_children


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedVideo:
    """A video as `facetracks annotate` reads it: upright, keys are pts."""

    uri: str

    def fps(self) -> float:
        """Frames a second, by the usual distance of the first ones."""
        metadata = whole_video(self.uri).metadata
        return float(1 / (metadata.step_pts * metadata.time_base))

    def pictures(self, wanted: Collection[int]) -> Iterator[Frame]:
        """Every frame in order; pictures of the wanted pts."""
        try:
            with kept_children():
                for number, (pts, pixels) in enumerate(upright_frames(whole_video(self.uri))):
                    size_px = pixels.width_px, pixels.height_px
                    picture = pixels.sample(np.eye(2, 3), *size_px) if pts in wanted else None
                    yield Frame(number, pts, picture)
        except VideoError as error:
            raise AnnotationError(f"{self.uri}: cannot be decoded: {error}") from error


def read_labelled_track(spec: str) -> LabelledSet:
    """The faces of OUTPUT_OR_PARQUET=VIDEO: every row whose landmarks are finite.

    Raises UsageError: the spec has no '=', or there is no such track file.
    """
    tracks, equals, video = spec.rpartition("=")
    if not equals or not tracks or not video:
        raise UsageError(f"--set: got tracks:{spec}, expected tracks:OUTPUT_OR_PARQUET=VIDEO")
    rows = read_track_file(find_track_file(tracks, video))
    labels = {
        pts: [
            FaceLabel(
                rows.landmarks_px[row].astype(np.float32),
                rows.boxes_xyxy_px[row].astype(np.float32),
                int(rows.face_id[row]),
            )
            for row in found
            if np.isfinite(rows.landmarks_px[row]).all()
        ]
        for pts, found in rows.by_pts().items()
    }
    name = f"tracks of {PurePosixPath(video).name}"
    origin = FaceOrigin(name, video)
    return LabelledSet(name, videos=[LabelledVideo(origin, AnnotatedVideo(video), labels)])
