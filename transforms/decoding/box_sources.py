"""Where face boxes come from: the detector on a time grid, or a file of given boxes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from models.crops import fit_affine
from models.detection.detections import FaceDetector
from models.detection.rolled_faces import detect_any_roll
from models.frame_pixels import FramePixels
from schemas.errors import BoxesError
from schemas.records import Video
from transforms.storage.csv_reading import read_csv
from transforms.storage.parquet_reading import read_parquet
from transforms.storage.source_files import resolve

__all__ = ["BoxSource", "DetectedBoxes", "GivenBoxes", "read_boxes"]

#: Seconds between detections, on a grid anchored at pts 0.
DETECT_SECONDS: Final = Fraction(1, 5)

#: Whole numbers up to here are exact as float64.
_EXACT_FLOAT: Final = 2.0**53
_SIDES: Final = ("left", "right")
_BOX_NUMBERS: Final = 4

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

    def same_boxes(self, frame: int, pts: int, other_frame: int, other_pts: int) -> bool:
        """Whether two frames that look alike have the same boxes, too."""


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
        """Detects on square pixels, scaled down to the detector's input size."""
        width, height = pixels.width_px * aspect, float(pixels.height_px)
        shrink = min(1.0, self._detector.input_longest_side_px / max(width, height))
        out_w, out_h = max(1, round(width * shrink)), max(1, round(height * shrink))
        affine = fit_affine(
            pixels.width_px, pixels.height_px, out_width_px=out_w, out_height_px=out_h
        )
        found = detect_any_roll(self._detector, pixels.sample(affine, out_w, out_h))
        scale = np.array([affine[0, 0], affine[1, 1]] * 2)
        shift = np.array([affine[0, 2], affine[1, 2]] * 2)
        return (found.boxes_xyxy_px * scale + shift).astype(np.float32), found.scores

    def same_boxes(self, frame: int, pts: int, other_frame: int, other_pts: int) -> bool:
        """True: frames that look alike show the same faces."""
        return True

    def _step(self, pts: int) -> int:
        return int(pts * self._time_base // DETECT_SECONDS)


class GivenBoxes:
    """Boxes from a file, by frame number or by pts.

    Args:
        places: (N,) int64 frame number or pts of each box.
        boxes_xyxy_px: (N, 4) float32; boxes of one place stay in their order.
        by: `frame_index` or `pts`.
        tolerance_pts: how far a frame's pts may be from a given one.
    """

    source = "given"

    def __init__(
        self,
        places: npt.NDArray[np.int64],
        boxes_xyxy_px: npt.NDArray[np.float32],
        *,
        by: str,
        tolerance_pts: float = 0.0,
    ) -> None:
        order = np.argsort(places, kind="stable")
        self._places, self._boxes = places[order], boxes_xyxy_px[order]
        self.by = by
        self._tolerance_pts = tolerance_pts

    def is_key(self, frame: int, pts: int, previous_pts: int | None) -> bool:
        """Every frame that the file has boxes for."""
        return self._place(frame, pts) is not None

    def find(self, frame: int, pts: int, pixels: FramePixels, aspect: float) -> Boxes:
        """The given boxes, with a score of 1; none on frames that the file leaves out."""
        found = self._given(frame, pts)
        return found, np.ones(len(found), np.float32)

    def same_boxes(self, frame: int, pts: int, other_frame: int, other_pts: int) -> bool:
        """Whether the file gives both frames the same boxes, or none to the other."""
        other = self._given(other_frame, other_pts)
        return not len(other) or np.array_equal(self._given(frame, pts), other)

    def _given(self, frame: int, pts: int) -> npt.NDArray[np.float32]:
        place = self._place(frame, pts)
        start = stop = 0
        if place is not None:
            start, stop = (int(np.searchsorted(self._places, place, s)) for s in _SIDES)
        return self._boxes[start:stop]

    def _place(self, frame: int, pts: int) -> int | None:
        wanted = frame if self.by == "frame_index" else pts
        if not len(self._places):
            return None
        after = int(np.searchsorted(self._places, wanted))
        around = self._places[max(0, after - 1) : after + 1].tolist()
        nearest: int = min(around, key=lambda at: abs(at - wanted))
        return nearest if abs(nearest - wanted) <= self._tolerance_pts else None


def read_boxes(video: Video, time_base: Fraction, step_pts: int) -> GivenBoxes:
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
            table = read_parquet(file) if _is_parquet(uri) else read_csv(file.read())
        by, where, boxes = _boxes_of(table, video.video_id)
    except (OSError, ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        message = f"{video.uri}: its boxes {uri} cannot be used: {error}"
        raise BoxesError("bad_boxes", message) from error
    tolerance = 0.0
    if by == "pts_seconds":
        where, tolerance = where / float(time_base), 0.4 * step_pts
    places = np.rint(where.clip(-_EXACT_FLOAT, _EXACT_FLOAT)).astype(np.int64)
    by = "frame_index" if by == "frame_index" else "pts"
    return GivenBoxes(places, boxes, by=by, tolerance_pts=tolerance)


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
    where = _numbers(by, table[by]).astype(np.float64)
    if listed:
        lists = table["box_xyxy_px"]
        lengths = pa.compute.fill_null(pa.compute.list_value_length(lists), 0).to_numpy()
        bad = np.flatnonzero(lengths != _BOX_NUMBERS).tolist()
        if bad:
            raise ValueError(f"row {bad[0]}: got {lists[bad[0]]}, expected four numbers")
        flat = _numbers("box_xyxy_px", pa.compute.list_flatten(lists))
        boxes = flat.astype(np.float32).reshape(-1, _BOX_NUMBERS)
    else:
        columns = [_numbers(corner, table[corner]).astype(np.float32) for corner in corners]
        boxes = np.stack(columns, axis=1)
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


def _numbers(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """The values of a column of numbers, nan where there is none; ValueError for other columns."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise ValueError(f"{name}: got values of type {kind}, expected numbers")
    return np.asarray(column.to_numpy())


def _is_parquet(uri: str) -> bool:
    return uri.lower().endswith((".parquet", ".pq"))
