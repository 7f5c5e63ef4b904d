"""The face detector that ships with the package, and the loader of all detectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.boxes import non_maximum_suppression
from models.detection.box_decoding import cell_centres, decode_boxes
from models.detection.detections import Detections, FaceDetector, check_image
from models.detection.detector_graph import detector_graph
from models.detection.weights_file import NEUTRAL_GREY, DetectorConfig, read_detector_weights
from models.detection.yunet import YuNetDetector
from models.onnx_session import open_session
from models.tensor_file import Tensors
from schemas.errors import WeightsError

DEFAULT_WEIGHTS_PATH: Final = Path(__file__).parents[1] / "weights" / "face_detector.safetensors"
_NMS_IOU: Final = 0.4
#: Minimum score of a cell whose box is averaged into that of a face.
_VOTE_SCORE: Final = 0.2
_MIN_SIDE_PX: Final = 32


class ConvFaceDetector:
    """The package's own detector: a small convolutional network, by onnxruntime on the CPU.

    Stateless: the same image always gives the same boxes.

    Args:
        tensors, config: as `read_detector_weights` returns them.
        weights_sha256: hex digest of the file they came from.
        licence: the permitted use, from the file.

    Raises:
        WeightsError: the tensors do not match the config. The message does not name the file.
    """

    name = "conv"

    def __init__(
        self,
        tensors: Tensors,
        config: DetectorConfig,
        *,
        weights_sha256: str = "",
        licence: str = "unknown",
    ) -> None:
        self.weights_sha256 = weights_sha256
        self.licence = licence
        self.input_longest_side_px = config.input_longest_side_px
        self._score_threshold = config.score_threshold
        self._strides_px = config.strides_px
        try:
            self._session = open_session(detector_graph(tensors, config), arena=True)
            self.detect(np.zeros((_MIN_SIDE_PX, _MIN_SIDE_PX, 3), np.uint8))
        except KeyError as error:
            raise WeightsError(f"does not fit its own config: missing {error}") from error
        except Exception as error:  # onnxruntime's errors have no common base class
            raise WeightsError(f"does not fit its own config: {error}") from error

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """Finds the faces of a (H, W, 3) uint8 RGB image; boxes in its pixels.

        Raises:
            ValueError: the image has another shape or dtype.
        """
        check_image(image)
        planes = image_planes(image, max(self._strides_px))
        levels = self._session.run(None, {"image": planes})
        vote_score = min(_VOTE_SCORE, self._score_threshold)
        boxes, scores = decode_levels(levels, self._strides_px, vote_score)
        boxes, scores = non_maximum_suppression(
            boxes, scores, iou_threshold=_NMS_IOU, min_score=self._score_threshold
        )
        return Detections.sorted_by_score(boxes, scores)


def image_planes(image: npt.NDArray[np.uint8], multiple_px: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) uint8 RGB as `detector_graph` takes it: (1, 3, H', W') float32, 0 is grey.

    Padded with grey at the right and the bottom to multiples of `multiple_px`.
    """
    height, width = image.shape[:2]
    planes = np.zeros((3, _padded(height, multiple_px), _padded(width, multiple_px)), np.float32)
    for plane, channel in zip(planes, cv2.split(image), strict=True):
        np.subtract(channel, np.float32(NEUTRAL_GREY), out=plane[:height, :width])
    return planes[None]


#: Of the image sizes that a run meets.
_cell_centres = lru_cache(maxsize=64)(cell_centres)


def decode_levels(
    levels: Sequence[npt.NDArray[np.float32]], strides_px: Sequence[int], score_threshold: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Boxes and scores of the cells of one image that score at least the threshold.

    `levels` are the network's maps, (1, 5, H / stride, W / stride) of each stride.

    Returns: (N, 4) float32 xyxy boxes in pixels, many a face, and (N,) float32 scores.
    """
    boxes, scores = [], []
    for maps, stride_px in zip(levels, strides_px, strict=True):
        _, channels, rows, columns = maps.shape
        cells = maps[0].reshape(channels, -1)  # (5, H * W)
        score = 1 / (1 + np.exp(-np.clip(cells[0], -60, 60)))
        sure = np.flatnonzero(score >= score_threshold)
        centres = _cell_centres(rows, columns, stride_px)[sure]
        boxes.append(decode_boxes(cells[1:, sure].T, centres, stride_px))
        scores.append(score[sure])
    return np.concatenate(boxes).astype(np.float32), np.concatenate(scores).astype(np.float32)


def _padded(length_px: int, multiple_px: int) -> int:
    return max(_MIN_SIDE_PX, -(-length_px // multiple_px) * multiple_px)


def load_face_detector(spec: str = "default") -> FaceDetector:
    """Loads a detector.

    Args:
        spec: `default` (the weights in this package), `yunet:PATH` (a YuNet ONNX file, whose
            licence stands in a `.json` beside it, {"licence": "MIT"} say), or the path of a
            safetensors file written by `save_detector_weights`.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """
    if spec in ("", "yunet", "yunet:"):
        raise WeightsError(
            f"detector {spec!r}: expected 'default', 'yunet:PATH' or the path of a safetensors file"
        )
    if spec.startswith("yunet:"):
        return YuNetDetector(Path(spec.removeprefix("yunet:")))
    path = DEFAULT_WEIGHTS_PATH if spec == "default" else Path(spec)
    tensors, config, licence = read_detector_weights(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        return ConvFaceDetector(tensors, config, weights_sha256=digest, licence=licence)
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from error
