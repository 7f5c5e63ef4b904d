"""Faces in an image: what every detector returns, and the one that ships with the package.

A detector takes one RGB image of any size, already scaled so that its longest side is at
most `input_longest_side_px`, and returns upright boxes in that image's pixels: forehead
to just below the chin, ear to ear.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from models.detection.boxes import suppress_overlaps
from models.detection.network import (
    DetectorNetwork,
    decode_levels,
    detector_licence,
    load_detector_network,
)
from schemas.errors import WeightsError

__all__ = [
    "DEFAULT_WEIGHTS_PATH",
    "ConvFaceDetector",
    "Detections",
    "FaceDetector",
    "check_image",
    "load_face_detector",
]

DEFAULT_WEIGHTS_PATH: Final = Path(__file__).parents[1] / "weights" / "face_detector.safetensors"
_PAD_VALUE: Final = 114
_NMS_IOU: Final = 0.4
_MIN_SIDE_PX: Final = 32


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one image, the surest first.

    Attributes:
        boxes_xyxy_px: (N, 4) float32, x0, y0, x1, y1 in the image's pixels; may reach
            past the image's edges.
        scores: (N,) float32 in [0, 1], falling.
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


class FaceDetector(Protocol):
    """Finds faces in one image.

    Attributes:
        name: a short word for logs and provenance.
        input_longest_side_px: the longest side that larger frames are reduced to; smaller
            frames come as they are.
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


class ConvFaceDetector:
    """The package's own detector: a small convolutional network on the CPU.

    The same image gives the same boxes, whatever came before it.

    Args:
        network: as `load_detector_network` returns it.
        weights_sha256: hex digest of the file it came from.
        licence: what the file says that it may be used for.
        score_threshold: faces below it are left out; by default the one in the file.
    """

    name = "conv"

    def __init__(
        self,
        network: DetectorNetwork,
        *,
        weights_sha256: str = "",
        licence: str = "unknown",
        score_threshold: float | None = None,
    ) -> None:
        self.weights_sha256 = weights_sha256
        self.licence = licence
        self.input_longest_side_px = network.config.input_longest_side_px
        self.score_threshold = (
            network.config.score_threshold if score_threshold is None else score_threshold
        )
        self._stride_px = max(network.config.strides_px)
        self._network = network.folded()

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """Finds the faces of a (H, W, 3) uint8 RGB image; boxes in its pixels.

        Raises:
            ValueError: the image has another shape or dtype.
        """
        check_image(image)
        height, width = image.shape[:2]
        padded = np.full(
            (_padded(height, self._stride_px), _padded(width, self._stride_px), 3),
            _PAD_VALUE,
            np.uint8,
        )
        padded[:height, :width] = image
        with torch.inference_mode():
            # (1, 3, H, W) with the memory of (1, H, W, 3): channels last without a copy.
            batch = torch.from_numpy(padded)[None].permute(0, 3, 1, 2).float()
            levels = self._network(batch)
            boxes, scores = decode_levels(
                levels, self._network.config.strides_px, score_threshold=self.score_threshold
            )
        boxes, scores = suppress_overlaps(boxes, scores, iou_threshold=_NMS_IOU)
        return Detections.sorted_by_score(boxes, scores)


def _padded(length_px: int, multiple_px: int) -> int:
    return max(_MIN_SIDE_PX, -(-length_px // multiple_px) * multiple_px)


def load_face_detector(spec: str = "default") -> FaceDetector:
    """Loads a detector.

    Args:
        spec: `default` (the weights in this package), `yunet:PATH` (a YuNet ONNX file, whose
            licence stands in a `.json` beside it, {"licence": "MIT"} say), or the path of a
            safetensors file written by `save_detector_network`.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind == "yunet":
        from models.detection.yunet import YuNetDetector  # yunet.py builds on this module

        if not rest:
            raise WeightsError(
                "detector 'yunet:': expected the path of an ONNX file after 'yunet:'"
            )
        return YuNetDetector(Path(rest))
    path = DEFAULT_WEIGHTS_PATH if spec == "default" else Path(spec)
    if spec in ("", "yunet"):
        raise WeightsError(
            f"detector {spec!r}: expected 'default', 'yunet:PATH' or the path of a safetensors file"
        )
    network = load_detector_network(path)
    return ConvFaceDetector(
        network,
        weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence=detector_licence(path),
    )
