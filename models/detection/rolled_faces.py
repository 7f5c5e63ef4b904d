"""Rolled faces: detection on the rotated image, if the upright one has no sure face.

Detectors are trained on upright faces. They find most that are upside down, and few of those
rolled by 90 degrees, as in phone videos whose rotation was lost, with low scores. So an image whose
highest score is low is rotated by quarters. The result depends on the image alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.detection.detections import Detections, FaceDetector

#: Minimum score of a rolled face; higher, since three more detections add false positives.
_MIN_SCORE: Final = 0.65
#: Score below which the image is rotated: 99 of 100 upright faces have more, of faces rolled by 90
#: degrees one of fifty, of faces upside down half.
_SURE: Final = 0.72
#: How much higher a rolled face's score must be than the highest of the upright image.
_MIN_GAIN: Final = 0.1


def detect_any_roll(detector: FaceDetector, image: npt.NDArray[np.uint8]) -> Detections:
    """The faces of a (H, W, 3) uint8 RGB image; where none is surely upright, rolled ones.

    Boxes are in the image's pixels. Of the rotations, the one with the highest score is used.
    """
    best = detector.detect(image)
    highest = best.scores[0] if len(best) else 0.0
    if highest >= _SURE:
        return best
    least = max(_MIN_SCORE, highest + _MIN_GAIN)
    for quarters in (1, 2, 3):
        found = detector.detect(np.ascontiguousarray(np.rot90(image, quarters)))
        sure = found.scores >= _MIN_SCORE
        if sure.any() and found.scores[0] >= least:
            least = found.scores[0]
            boxes = turned_back(found.boxes_xyxy_px[sure], quarters, image.shape[:2])
            best = Detections(boxes, found.scores[sure])
    return best


def turned_back(
    boxes_xyxy_px: npt.NDArray[np.float32], quarters: int, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Boxes (N, 4) of `np.rot90(image, quarters)` in the pixels of the image, of shape (H, W).

    `quarters` is 1, turned counterclockwise, 2, upside down, or 3, clockwise.
    """
    x0, y0, x1, y1 = boxes_xyxy_px.T
    height, width = shape
    if quarters == 1:
        return np.stack([width - 1 - y1, x0, width - 1 - y0, x1], axis=1)
    if quarters == 2:
        return np.stack([width - 1 - x1, height - 1 - y1, width - 1 - x0, height - 1 - y0], axis=1)
    return np.stack([y0, height - 1 - x1, y1, height - 1 - x0], axis=1)
