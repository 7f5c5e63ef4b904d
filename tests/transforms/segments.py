"""Hand-made segments, rows and parts of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from models.landmarks.mean_face import MEAN_FACE
from schemas.records import (
    FrameGeometry,
    Seam,
    Segment,
    SegmentLandmarks,
    SegmentRows,
    SegmentStats,
    SegmentWindows,
    StreamMetadata,
    Video,
)

GEOMETRY = FrameGeometry(160, 120, 0, Fraction(1))
METADATA = StreamMetadata("h264", "yuv420p", Fraction(1, 25), Fraction(25), 100, 4.0, Fraction(1))

Box = tuple[float, float, float, float]


def make_segment(
    index: int = 0,
    count: int = 1,
    *,
    video: Video | None = None,
    seek: int | None = None,
    own: tuple[int | None, int | None] = (None, None),
) -> Segment:
    """A segment at 25 pts a second."""
    return Segment(video or Video("clip.mp4", "/in/clip.mp4"), METADATA, index, count, seek, *own)


def box_at(x: float, y: float = 10.0, size: float = 20.0) -> Box:
    """A square box by its top-left corner."""
    return (x, y, x + size, y + size)


def landmarks_for(box: Sequence[float], pts: int) -> np.ndarray:
    """(68, 2) points of a face that encode their box and frame."""
    low, high = MEAN_FACE[:, :2].min(0), MEAN_FACE[:, :2].max(0)
    side = np.array([box[2] - box[0], box[3] - box[1]])
    points = (MEAN_FACE[:, :2] - low) / (high - low) * side + [box[0] + 0.01 * pts, box[1]]
    return points.astype(np.float32)


def make_rows(
    frames: dict[int, dict[int, Box]],
    *,
    cuts: Sequence[int] = (),
    source: int = 0,
    lost: Sequence[tuple[int, int]] = (),
) -> SegmentRows:
    """Rows from {pts: {local track: box}}; faces of a frame stand in order of x.

    Blur and cut-off are the rest of the boxes' left and upper edges by 64, over 64.
    """
    pts = sorted(frames)
    rows = [
        (i, track, box)
        for i, at in enumerate(pts)
        for track, box in sorted(frames[at].items(), key=lambda item: item[1][0])
    ]
    return SegmentRows(
        frame_pts=np.array(pts, np.int64),
        frame=np.array([r[0] for r in rows], np.int32),
        track=np.array([r[1] for r in rows], np.int32),
        boxes_xyxy_px=np.array([r[2] for r in rows], np.float32).reshape(-1, 4),
        box_source=np.full(len(rows), source, np.uint8),
        scores=np.full(len(rows), 0.75, np.float32),
        blur=np.array([r[2][0] % 64 / 64 for r in rows], np.float32),
        cut_off=np.array([r[2][1] % 64 / 64 for r in rows], np.float32),
        cuts_pts=np.array(sorted(cuts), np.int64),
        lost_pts=np.array(lost, np.int64).reshape(-1, 2),
    )


def make_part(
    segment: Segment,
    frames: dict[int, dict[int, Box]],
    *,
    seam: tuple[int, dict[int, Box]] | None = None,
    cuts: Sequence[int] = (),
    stats: SegmentStats | None = None,
    source: int = 0,
    spread_px: float | None = None,
) -> SegmentLandmarks:
    """A segment with landmarks that follow from its boxes; spreads are the boxes' left
    edges over 4096, or `spread_px`."""
    rows = make_rows(frames, cuts=cuts, source=source)
    left = rows.boxes_xyxy_px[:, :1]
    spread = left / 4096 if spread_px is None else np.full_like(left, spread_px)
    points = [
        landmarks_for(box, int(rows.frame_pts[frame]))
        for box, frame in zip(rows.boxes_xyxy_px, rows.frame, strict=True)
    ]
    return SegmentLandmarks(
        segment=segment,
        geometry=GEOMETRY,
        rows=rows,
        seam=None if seam is None else make_seam(*seam),
        landmarks_px=np.array(points, np.float32).reshape(-1, 68, 2),
        spread_px=np.repeat(spread, 68, axis=1),
        stats=stats or SegmentStats(decode_seconds=1.0),
    )


def make_seam(pts: int, faces: dict[int, Box]) -> Seam:
    """The faces on the frame after a segment's own."""
    return Seam(
        pts,
        np.array(list(faces), np.int32),
        np.array(list(faces.values()), np.float32).reshape(-1, 4),
    )


def split_parts(
    frames: dict[int, dict[int, Box]],
    bounds: Sequence[int],
    *,
    cuts: Sequence[int] = (),
    video: Video | None = None,
) -> list[SegmentLandmarks]:
    """The same faces in segments that begin at `bounds`, each with its own tracks."""
    edges = [None, *bounds, None]
    parts = []
    for index in range(len(edges) - 1):
        start, stop = edges[index], edges[index + 1]
        segment = make_segment(index, len(edges) - 1, video=video, own=(start, stop))
        own = {pts: faces for pts, faces in frames.items() if segment.owns(pts)}
        rename = {track: (track + 3) * (index + 2) for faces in frames.values() for track in faces}
        seam = None
        if stop is not None and any(pts >= stop for pts in frames):
            after = min(pts for pts in frames if pts >= stop)
            seam = (after, {rename[t]: box for t, box in frames[after].items()})
        parts.append(
            make_part(
                segment,
                {p: {rename[t]: box for t, box in faces.items()} for p, faces in own.items()},
                seam=seam,
                cuts=[c for c in cuts if segment.owns(c)],
            )
        )
    return parts


def make_windows(segment: Segment, faces: int, *, crop_px: int = 4) -> SegmentWindows:
    """One frame with `faces` faces; crops contain the number of their face."""
    boxes = {i: box_at(30.0 * i) for i in range(faces)}
    pts = segment.index if segment.own_start_pts is None else segment.own_start_pts
    crops = np.zeros((faces, crop_px, crop_px, 3), np.uint8)
    crops += np.arange(faces, dtype=np.uint8)[:, None, None, None] + 10 * segment.index
    affines = [[[2.0, 0, box_at(30.0 * i)[0]], [0, 2.0, 10]] for i in range(faces)]
    return SegmentWindows(
        segment=segment,
        geometry=GEOMETRY,
        rows=make_rows({pts: boxes}),
        seam=None,
        crops=crops,
        windows=np.repeat(np.arange(faces, dtype=np.int32)[:, None], 3, axis=1),
        affines=np.array(affines, np.float64).reshape(-1, 2, 3),
        stats=replace(SegmentStats(), decode_seconds=0.5),
    )
