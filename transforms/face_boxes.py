"""Where face boxes come from: the detector on a time grid, or a file of given boxes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from models.crops import fit_affine
from models.detection.face_detector import FaceDetector
from models.frame_pixels import FramePixels
from schemas.errors import BoxesError
from schemas.records import Video
from transforms.parquet_reading import read_parquet
from transforms.sources import resolve

__all__ = ["BoxSource", "DetectedBoxes", "GivenBoxes", "read_boxes"]

#: Seconds between detections, on a grid anchored at pts 0.
DETECT_SECONDS: Final = Fraction(1, 5)

#: Whole numbers up to here are exact as float64.
_EXACT_FLOAT: Final = 2.0**53

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
    """Boxes from a file, by frame number or by pts.

    Args:
        boxes: (K, 4) float32 boxes by frame number or pts.
        by: `frame_index` or `pts`.
        tolerance_pts: how far a frame's pts may be from a given one.
    """

    source = "given"

    def __init__(
        self, boxes: dict[int, npt.NDArray[np.float32]], *, by: str, tolerance_pts: float = 0.0
    ) -> None:
        self._boxes = boxes
        self._by = by
        self._tolerance_pts = tolerance_pts
        self._given = np.array(sorted(boxes), np.int64)

    def is_key(self, frame: int, pts: int, previous_pts: int | None) -> bool:
        """Every frame that the file has boxes for."""
        return self._key(frame, pts) is not None

    def find(self, frame: int, pts: int, pixels: FramePixels, aspect: float) -> Boxes:
        """The given boxes, with a score of 1; none on frames that the file leaves out."""
        key = self._key(frame, pts)
        boxes = np.empty((0, 4), np.float32) if key is None else self._boxes[key]
        return boxes, np.ones(len(boxes), np.float32)

    def _key(self, frame: int, pts: int) -> int | None:
        wanted = frame if self._by == "frame_index" else pts
        if not len(self._given):
            return None
        after = int(np.searchsorted(self._given, wanted))
        around = self._given[max(0, after - 1) : after + 1].tolist()
        nearest = min(around, key=lambda at: abs(at - wanted))
        return nearest if abs(nearest - wanted) <= self._tolerance_pts else None


def read_boxes(
    video: Video, time_base: Fraction, average_fps: Fraction | None = None
) -> GivenBoxes:
    """Reads a video's boxes from Parquet or CSV.

    A row a box: `frame_index`, `pts` or `pts_seconds` says where (seconds may be off by
    less than half a frame), and either `box_xyxy_px` (four numbers) or `x0`, `y0`, `x1`,
    `y1` say what, in upright pixels. A `video_id` column, if there is one, chooses the
    rows. Our own track files fit.

    Raises:
        BoxesError: with what the file has and what it needs.
    """
    uri = video.boxes_uri or ""
    try:
        fs, path = resolve(uri)
        with fs.open(path, "rb") as file:
            table = read_parquet(file) if _is_parquet(uri) else pa.csv.read_csv(file)
        by, where, boxes = _boxes_of(table, video.video_id)
    except (OSError, ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        message = f"{video.uri}: its boxes {uri} cannot be used: {error}"
        raise BoxesError("bad_boxes", message) from error
    tolerance = 0.0
    if by == "pts_seconds":
        where, tolerance = where / float(time_base), 0.4 / float((average_fps or 25) * time_base)
    grouped: dict[int, list[Any]] = {}
    where = where.clip(-_EXACT_FLOAT, _EXACT_FLOAT)
    for at, box in zip(np.rint(where).astype(np.int64).tolist(), boxes, strict=True):
        grouped.setdefault(at, []).append(box)
    by = "frame_index" if by == "frame_index" else "pts"
    found = {at: np.stack(rows) for at, rows in grouped.items()}
    return GivenBoxes(found, by=by, tolerance_pts=tolerance)


@np.errstate(over="ignore")  # what becomes infinite is refused below
def _boxes_of(
    table: pa.Table, video_id: str
) -> tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """The column that says where, its (N,) values, and (N, 4) boxes; ValueError otherwise."""
    names = table.column_names
    by = next((c for c in ("pts", "frame_index", "pts_seconds") if c in names), None)
    listed, corners = "box_xyxy_px" in names, ("x0", "y0", "x1", "y1")
    if by is None or not (listed or set(corners) <= set(names)):
        raise ValueError(
            f"got the columns {', '.join(names)}; expected pts, frame_index or pts_seconds, "
            "and box_xyxy_px or x0, y0, x1, y1"
        )
    if "video_id" in names:
        ids = pa.compute.cast(table["video_id"], pa.string())  # CSV makes numbers of some
        table = table.filter(pa.compute.equal(ids, video_id))
    where = np.array(table[by].to_pylist(), np.float64)
    if listed:
        rows = [row if row is not None else [] for row in table["box_xyxy_px"].to_pylist()]
        bad = [number for number, row in enumerate(rows) if len(row) != len(corners)]
        if bad:
            raise ValueError(f"row {bad[0]}: got {rows[bad[0]]}, expected four numbers")
        boxes = np.array(rows, np.float32).reshape(-1, 4)
    else:
        boxes = np.array([table[c].to_pylist() for c in corners], np.float32).T.reshape(-1, 4)
    usable = (
        (np.abs(where) < _EXACT_FLOAT)
        & np.isfinite(boxes).all(1)
        & (boxes[:, 2:] > boxes[:, :2]).all(1)
    )
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise ValueError(
            f"row {row}: got {by} {where[row]:g} and {boxes[row]}, expected x0 < x1, y0 < y1"
        )
    return by, where, boxes


def _is_parquet(uri: str) -> bool:
    return uri.lower().endswith((".parquet", ".pq"))
