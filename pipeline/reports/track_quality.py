"""How good a video's tracks look, without any truth: per face, while its rows go by.

    jitter   mean |x[t+1] - 2 x[t] + x[t-1]| of stabilized landmarks: how much steps change. What
             moves fast adds to it, a shaking track much more.
    spread   mean of the predicted spread

Both are in percent of the face's size, eye to eye seen from the front (`face_size_px`).
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.face_box import face_size_px
from pipeline.arrow_tables import landmark_rows, list_rows
from schemas.landmarks import LANDMARK_COUNT
from schemas.tracks import QUALITY_COLUMNS

#: Columns that are read, where a file has them.
READ_COLUMNS: Final = (
    "face_id", "frame_index", "pts", "pts_seconds", "box_xyxy_px", "x", "y", "spread_px",
    *QUALITY_COLUMNS,
)  # fmt: skip

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A face at the frame where a figure of it is worst."""

    figure: float
    pts: int
    seconds: float
    box_xyxy_px: Array  # (4,)
    landmarks_px: Array  # (68, 2)


@dataclass(frozen=True, slots=True, eq=False)
class RowFigures:
    """Figures of N rows: what histograms count.

    Attributes:
        scalars: columns of the table as they are, (N,) each, by name; only those that are there.
        size_px: (N,) size of the face.
        spread_percent: (N,) mean spread of its landmarks; NaN where it is not predicted.
    """

    scalars: dict[str, Array]
    size_px: Array
    spread_percent: Array


@dataclass(slots=True)
class FaceQuality:
    """What the rows of one face add up to: `jitter` and `spread` in percent, and rows with them."""

    face_id: int
    rows: int = 0
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    known: Counter[str] = field(default_factory=Counter)
    worst: dict[str, Moment] = field(default_factory=dict)

    def mean(self, name: str) -> float:
        """Mean `jitter` or `spread` in percent of the face's size; NaN where no row has one."""
        return self.sums[name] / self.known[name] if self.known[name] else float("nan")


@dataclass(slots=True)
class VideoQuality:
    """What a video's rows add up to, a piece of its track file after the other."""

    faces: dict[int, FaceQuality] = field(default_factory=dict)
    shown: Moment | None = None  # a face to show in a thumbnail: `figure` is its size
    scores: float = 0.0
    sizes: float = 0.0
    rows: int = 0

    def add(self, table: pa.Table) -> RowFigures:
        """Takes rows sorted by face_id, then frame_index; gives back their figures."""
        points = landmark_rows(table)
        size_px = face_size_px(points)
        names = table.schema.names
        known = [name for name in QUALITY_COLUMNS if name in names]
        scalars = {name: table[name].to_numpy().astype(np.float64) for name in known}
        if "spread_px" in names:
            spread_px = list_rows(table, "spread_px", LANDMARK_COUNT).mean(-1)
        else:
            spread_px = np.full(len(table), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.asarray(100 * spread_px / size_px)
        self.rows += len(table)
        self.scores += float(scalars["score"].sum())
        self.sizes += float(np.nansum(size_px))
        faces = table["face_id"].to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(faces)) + 1).tolist(), len(faces)]
        for start, stop in itertools.pairwise(edges if len(faces) else []):
            rows = slice(start, stop)
            self._add_face(table, rows, points[rows], size_px[rows], spread[rows])
        return RowFigures(scalars, size_px, spread)

    def _add_face(
        self, table: pa.Table, rows: slice, points: Array, size_px: Array, spread: Array
    ) -> None:
        face_id = int(table["face_id"][rows.start].as_py())
        face = self.faces.setdefault(face_id, FaceQuality(face_id))
        index = table["frame_index"].to_numpy()[rows]
        face.rows += len(index)
        changes = np.linalg.norm(np.diff(points, n=2, axis=0), axis=-1).mean(-1)  # (N - 2,)
        jitter = np.full(len(index), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            jitter[1:-1] = 100 * changes / size_px[1:-1]
        jitter[1:-1][(index[2:] - index[:-2]) != 2] = np.nan  # the face was away
        for name, values in (("jitter", jitter), ("spread", spread)):
            known = np.isfinite(values)
            if not known.any():
                continue
            face.sums[name] += float(values[known].sum())
            face.known[name] += int(known.sum())
            at = int(np.nanargmax(values))
            if name not in face.worst or values[at] > face.worst[name].figure:
                face.worst[name] = _moment(table, rows.start + at, points[at], float(values[at]))
        middle = len(index) // 2
        size = float(size_px[middle])
        if self.shown is None or size > self.shown.figure:
            self.shown = _moment(table, rows.start + middle, points[middle], size)

    def mean(self, name: str) -> float:
        """Mean `jitter` or `spread` of all rows that have it, in percent; NaN where none has."""
        rows = sum(face.known[name] for face in self.faces.values())
        total = sum(face.sums[name] for face in self.faces.values())
        return total / rows if rows else float("nan")


def _moment(table: pa.Table, row: int, points: Array, figure: float) -> Moment:
    box = np.asarray(table["box_xyxy_px"][row].as_py(), np.float64)
    return Moment(
        figure, table["pts"][row].as_py(), table["pts_seconds"][row].as_py(), box, points.copy()
    )
