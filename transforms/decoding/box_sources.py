"""Where face boxes come from: the detector on a time grid, or boxes that were given."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from models.crops import thumbnail_affine
from models.detection.detections import FaceDetector
from models.detection.rolled_faces import detect_any_roll
from models.frame_pixels import FramePixels

#: Seconds between detections, on a grid anchored at pts 0.
DETECT_SECONDS: Final = Fraction(1, 5)

Boxes = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class BoxSource(Protocol):
    """Finds faces on key frames.

    `is_key` must depend only on the frame and the previous one: a segment that starts later
    must choose the same key frames.
    """

    source: str

    def is_key(self, frame: int, pts: int, previous_pts: int | None) -> bool:
        """Whether faces are searched on this frame."""

    def find(self, frame: int, pts: int, pixels: FramePixels, aspect: float) -> Boxes:
        """(K, 4) float32 boxes in upright pixels and (K,) float32 scores."""

    def same_boxes(self, frame: int, pts: int, other_frame: int, other_pts: int) -> bool:
        """Whether two frames with equal pictures also have equal boxes."""


class DetectedBoxes:
    """Runs a detector on the first frame of every grid step."""

    source = "detected"

    def __init__(self, detector: FaceDetector, time_base: Fraction) -> None:
        self._detector = detector
        self._time_base = time_base

    def is_key(self, frame: int, pts: int, previous_pts: int | None) -> bool:
        """True for the first frame of a grid step and the first frame of all."""
        return previous_pts is None or self._step(pts) != self._step(previous_pts)

    def find(self, frame: int, pts: int, pixels: FramePixels, aspect: float) -> Boxes:
        """Detects on square pixels, scaled down to the detector's input size."""
        affine, width, height = thumbnail_affine(
            pixels.width_px, pixels.height_px, self._detector.input_longest_side_px, aspect
        )
        found = detect_any_roll(self._detector, pixels.sample(affine, width, height))
        found = found.in_frame(affine)
        return found.boxes_xyxy_px, found.scores

    def same_boxes(self, frame: int, pts: int, other_frame: int, other_pts: int) -> bool:
        """True: equal pictures show the same faces."""
        return True

    def _step(self, pts: int) -> int:
        return int(pts * self._time_base // DETECT_SECONDS)


class GivenBoxes:
    """Boxes from a file, by frame number or by pts.

    Args:
        places: (N,) int64 frame number or pts of each box.
        boxes_xyxy_px: (N, 4) float32; boxes of one frame keep their order.
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
        """True for every frame that the file has boxes for."""
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
        if place is None:
            return self._boxes[:0]
        start, stop = np.searchsorted(self._places, (place, place + 1))
        return self._boxes[start:stop]

    def _place(self, frame: int, pts: int) -> int | None:
        wanted = frame if self.by == "frame_index" else pts
        if not len(self._places):
            return None
        after = int(np.searchsorted(self._places, wanted))
        around = self._places[max(0, after - 1) : after + 1].tolist()
        nearest: int = min(around, key=lambda at: abs(at - wanted))
        return nearest if abs(nearest - wanted) <= self._tolerance_pts else None
