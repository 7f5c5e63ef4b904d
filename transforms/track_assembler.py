"""Joins segments to tracks: matches faces across seams, numbers frames, filters landmarks.

    segment s      ... 7 7 7 7 | 7'                    '|' the seam: s owns up to here, and
    segment s+1          3 3 3 | 3 3 3 ...              also saw the first frame after it,
                                                        7' = 3 by the box both sides have
    face_id            0 0 0 0 | 0 0 0 ...

The assembler takes the segments of one video in order and keeps only what the next one needs,
so its state does not grow with the length of the video.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.boxes import match_boxes
from models.frame_ticks import FrameTicks
from models.landmarks.head_pose import head_pose
from models.stabilization.stabilizers import Stabilizer
from schemas.records import BOX_SOURCES, Seam, SegmentLandmarks
from schemas.tracks import TRACK_SCHEMA

#: A face that reappears in its place within this time, in the same shot, keeps its id ...
REACQUIRE_SECONDS: Final = 2.0
#: ... and so does one that reappears within this many frames, in a video of low frame rate.
REACQUIRE_FRAMES: Final = 3
#: A gap longer than this, and than `_STEP_GROWTH` times the previous step, breaks continuity.
_SPARSE_SECONDS: Final = 15.0
_STEP_GROWTH: Final = 3.0
_REACQUIRE_IOU: Final = 0.3
#: A face is kept if at least one of its detections has this score ...
_SURE_SCORE: Final = 0.7
#: ... and the mean expected error of its landmarks is at most this share of the box's longer side.
#: Faces of 52 real videos have at most 0.025; stills of strongly turned heads 0.04 (p95) and 0.08
#: (p99); false detections 0.035 or more, half of them above 0.12.
_MAX_RELATIVE_SPREAD: Final = 0.05
_SEAM_IOU: Final = 0.5


@dataclass(slots=True)
class _Row:
    """A row whose stabilized landmarks are not final yet, for one or more frames.

    These are the frame at `pts_seconds` and its repeats, without those that `ticks` leaves out.
    """

    pts_seconds: float
    places: list[tuple[int, int, float]]  # (frame_index, pts, pts_seconds)
    shot: int
    box: npt.NDArray[np.float32]
    source: str
    score: float
    raw: npt.NDArray[np.float32]
    spread_px: npt.NDArray[np.float32]
    relative_spread: float  # its mean over the longer side of the box
    blur: float
    cut_off: float


@dataclass(slots=True)
class _LastSeen:
    """Where and when a face was last seen."""

    face_id: int
    seconds: float
    sample: int
    box: npt.NDArray[np.float32]


@dataclass(slots=True)
class _Face:
    """A face on the last processed frame, with its filter."""

    face_id: int
    stabilizer: Stabilizer
    pending: deque[_Row] = field(default_factory=deque)
    last_seen: _LastSeen | None = None  # None: in no row yet


@dataclass(slots=True)
class _FaceTotals:
    """Totals over a face's rows, which decide whether it is kept.

    spread: sum of the mean spread of the landmarks over the longer side of the box, where known.
    """

    rows: int = 0
    best_score: float = 0.0
    spread: float = 0.0
    spread_rows: int = 0

    @property
    def is_sure(self) -> bool:
        """A high score at least once, and a low mean spread."""
        mean_spread = self.spread / max(self.spread_rows, 1)
        return self.best_score >= _SURE_SCORE and mean_spread <= _MAX_RELATIVE_SPREAD

    def add(self, row: _Row) -> None:
        self.rows += len(row.places)
        if row.source != "interpolated":
            self.best_score = max(self.best_score, row.score)
        if row.source != "given" and math.isfinite(row.relative_spread):
            self.spread += row.relative_spread
            self.spread_rows += 1


@dataclass(slots=True)
class TrackAssembler:
    """Assembles one video's segments, in order, into tracks.

    `add` takes the next segment, `skip` ends its faces where none follows; each returns the rows
    that became final, in TRACK_SCHEMA, sorted by face_id, then frame_index. With `ticks`, only
    rows of these frames are returned, with the same values.
    """

    video_id: str
    time_base: Fraction
    ticks: FrameTicks | None = None
    frames: int = 0  # repeats included
    repeats: int = 0  # frames that repeat the previous one
    first_pts: int | None = None
    last_pts: int | None = None
    shot: int = 0  # cuts so far
    _totals: list[_FaceTotals] = field(default_factory=list)  # by face_id
    _active: dict[int, _Face] = field(default_factory=dict)  # by local track
    _lost: list[_LastSeen] = field(default_factory=list)
    _seam: Seam | None = None
    _samples: int = 0  # frames without repeats
    _seconds: float | None = None  # of the last one
    _step: float = 0.0  # seconds between the last two
    _unbroken: int = 0  # the first sample after the last long gap
    _pixel_aspect: float | None = None  # of the first frame

    def add(self, part: SegmentLandmarks, new_stabilizer: Callable[[], Stabilizer]) -> pa.Table:
        """Takes the next segment's landmarks."""
        if self._pixel_aspect is None and part.geometry is not None:
            self._pixel_aspect = float(part.geometry.sample_aspect_ratio)
        rows, final = part.rows, self._new_table()
        if self._seam and not len(rows.frame_pts) and not part.segment.owns(self._seam.pts):
            return final.table()  # no frames in this segment: a later one owns the seam
        self._cross_seam(part, final)
        cuts = set(rows.cuts_pts.tolist())
        bounds = np.searchsorted(rows.frame, np.arange(len(rows.frame_pts) + 1)).tolist()
        repeats = _repeats_by_frame(part)
        # Lists are indexed in a third of the time of arrays.
        local = rows.track.tolist()
        values = list(_row_values(part))
        for i, pts in enumerate(rows.frame_pts.tolist()):
            seconds = self._seconds_of(pts)
            self._step_to(seconds)
            if pts in cuts:
                self.shot += 1
                self._lose_all(final)
                self._lost.clear()
            here = range(bounds[i], bounds[i + 1])
            tracks = {local[r] for r in here}
            for track in [t for t in self._active if t not in tracks]:
                self._end(self._active.pop(track), final)
            self._start_tracks(
                [r for r in here if local[r] not in self._active], part, seconds, new_stabilizer
            )
            shown = [pts, *repeats.get(i, [])]
            places = self._places(shown)
            for r in here:
                row = _Row(seconds, places, self.shot, *values[r])
                self._push(self._active[local[r]], row, final)
            self.frames += len(shown)
            self.repeats += len(shown) - 1
            self.first_pts = pts if self.first_pts is None else self.first_pts
            self.last_pts = shown[-1]
        self._seam = part.seam
        return final.table()

    def skip(self) -> pa.Table:
        """Ends every face: at a segment without results, and at the end of the video."""
        final = self._new_table()
        self._lose_all(final)
        self._seam = None
        return final.table()

    def sure_faces(self) -> tuple[int, ...]:
        """The ids of faces to keep: a high score at least once, and a low mean spread."""
        return tuple(face_id for face_id, totals in enumerate(self._totals) if totals.is_sure)

    def rows_of(self, face_ids: tuple[int, ...]) -> int:
        """Number of rows of these faces."""
        return sum(self._totals[face_id].rows for face_id in face_ids)

    def _new_table(self) -> _RowTable:
        return _RowTable(self.video_id, self._pixel_aspect or 1.0)

    def _places(self, shown: list[int]) -> list[tuple[int, int, float]]:
        """Index, pts and seconds of a frame and its repeats, without those `ticks` leaves out."""
        wanted = [True] * len(shown)
        if self.ticks is not None:
            wanted = self.ticks.among(shown, self.last_pts)
        return [
            (self.frames + n, at, self._seconds_of(at)) for n, at in enumerate(shown) if wanted[n]
        ]

    def _seconds_of(self, pts: int) -> float:
        """float(pts * time_base), which takes six times as long."""
        return pts * self.time_base.numerator / self.time_base.denominator

    def _step_to(self, seconds: float) -> None:
        """Counts a sample; a long gap breaks continuity for `REACQUIRE_FRAMES`."""
        if self._seconds is not None:
            step = seconds - self._seconds
            if step > max(_SPARSE_SECONDS, _STEP_GROWTH * self._step):
                self._unbroken = self._samples
            self._step = step
        self._seconds = seconds
        self._samples += 1

    def _may_return(self, lost: _LastSeen, seconds: float) -> bool:
        if seconds - lost.seconds <= REACQUIRE_SECONDS:
            return True
        near = self._samples - lost.sample <= REACQUIRE_FRAMES
        return near and lost.sample > self._unbroken

    def _cross_seam(self, part: SegmentLandmarks, final: _RowTable) -> None:
        """Maps the faces that continue to their tracks in the next segment; ends the others."""
        before, self._active = self._active, {}
        continuing: dict[int, int] = {}
        rows = part.rows
        joins = self._seam is not None and rows.frame_pts[:1].tolist() == [self._seam.pts]
        if not joins:
            self._unbroken = self._samples  # frames are missing, so continuity is unknown
        if self._seam is not None and joins:
            first = np.flatnonzero(rows.frame == 0)
            boxes = rows.boxes_xyxy_px[first]
            pairs = match_boxes(self._seam.boxes_xyxy_px, boxes, min_iou=_SEAM_IOU)
            continuing = {int(self._seam.track[i]): int(rows.track[first[j]]) for i, j in pairs}
        for track, face in before.items():
            if track in continuing:
                self._active[continuing[track]] = face
            else:
                self._end(face, final)

    def _start_tracks(
        self,
        starting: list[int],
        part: SegmentLandmarks,
        seconds: float,
        new_stabilizer: Callable[[], Stabilizer],
    ) -> None:
        """Assigns new tracks the id of a face lost recently in the same place, or a new id."""
        if not starting:
            return
        self._lost = [x for x in self._lost if self._may_return(x, seconds)]
        boxes = part.rows.boxes_xyxy_px[starting]
        lost = np.array([x.box for x in self._lost], np.float32).reshape(-1, 4)
        found = {j: self._lost[i] for i, j in match_boxes(lost, boxes, min_iou=_REACQUIRE_IOU)}
        for j, r in enumerate(starting):
            if j in found:
                face_id = found[j].face_id
            else:
                face_id = len(self._totals)
                self._totals.append(_FaceTotals())
            self._active[int(part.rows.track[r])] = _Face(face_id, new_stabilizer())
        self._lost = [x for x in self._lost if all(x is not y for y in found.values())]

    def _push(self, face: _Face, row: _Row, final: _RowTable) -> None:
        face.pending.append(row)
        self._totals[face.face_id].add(row)
        face.last_seen = _LastSeen(face.face_id, row.pts_seconds, self._samples, row.box)
        for settled in face.stabilizer.push(row.pts_seconds, row.raw.astype(np.float64)):
            final.append(face.face_id, face.pending.popleft(), settled)

    def _lose_all(self, final: _RowTable) -> None:
        for track in list(self._active):
            self._end(self._active.pop(track), final)

    def _end(self, face: _Face, final: _RowTable) -> None:
        for settled in face.stabilizer.flush():
            final.append(face.face_id, face.pending.popleft(), settled)
        if face.pending:
            raise AssertionError(
                f"{self.video_id}: the stabilizer kept {len(face.pending)} frames after flush"
            )
        if face.last_seen is not None:
            self._lost.append(face.last_seen)


