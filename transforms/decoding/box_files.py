"""Boxes that are given with a video, read from Parquet or CSV.

A module of its own: only a decoding child that is given boxes loads pyarrow.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from schemas.errors import BoxesError
from schemas.records import Video
from transforms.decoding.box_sources import GivenBoxes
from transforms.storage.source_files import resolve
from transforms.storage.table_reading import read_csv, read_parquet

#: Whole numbers up to here are exact as float64.
_EXACT_FLOAT: Final = 2.0**53
_BOX_NUMBERS: Final = 4


def read_boxes(video: Video, time_base: Fraction, step_pts: int) -> GivenBoxes:
    """Reads a video's boxes from Parquet or CSV.

    One row per box: `frame_index`, `pts` or `pts_seconds` (tolerance 0.4 frames) gives the frame,
    `box_xyxy_px` (four numbers) or `x0`, `y0`, `x1`, `y1` the box in upright pixels. A `video_id`
    column, if present, selects the rows. Track files have this format.

    Raises BoxesError if the file cannot be read or used.
    """
    uri = video.boxes_uri or ""
    try:
        fs, path = resolve(uri)
        with fs.open(path, "rb") as file:
            is_parquet = uri.lower().endswith((".parquet", ".pq"))
            table = read_parquet(file) if is_parquet else read_csv(file.read())
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


@np.errstate(over="ignore")  # infinite values are rejected below
def _boxes_of(
    table: pa.Table, video_id: str
) -> tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """The column that gives the frame, its (N,) values, and (N, 4) boxes; raises ValueError."""
    names = table.column_names
    by = next((c for c in ("pts", "frame_index", "pts_seconds") if c in names), None)
    listed, corners = "box_xyxy_px" in names, ("x0", "y0", "x1", "y1")
    if by is None or not (listed or set(corners) <= set(names)):
        raise ValueError(
            f"got the columns {', '.join(names)}; expected pts, frame_index or pts_seconds, "
            "and box_xyxy_px or x0, y0, x1, y1"
        )
    if "video_id" in names:
        ids = pa.compute.cast(table["video_id"], pa.string())  # CSV reads some ids as numbers
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
    """The values of a column of numbers, NaN for nulls; ValueError for other types."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise ValueError(f"{name}: got values of type {kind}, expected numbers")
    return np.asarray(column.to_numpy())
