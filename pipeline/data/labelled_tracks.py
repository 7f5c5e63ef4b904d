"""A track Parquet and its video as labelled data: stabilized landmarks taken for the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin
from models.landmarks.datasets.labelled_video import FaceLabel, Frame, LabelledSet, LabelledVideo
from models.landmarks.evaluation.face_errors import FaceErrors
from pipeline.videos.track_file import TrackRows, find_track_file, read_track_file
from pipeline.videos.upright_frames import upright_frames, whole_video
from schemas.errors import UsageError, VideoError
from transforms.decoding.child_pool import kept_children


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedVideo:
    """A video as `facetracks annotate` reads it: upright, keys are pts."""

    uri: str

    @property
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


def matched_faces(
    tracks: TrackRows,
    places: Sequence[int],
    origins: Sequence[FaceOrigin],
    truth_px: npt.NDArray[np.float64],
) -> tuple[FaceErrors, FaceErrors]:
    """Errors of N labelled faces with the raw, and with the stabilized landmarks of tracks.

    Args:
        tracks: the rows.
        places: (N,) which row is of each face; -1 is none.
        origins, truth_px: of the faces, as in `FaceErrors`.
    """
    rows = np.array(places)
    found = rows >= 0

    def predicted(landmarks_px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        points = np.full((len(rows), *landmarks_px.shape[1:]), np.inf)
        points[found] = landmarks_px[rows[found]]
        return np.where(np.isfinite(points).all((1, 2), keepdims=True), points, np.inf)

    raw, stabilized = predicted(tracks.raw_landmarks_px), predicted(tracks.landmarks_px)
    return FaceErrors.of(origins, raw, truth_px), FaceErrors.of(origins, stabilized, truth_px)


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
