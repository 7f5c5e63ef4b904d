"""Boxes of a dense detector: cells to boxes, overlap, suppression.

Each level of the network lays a grid of cells over the image, `stride_px` apart. A cell's
code (dx, dy, log w, log h) says where the face's box is as seen from the cell:

        |<- stride ->|
        +------------+------------+     centre = cell centre + stride * (dx, dy)
        |            |     x <----------(dx, dy) reaches the box's centre
        |     o      |            |     width  = 4 * stride * exp(log w)
        |            |            |     height = 4 * stride * exp(log h)
        +------------+------------+     o: the cell's centre
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "BASE_STRIDES",
    "LOG_SIZE_LIMIT",
    "cell_centres",
    "decode_boxes",
    "iou",
    "suppress_overlaps",
]

#: A log size of 0 is a box of this many strides.
BASE_STRIDES: Final = 4.0
_VOTE_IOU: Final = 0.6
_MOST_CANDIDATES: Final = 1000
#: Log sizes are taken as no further from 0 than this.
LOG_SIZE_LIMIT: Final = 4.0


def cell_centres(rows: int, columns: int, stride_px: int) -> npt.NDArray[np.float32]:
    """(rows * columns, 2) float32 cell centres (x, y) in pixels, row by row."""
    y = (np.arange(rows, dtype=np.float32) + 0.5) * stride_px - 0.5
    x = (np.arange(columns, dtype=np.float32) + 0.5) * stride_px - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)


def decode_boxes(
    codes: npt.NDArray[np.float32], centres_px: npt.NDArray[np.float32], stride_px: float
) -> npt.NDArray[np.float32]:
    """Boxes (N, 4) xyxy in pixels from codes (N, 4) at cell centres (N, 2)."""
    centre = centres_px + codes[:, :2] * stride_px
    log_size = codes[:, 2:].clip(-LOG_SIZE_LIMIT, LOG_SIZE_LIMIT)
    half = np.exp(log_size) * (BASE_STRIDES / 2 * stride_px)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def iou(a_xyxy_px: npt.ArrayLike, b_xyxy_px: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Intersection over union of every box of (N, 4) with every box of (M, 4): (N, M) float64.

    Boxes without area overlap nothing.
    """
    a = np.asarray(a_xyxy_px, np.float64).reshape(-1, 1, 4)
    b = np.asarray(b_xyxy_px, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    area_a = np.clip(a[..., 2:] - a[..., :2], 0, None).prod(-1)
    area_b = np.clip(b[..., 2:] - b[..., :2], 0, None).prod(-1)
    union = area_a + area_b - shared
    overlap: npt.NDArray[np.float64] = np.zeros_like(shared)
    np.divide(shared, union, out=overlap, where=union > 0)
    return overlap


def suppress_overlaps(
    boxes_xyxy_px: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    *,
    iou_threshold: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keeps one box a face: the surest, with its place voted on by its near doubles.

    Greedy non-maximum suppression. A kept box becomes the mean of the boxes that overlap
    it by 0.6 or more, weighted by squared score, which steadies it from frame to frame.
    Of more than 1000 boxes only the surest 1000 are looked at, which bounds the time.

    Args:
        boxes_xyxy_px: (N, 4) float32.
        scores: (N,) float32.
        iou_threshold: boxes that overlap a surer one by more than this go.

    Returns: (K, 4) float32 boxes and their (K,) float32 scores, the highest first.
    """
    order = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    boxes, scores = boxes_xyxy_px[order], scores[order]
    kept: list[npt.NDArray[np.float64]] = []
    kept_scores: list[np.float32] = []
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        overlap = iou(boxes[i], boxes)[0]
        overlap[i] = 1.0
        voters = overlap >= _VOTE_IOU
        weights = scores[voters].astype(np.float64) ** 2 + 1e-12
        kept.append(np.average(boxes[voters].astype(np.float64), axis=0, weights=weights))
        kept_scores.append(scores[i])
        alive &= overlap <= iou_threshold
    return (
        np.array(kept, np.float32).reshape(-1, 4),
        np.array(kept_scores, np.float32),
    )
