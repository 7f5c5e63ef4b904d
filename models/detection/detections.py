"""Faces in an image: the interface of all detectors.

A detector takes one RGB image of any size, already scaled so that its longest side is at
most `input_longest_side_px`, and returns upright boxes in that image's pixels: forehead
to just below the chin, ear to ear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one image, the highest score first.

    Attributes:
        boxes_xyxy_px: (N, 4) float32, x0, y0, x1, y1 in the image's pixels; may reach
            past the image's edges.
        scores: (N,) float32 in [0, 1], descending.
    """

    boxes_xyxy_px: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.boxes_xyxy_px.ndim != 2 or self.boxes_xyxy_px.shape[1] != 4:
            raise ValueError(f"boxes_xyxy_px: got {self.boxes_xyxy_px.shape}, expected (N, 4)")
        if self.scores.shape != self.boxes_xyxy_px.shape[:1]:
            raise ValueError(
                f"scores: got {self.scores.shape}, expected {self.boxes_xyxy_px.shape[:1]} "
                "like boxes_xyxy_px"
            )
        if np.any(np.diff(self.scores) > 0):
            raise ValueError(f"scores: expected the highest first, got {self.scores.tolist()}")

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        best = f", best {self.scores[0]:.2f}" if len(self) else ""
        return f"Detections({len(self)} faces{best})"

    @classmethod
    def empty(cls) -> Detections:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    @classmethod
    def sorted_by_score(cls, boxes_xyxy_px: npt.ArrayLike, scores: npt.ArrayLike) -> Detections:
        """Detections from (N, 4) boxes and (N,) scores in any order."""
        scores = np.asarray(scores, np.float32)
        order = np.argsort(-scores, kind="stable")
        return cls(np.asarray(boxes_xyxy_px, np.float32)[order], scores[order])

    def in_frame(self, affine: npt.NDArray[np.float64]) -> Detections:
        """The faces of a thumbnail (`models.crops.thumbnail_affine`) in pixels of its frame."""
        scale, shift = np.tile(affine[[0, 1], [0, 1]], 2), np.tile(affine[:, 2], 2)
        return Detections((self.boxes_xyxy_px * scale + shift).astype(np.float32), self.scores)


class FaceDetector(Protocol):
    """Finds faces in one image.

    Attributes:
        name: a short word for logs and provenance.
        input_longest_side_px: the longest side that larger frames are reduced to; smaller
            frames are not resized.
        weights_sha256: hex digest of the weights file.
        licence: what the weights may be used for, as their file or card says; else `unknown`.
    """

    name: str
    input_longest_side_px: int
    weights_sha256: str
    licence: str

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """Finds the faces of a (H, W, 3) uint8 RGB image; boxes in its pixels."""
        ...


def check_image(image: npt.NDArray[np.uint8]) -> None:
    """Raises ValueError unless `image` is a (H, W, 3) uint8 array with pixels."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"image: got {image.shape} {image.dtype}, expected (H, W, 3) uint8 RGB with H, W >= 1"
        )
