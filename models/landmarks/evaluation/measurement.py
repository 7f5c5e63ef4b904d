"""Errors of a landmark model on labelled faces, on boxes like a detector's.

    faces, with the frames before them --boxes--> windows of crops --model--> landmarks
                                                              labels --FaceErrors--+

A face without earlier frames is repeated to fill its window, as the pipeline does at a track's
first frames. All boxes of a window get the same jitter, since the pipeline interpolates boxes
between two detections.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.boxes import nearest_box
from models.crops import Affine, crop_to_image, pixel_size
from models.detection.detections import FaceDetector
from models.face_box import jitter_box
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import FaceOrigin, LabelledFace, leaving_out_broken
from models.landmarks.evaluation.face_errors import FaceErrors
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.training.augmentation import cut_crop
from schemas.landmarks import LANDMARK_COUNT

Box = npt.NDArray[np.float32]
#: The boxes to evaluate a face on; None for a missed detection.
BoxesOfFace = Callable[[LabelledFace], Sequence[Box | None]]

#: A box belongs to a labelled face if their IoU is at least this.
SAME_FACE_IOU: Final = 0.4
_BATCH_WINDOWS: Final = 64


def label_boxes(face: LabelledFace) -> Sequence[Box]:
    """The box of the labels, unchanged."""
    return [face.box_xyxy_px]


def jittered_boxes(*, draws: int, seed: int) -> BoxesOfFace:
    """`draws` boxes for each face: the labels' box with the detector's noise (`jitter_box`)."""
    rng = np.random.default_rng(seed)
    return lambda face: [jitter_box(face.box_xyxy_px, rng) for _ in range(draws)]


def detected_boxes(detector: FaceDetector) -> BoxesOfFace:
    """The detector's box of the face, or None.

    Pictures are reduced to the detector's input size and padded by a tenth, since some are cut
    closely around a face. A detection belongs to a face if their IoU is SAME_FACE_IOU or more.
    """
    return lambda face: [_detected_box(face, detector)]


def measure_faces(
    model: LandmarkModel,
    faces: Iterable[LabelledFace],
    boxes: BoxesOfFace,
    *,
    skipped: list[str] | None = None,
) -> FaceErrors:
    """Errors of each face on each of its boxes, in their order; a box of None is a miss.

    Memory is bounded by one batch of crops.

    Raises:
        AnnotationError: a picture cannot be read; with `skipped` its face is left out instead.
    """
    parts: list[FaceErrors] = []
    batch: list[_Window] = []
    for face in faces:
        with leaving_out_broken(skipped):
            batch += _windows(face, boxes, model.card)
        if len(batch) >= _BATCH_WINDOWS:
            parts.append(_measured(model, batch))
            batch = []
    return FaceErrors.joined([*parts, _measured(model, batch)])


class _Window(NamedTuple):
    """A face on one of its boxes; `shown`: crops and their affine maps, none of a missed face."""

    origin: FaceOrigin
    truth_px: npt.NDArray[np.float32]
    shown: list[tuple[npt.NDArray[np.uint8], Affine]]


def _windows(face: LabelledFace, boxes: BoxesOfFace, card: LandmarkCard) -> list[_Window]:
    """The windows of a face, one on each of its boxes."""
    frames = [
        dataclasses.replace(frame, image=frame.load())
        for frame in (*face.earlier, face)[-card.window_frames :]
    ]
    windows = []
    for box in boxes(frames[-1]):
        shown = []
        if box is not None:
            offset_px = box - face.box_xyxy_px
            shown = [cut_crop(frame, frame.box_xyxy_px + offset_px, card) for frame in frames]
        windows.append(_Window(face.origin, face.landmarks_px, shown))
    return windows


def _measured(model: LandmarkModel, batch: Sequence[_Window]) -> FaceErrors:
    """The errors of windows that go through the network together."""
    truth = np.array([window.truth_px for window in batch], np.float64)
    truth = truth.reshape(-1, LANDMARK_COUNT, 2)
    predicted = np.full_like(truth, np.inf)
    spread = np.full(truth.shape[:2], np.nan)
    seen = [row for row, window in enumerate(batch) if window.shown]
    if seen:
        crops = np.stack([crop for row in seen for crop, _ in batch[row].shown])
        lengths = np.array([len(batch[row].shown) for row in seen])
        ends = np.cumsum(lengths)[:, None]
        places = ends + np.arange(-model.card.window_frames, 0)
        found = model.predict_with_spread(crops, np.maximum(places, ends - lengths[:, None]))
        affines = np.stack([batch[row].shown[-1][1] for row in seen])
        predicted[seen] = crop_to_image(found[0], affines)
        spread[seen] = found[1] * pixel_size(affines)[:, None]
    return FaceErrors([window.origin for window in batch], predicted, truth, spread)


def _detected_box(face: LabelledFace, detector: FaceDetector) -> Box | None:
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
    own = nearest_box(boxes, face.box_xyxy_px, min_iou=SAME_FACE_IOU)
    return None if own is None else boxes[own].astype(np.float32)
