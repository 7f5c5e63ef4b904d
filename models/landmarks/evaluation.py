"""Errors of a landmark model on labelled faces, given the boxes that a detector would give."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import image_to_crop
from models.detection.boxes import iou
from models.detection.face_detector import FaceDetector
from models.face_box import jitter_box
from models.landmarks.augmentation import cut_crop
from models.landmarks.data import LabelledFace
from models.landmarks.metrics import nrmse_percent
from models.landmarks.model import LandmarkModel

__all__ = ["errors_on_boxes", "errors_on_detections", "errors_on_jittered_boxes"]

_SAME_FACE_IOU = 0.4


def errors_on_jittered_boxes(
    model: LandmarkModel, faces: Sequence[LabelledFace], *, draws: int = 1, seed: int = 0
) -> npt.NDArray[np.float64]:
    """NRMSE in percent of each face on `draws` boxes that scatter as the detector's do.

    Returns (N, draws).
    """
    rng = np.random.default_rng(seed)
    repeated = [face for face in faces for _ in range(draws)]
    boxes = [jitter_box(face.box_xyxy_px, rng) for face in repeated]
    return errors_on_boxes(model, repeated, boxes).reshape(len(faces), draws)


def errors_on_boxes(
    model: LandmarkModel, faces: Sequence[LabelledFace], boxes_xyxy_px: Sequence[npt.ArrayLike]
) -> npt.NDArray[np.float64]:
    """NRMSE in percent of each face on the box that is given for it: (N,)."""
    if not faces:
        return np.zeros(0)
    size = model.card.crop_size_px
    crops, truth = [], []
    for face, box in zip(faces, boxes_xyxy_px, strict=True):
        crop, affine = cut_crop(face, box, crop_scale=model.card.crop_scale, size_px=size)
        crops.append(crop)
        truth.append(image_to_crop(face.landmarks_px, affine))
    windows = np.repeat(np.arange(len(crops))[:, None], model.card.window_frames, axis=1)
    return nrmse_percent(model.predict(np.stack(crops), windows), np.stack(truth))


def errors_on_detections(
    model: LandmarkModel, faces: Sequence[LabelledFace], detector: FaceDetector
) -> npt.NDArray[np.float64]:
    """NRMSE in percent of each face on the detector's box, infinity where it has none: (N,).

    Pictures are reduced to the detector's input size and get a border of a tenth, since some
    pictures are cut closely around a face. A detection is a face's own where their boxes
    overlap by 0.4 (IoU).
    """
    boxes = [_detected_box(face, detector) for face in faces]
    found = [index for index, box in enumerate(boxes) if box is not None]
    errors = np.full(len(faces), np.inf)
    errors[found] = errors_on_boxes(
        model, [faces[i] for i in found], [box for box in boxes if box is not None]
    )
    return errors


def _detected_box(face: LabelledFace, detector: FaceDetector) -> npt.NDArray[np.float32] | None:
    image = face.load()
    border = max(image.shape[:2]) // 10
    image = np.pad(image, [(border, border), (border, border), (0, 0)], mode="edge")
    height, width = image.shape[:2]
    factor = min(1.0, detector.input_longest_side_px / max(height, width))
    reduced = (round(width * factor), round(height * factor))
    scale = np.array([width / reduced[0], height / reduced[1]] * 2)
    if factor < 1:
        image = cv2.resize(image, reduced, interpolation=cv2.INTER_AREA)
    found = detector.detect(np.asarray(image, np.uint8)).boxes_xyxy_px
    boxes = (found + 0.5) * scale - 0.5 - border
    overlaps = iou(boxes, face.box_xyxy_px[None])[:, 0] if len(boxes) else np.zeros(0)
    if not len(boxes) or overlaps.max() < _SAME_FACE_IOU:
        return None
    best: npt.NDArray[np.float32] = boxes[overlaps.argmax()].astype(np.float32)
    return best
