"""Where face boxes come from: the detector on a time grid, or a file of given boxes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Protocol

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from models.crops import fit_affine
from models.face_detector import FaceDetector
from models.frame_pixels import FramePixels
from schemas.errors import BoxesError
from schemas.records import Video

__all__ = ["BoxSource", "DetectedBoxes", "GivenBoxes", "read_boxes"]

#: Seconds between detections, on a grid anchored at pts 0.
DETECT_SECONDS: Final = Fraction(1, 5)

Boxes = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class BoxSource(Protocol):
    """Finds faces on key frames.

    `is_key` must depend on nothing but the frame and the one before it: a segment that
    starts later must choose the same key frames.
    """

    source: str

    def is_key(self, frame: int, pts: int, previous_pts: int | None) -> bool:
        """Whether the frame is one to look at."""

    def find(self, frame: int, pts: int, pixels: FramePixels, aspect: float) -> Boxes:
        """(K, 4) float32 boxes in upright pixels and (K,) float32 scores."""


class DetectedBoxes:
    """Runs a detector on the first frame of every grid step."""

    source = "detected"

    def __init__(self, detector: FaceDetector, time_base: Fraction) -> None:
        self._detector = detector
        self._time_base = time_base

    def is_key(self, frame: int, pts: int, previous_pts: int | None) -> bool:
        """The first frame of a grid step; also the first frame of all."""
        return previous_pts is None or self._step(pts) != self._step(previous_pts)

    def find(self, frame: int, pts: int, pixels: FramePixels, aspect: float) -> Boxes:
        """Detects on square pixels, shrunk so that the longest side is what the detector likes."""
        width, height = pixels.width_px * aspect, float(pixels.height_px)
        shrink = min(1.0, self._detector.input_longest_side_px / max(width, height))
        out_w, out_h = max(1, round(width * shrink)), max(1, round(height * shrink))
        affine = fit_affine(
            pixels.width_px, pixels.height_px, out_width_px=out_w, out_height_px=out_h
        )
        found = self._detector.detect(pixels.sample(affine, out_w, out_h))
        scale = np.array([affine[0, 0], affine[1, 1]] * 2)
        shift = np.array([affine[0, 2], affine[1, 2]] * 2)
        return (found.boxes_xyxy_px * scale + shift).astype(np.float32), found.scores

    def _step(self, pts: int) -> int:
        return int(pts * self._time_base // DETECT_SECONDS)


class GivenBoxes:
    """Boxes from a file, by frame number or by time."""

    source = "given"

    def __init__(self, boxes: dict[int, npt.NDArray[np.float32]], *, by: str) -> None:
        self._boxes = boxes
        self._by = by

    def is_key(self, frame: int, pts: int, previous_pts: int | None) -> bool:
        """Every frame that the file has boxes for."""
        return self._key(frame, pts) in self._boxes

    def find(self, frame: int, pts: int, pixels: FramePixels, aspect: float) -> Boxes:
        """The given boxes, with a score of 1; none on frames that the file leaves out."""
        boxes = self._boxes.get(self._key(frame, pts), np.empty((0, 4), np.float32))
        return boxes, np.ones(len(boxes), np.float32)

    def _key(self, frame: int, pts: int) -> int:
        return frame if self._by == "frame_index" else pts


def read_boxes(video: Video, time_base: Fraction) -> GivenBoxes:
    """Reads a video's boxes from Parquet or CSV.

    A row a box: `frame_index`, `pts` or `pts_seconds` says where, and either
    `box_xyxy_px` (four numbers) or `x0`, `y0`, `x1`, `y1` say what, in upright pixels.
    A `video_id` column, if there is one, chooses the rows. Our own track files fit.

    Raises:
        BoxesError: with what the file has and what it needs.
    """
    uri = video.boxes_uri or ""
    try:
        with fsspec.open(uri, "rb") as file:
            table = pq.read_table(file) if _is_parquet(uri) else pa.csv.read_csv(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        message = f"{video.uri}: its boxes {uri} cannot be read: {error}"
        raise BoxesError("bad_boxes", message) from error
    if "video_id" in table.column_names:
        table = table.filter(pa.compute.equal(table["video_id"], video.video_id))
    by = next((c for c in ("pts", "frame_index", "pts_seconds") if c in table.column_names), None)
    boxes = _box_array(table)
    if by is None or boxes is None:
        message = (
            f"{video.uri}: its boxes {uri} have the columns {', '.join(table.column_names)}; "
            "expected pts, frame_index or pts_seconds, and box_xyxy_px or x0, y0, x1, y1"
        )
        raise BoxesError("bad_boxes", message)
    where = table[by].to_numpy()
    if by == "pts_seconds":
        where = np.round(where / float(time_base))
        by = "pts"
    if not np.isfinite(boxes).all() or not (boxes[:, 2:] > boxes[:, :2]).all():
        row = int(np.flatnonzero(~(boxes[:, 2:] > boxes[:, :2]).all(1))[0])
        message = (
            f"{video.uri}: its boxes {uri}: row {row} is {boxes[row]}, expected x0 < x1, y0 < y1"
        )
        raise BoxesError("bad_boxes", message)
    grouped: dict[int, list[Any]] = {}
    for at, box in zip(where.astype(np.int64).tolist(), boxes, strict=True):
        grouped.setdefault(at, []).append(box)
    return GivenBoxes({at: np.stack(rows) for at, rows in grouped.items()}, by=by)


def _box_array(table: pa.Table) -> npt.NDArray[np.float32] | None:
    names = set(table.column_names)
    if "box_xyxy_px" in names:
        flat = np.array(table["box_xyxy_px"].to_pylist(), np.float32)
        return flat.reshape(-1, 4)
    if {"x0", "y0", "x1", "y1"} <= names:
        columns = [table[c].to_numpy() for c in ("x0", "y0", "x1", "y1")]
        return np.stack(columns, axis=1).astype(np.float32)
    return None


def _is_parquet(uri: str) -> bool:
    return uri.lower().endswith((".parquet", ".pq"))
