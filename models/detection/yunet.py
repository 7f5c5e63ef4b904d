"""YuNet by OpenCV: the public face detector that was the teacher of ours.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023. The ONNX file is
not part of this package; `cv2.FaceDetectorYN` runs it on the CPU.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from models.boxes import iou
from models.detection.detections import Detections, check_image
from schemas.errors import WeightsError

YUNET_SCORE_THRESHOLD: Final = 0.6
_NMS_IOU: Final = 0.3
_TOP_K: Final = 5000


class _Card(msgspec.Struct):
    licence: str


class YuNetDetector:
    """A `FaceDetector` over a YuNet ONNX file.

    Args:
        path: the ONNX file, such as `yunet_n_640_640.onnx`.
        score_threshold: faces below it are left out.

    Raises:
        WeightsError: the file is missing, or OpenCV cannot run it as YuNet; its card, FILE.json,
            exists without a licence.
    """

    name = "yunet"
    input_longest_side_px = 640

    def __init__(self, path: Path, *, score_threshold: float = YUNET_SCORE_THRESHOLD) -> None:
        if not path.is_file():
            raise WeightsError(f"YuNet's ONNX file is missing: no file at {path}")
        content = path.read_bytes()
        self.weights_sha256 = hashlib.sha256(content).hexdigest()
        self.licence = _licence_beside(path)
        try:
            self._net: Any = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), score_threshold, _NMS_IOU, _TOP_K
            )
            self.detect(np.zeros((64, 64, 3), np.uint8))
        except (cv2.error, SystemError, TypeError) as error:
            raise WeightsError(
                f"{path} ({len(content)} bytes) is not a YuNet model that OpenCV "
                f"{cv2.__version__} can run: {error}"
            ) from error

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """Finds the faces of a (H, W, 3) uint8 RGB image; boxes in its pixels."""
        found = self._run(image)
        return Detections.sorted_by_score(_boxes(found), found[:, 14])

    def turns(self, image: npt.NDArray[np.uint8], faces: Detections) -> npt.NDArray[np.float32]:
        """How far faces that `detect` found are turned to the side.

        Returns: (N,) float32, where the tip of the nose is between the middle of the box (0)
        and its left (-0.5) or right edge (0.5); 0 where this image does not show it.
        """
        found = self._run(image)
        turns = np.zeros(len(faces), np.float32)
        if len(found):
            overlap = iou(faces.boxes_xyxy_px, _boxes(found))
            nearest = found[overlap.argmax(1)]
            middle, nose_x = nearest[:, 0] + nearest[:, 2] / 2, nearest[:, 8]
            seen = overlap.max(1) > 0.5
            turns[seen] = ((nose_x - middle) / nearest[:, 2])[seen]
        return np.clip(turns, -0.5, 0.5)

    def _run(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(N, 15): x, y, width, height; eyes, nose, mouth corners (x, y); score."""
        check_image(image)
        height, width = image.shape[:2]
        self._net.setInputSize((width, height))
        _, found = self._net.detect(np.ascontiguousarray(image[:, :, ::-1]))
        found = np.zeros((0, 15)) if found is None else found
        return np.asarray(found, np.float32).reshape(-1, 15)


def _boxes(found: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], 1)


def _licence_beside(path: Path) -> str:
    """The licence in the card beside an ONNX file; `unknown` without a card."""
    card = path.with_suffix(".json")
    if not card.is_file():
        return "unknown"
    try:
        return msgspec.json.decode(card.read_bytes(), type=_Card).licence
    except (ValueError, RecursionError) as error:
        raise WeightsError(f'{card}: expected {{"licence": a text}}: {error}') from error
