"""Recall, precision and box agreement of one detector against another.

    reference box, 40 px or more   found at IoU 0.5: true positive; else false negative
    reference box, smaller         ignored; so is a box that matches it
    found box, 40 px or more       matches: true positive; matches none: false positive
    found box, smaller             true positive, or ignored

Sizes are the longer side in pixels of the source video, before any reduction.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from models.boxes import iou, match_by_score
from models.detection.detections import Detections

MATCH_IOU: Final = 0.5
SMALLEST_PX: Final = 40.0


@dataclass(slots=True)
class DetectionTally:
    """Counts over images, for recall, precision and box agreement."""

    images: int = 0
    wanted: int = 0
    right: int = 0
    wrong: int = 0
    overlaps: list[float] = field(default_factory=list)
    #: One (dx, dy, log w, log h) a match: found minus reference, in sides of the reference.
    errors: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(self, found: Detections, reference: Detections) -> None:
        """Counts one image; both in the source's pixels."""
        self.images += 1
        large = _longer_side(reference.boxes_xyxy_px) >= SMALLEST_PX
        wanted = reference.boxes_xyxy_px[large]
        match = match_by_score(found.boxes_xyxy_px, wanted, min_iou=MATCH_IOU)
        self.wanted += len(wanted)
        self.right += int((match >= 0).sum())
        for i in np.flatnonzero(match >= 0):
            box, target = found.boxes_xyxy_px[i], wanted[match[i]]
            self.overlaps.append(float(iou(box, target)[0, 0]))
            self.errors.append(_relative_error(box, target))
        rest = found.boxes_xyxy_px[match < 0]
        beside = match_by_score(rest, reference.boxes_xyxy_px[~large], min_iou=MATCH_IOU)
        self.wrong += int(((beside < 0) & (_longer_side(rest) >= SMALLEST_PX)).sum())

    def merge(self, other: DetectionTally) -> None:
        """Adds another tally's counts to this one."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))

    def summary(self) -> dict[str, float | int | None]:
        """The figures; None where there is nothing to measure.

        Offsets are root mean squares in percent of the reference box: `offset` of the
        centre (both axes together), `size_offset` of width and height. The jitters are
        the same without the mean error: what changes from frame to frame.
        """
        found = self.right + self.wrong
        shares: dict[str, float | int | None] = {
            "images": self.images,
            "faces": self.wanted,
            "wrong": self.wrong,
            "recall": self.right / self.wanted if self.wanted else None,
            "precision": self.right / found if found else None,
            "mean_iou": float(np.mean(self.overlaps)) if self.overlaps else None,
        }
        names = ("offset_percent", "size_offset_percent", "jitter_percent", "size_jitter_percent")
        if not self.errors:
            return shares | dict.fromkeys(names)
        errors = 100 * np.array(self.errors)
        squares = [part for e in (errors, errors - errors.mean(0)) for part in _mean_squares(e)]
        return shares | dict(zip(names, np.sqrt(squares).tolist(), strict=True))


def _mean_squares(errors: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Of (dx, dy) together, and of each of (log w, log h), from (N, 4)."""
    return (errors[:, :2] ** 2).sum(1).mean(), (errors[:, 2:] ** 2).mean()


def _longer_side(boxes_xyxy_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray((boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]).max(1))


def _relative_error(
    box: npt.NDArray[np.float32], target: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    a, b = box.astype(np.float64), target.astype(np.float64)
    side_a, side_b = a[2:] - a[:2], b[2:] - b[:2]
    centre = ((a[:2] + a[2:]) - (b[:2] + b[2:])) / 2
    return np.concatenate([centre / side_b, np.log(side_a / side_b)])