class _RowTable:
    """Collects final rows and turns them into Arrow."""

    def __init__(self, video_id: str, pixel_aspect: float) -> None:
        self._video_id, self._pixel_aspect = video_id, pixel_aspect
        self._rows: list[tuple[int, tuple[int, int, float], _Row, npt.NDArray[np.float64]]] = []

    def append(self, face_id: int, row: _Row, landmarks: npt.NDArray[np.float64]) -> None:
        """Adds a final row for each of its frames."""
        for place in row.places:
            self._rows.append((face_id, place, row, landmarks))

    def table(self) -> pa.Table:
        self._rows.sort(key=lambda item: (item[0], item[1][0]))
        places, rows = [item[1] for item in self._rows], [item[2] for item in self._rows]
        raw = np.array([row.raw for row in rows], np.float32).reshape(-1, 68, 2)
        spread = np.array([row.spread_px for row in rows], np.float32).reshape(-1, 68)
        steady = np.array([item[3] for item in self._rows], np.float32).reshape(-1, 68, 2)
        yaw, pitch, roll = head_pose(steady, self._pixel_aspect).astype(np.float32).T
        columns = {
            "video_id": [self._video_id] * len(rows),
            "face_id": [item[0] for item in self._rows],
            "frame_index": [place[0] for place in places],
            "pts": [place[1] for place in places],
            "pts_seconds": [place[2] for place in places],
            "box_xyxy_px": _lists(np.array([row.box for row in rows], np.float32), "box_xyxy_px"),
            "box_source": [row.source for row in rows],
            "score": np.array([row.score for row in rows], np.float32),
            "x": _lists(steady[..., 0], "x"),
            "y": _lists(steady[..., 1], "y"),
            "x_raw": _lists(raw[..., 0], "x_raw"),
            "y_raw": _lists(raw[..., 1], "y_raw"),
            "spread_px": _lists(spread, "spread_px"),
            "blur": np.array([row.blur for row in rows], np.float32),
            "cut_off": np.array([row.cut_off for row in rows], np.float32),
            "shot": [row.shot for row in rows],
            "yaw_deg": yaw,
            "pitch_deg": pitch,
            "roll_deg": roll,
        }
        return pa.table(columns, schema=TRACK_SCHEMA)


