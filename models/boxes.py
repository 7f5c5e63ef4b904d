"""Boxes: overlap, matching, non-maximum suppression. All are (N, 4) xyxy in pixels."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_VOTE_IOU: Final = 0.6
_MAX_CANDIDATES: Final = 1000


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


def match_boxes(
    a_xyxy_px: npt.ArrayLike, b_xyxy_px: npt.ArrayLike, *, min_iou: float
) -> list[tuple[int, int]]:
    """Pairs (i, j) of (N, 4) and (M, 4) boxes: the Hungarian optimum of IoU >= min_iou."""
    overlap = iou(a_xyxy_px, b_xyxy_px)
    if not overlap.size:
        return []
    gain = np.where(overlap >= min_iou, overlap, 0.0)
    if min(gain.shape) == 1:
        i, j = np.unravel_index(gain.argmax(), gain.shape)
        return [(int(i), int(j))] if gain[i, j] else []
    rows, columns = (places.tolist() for places in gain.nonzero())
    if len(set(rows)) == len(set(columns)) == len(rows):  # no box has a choice
        return list(zip(rows, columns, strict=True))
    from scipy.optimize import linear_sum_assignment  # takes 0.4 s, and few videos need it

    return [
        (int(i), int(j)) for i, j in zip(*linear_sum_assignment(-gain), strict=True) if gain[i, j]
    ]


def nearest_box(
    boxes_xyxy_px: npt.ArrayLike, box_xyxy_px: npt.ArrayLike, *, min_iou: float
) -> int | None:
    """The row of (N, 4) boxes with the highest IoU with a (4,) box; None if it is too low."""
    overlap = iou(boxes_xyxy_px, box_xyxy_px)[:, 0]
    return int(overlap.argmax()) if overlap.max(initial=-1.0) >= min_iou else None


def match_by_score(
    found_xyxy_px: npt.NDArray[np.float32],
    reference_xyxy_px: npt.NDArray[np.float32],
    *,
    min_iou: float,
) -> npt.NDArray[np.intp]:
    """Matches each found box, the highest score first, to the free reference box of highest IoU.

    As detection benchmarks match: greedily, by score.

    Args:
        found_xyxy_px: (N, 4), the highest score first.
        reference_xyxy_px: (M, 4).
        min_iou: least IoU of a match.

    Returns: (N,) intp, the reference box's number, or -1.
    """
    match = np.full(len(found_xyxy_px), -1, np.intp)
    overlap = iou(found_xyxy_px, reference_xyxy_px)
    if overlap.shape[1] == 0:
        return match
    for i, row in enumerate(overlap):
        best = int(row.argmax())
        if row[best] >= min_iou:
            match[i] = best
            overlap[:, best] = -1.0
    return match


def non_maximum_suppression(
    boxes_xyxy_px: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    *,
    iou_threshold: float,
    min_score: float = 0.0,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Greedy non-maximum suppression with box voting.

    A kept box becomes the mean of the boxes whose IoU with it is 0.6 or more, weighted by squared
    score, which reduces jitter between frames. Only the 1000 boxes of highest score are used,
    which bounds the time.

    Args:
        boxes_xyxy_px: (N, 4) float32.
        scores: (N,) float32.
        iou_threshold: a box is removed if its IoU with one of higher score exceeds this.
        min_score: boxes of lower score only vote.

    Returns: (K, 4) float32 boxes and their (K,) float32 scores, the highest first.
    """
    order = np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]
    boxes, scores = boxes_xyxy_px[order], scores[order]
    kept: list[npt.NDArray[np.float64]] = []
    kept_scores: list[np.float32] = []
    alive = np.ones(len(boxes), bool)
    for i in range(np.count_nonzero(scores >= min_score)):
        if not alive[i]:
            continue
        overlap = iou(boxes[i], boxes)[0]
        overlap[i] = 1.0
        voters = overlap >= _VOTE_IOU
        weights = scores[voters].astype(np.float64) ** 2 + 1e-12
        kept.append(np.average(boxes[voters].astype(np.float64), axis=0, weights=weights))
        kept_scores.append(scores[i])
        alive &= overlap <= iou_threshold
    return np.array(kept, np.float32).reshape(-1, 4), np.array(kept_scores, np.float32)
