"""Rolled faces: detection on the rotated image, if the upright one has no sure face.

Detectors are trained on upright faces. They find most that are upside down, and few of those
rolled by 90 degrees, as in phone videos whose rotation was lost, with low scores. So an image whose
highest score is low is rotated by quarters. The result depends on the image alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.crops import turned_back
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
            corners = found.boxes_xyxy_px[sure].reshape(-1, 2, 2)
            corners = turned_back(corners, quarters, image.shape[:2])
            boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
            best = Detections(boxes, found.scores[sure])
    return best