def _repeats_by_frame(part: SegmentLandmarks) -> dict[int, list[int]]:
    """The pts of the frames that repeat a frame, by its index."""
    repeats: dict[int, list[int]] = {}
    for pts, frame in zip(part.rows.repeat_pts.tolist(), part.rows.repeat_of.tolist(), strict=True):
        repeats.setdefault(frame, []).append(pts)
    return repeats


def _row_values(part: SegmentLandmarks) -> Iterator[tuple[Any, ...]]:
    """The fields of each `_Row` from `box` on."""
    rows = part.rows
    sources = [BOX_SOURCES[source] for source in rows.box_source.tolist()]
    shares = _relative_spread(part).tolist(), rows.blur.tolist(), rows.cut_off.tolist()
    points = part.landmarks_px, part.spread_px
    return zip(rows.boxes_xyxy_px, sources, rows.scores.tolist(), *points, *shares, strict=True)


def _relative_spread(part: SegmentLandmarks) -> npt.NDArray[np.float64]:
    """(M,) mean spread of each row's landmarks over the longer side of its box; NaN: unknown."""
    x0, y0, x1, y1 = part.rows.boxes_xyxy_px.T.astype(np.float64)
    sides = np.maximum(x1 - x0, y1 - y0).clip(1.0)
    relative: npt.NDArray[np.float64] = part.spread_px.mean(1).astype(np.float64) / sides
    return relative


def _lists(values: npt.NDArray[np.float32], column: str) -> pa.Array:
    kind = TRACK_SCHEMA.field(column).type
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)
