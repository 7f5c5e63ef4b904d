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
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.boxes import iou
from models.crops import Affine, crop_to_image, pixel_size
from models.detection.detections import FaceDetector
from models.face_box import jitter_box
from models.landmarks.datasets.labelled_face import FaceOrigin, LabelledFace
from models.landmarks.datasets.points import leaving_out_broken
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
    batch = _Batch(model)
    parts = []
    for face in faces:
        with leaving_out_broken(skipped):
            batch.add(face, boxes)
        if len(batch) >= _BATCH_WINDOWS:
            parts.append(batch.measured())
            batch = _Batch(model)
    return FaceErrors.joined([*parts, batch.measured()])


class _Batch:
    """Windows that go through the network together."""

    def __init__(self, model: LandmarkModel) -> None:
        self._model = model
        self._crops: list[npt.NDArray[np.uint8]] = []
        self._windows: list[list[int]] = []
        self._affines: list[Affine | None] = []  # of each face's crop; None: missed
        self._origins: list[FaceOrigin] = []
        self._truth: list[npt.NDArray[np.float32]] = []

    def __len__(self) -> int:
        return len(self._origins)

    def add(self, face: LabelledFace, boxes: BoxesOfFace) -> None:
        """Cuts the windows of a face, one on each of its boxes."""
        frames = [
            dataclasses.replace(frame, image=frame.load())
            for frame in (*face.earlier, face)[-self._model.card.window_frames :]
        ]
        face = frames[-1]
        for box in boxes(face):
            self._affines.append(None if box is None else self._cut(frames, box - face.box_xyxy_px))
            self._origins.append(face.origin)
            self._truth.append(face.landmarks_px)

    def _cut(self, frames: Sequence[LabelledFace], offset_px: npt.NDArray[np.floating]) -> Affine:
        card = self._model.card
        window = []
        for frame in frames:
            crop, affine = cut_crop(
                frame,
                frame.box_xyxy_px + offset_px,
                crop_scale=card.crop_scale,
                size_px=card.crop_size_px,
            )
            window.append(len(self._crops))
            self._crops.append(crop)
        self._windows.append([window[0]] * (card.window_frames - len(window)) + window)
        return affine

    def measured(self) -> FaceErrors:
        """The errors of the faces that were added."""
        truth = np.array(self._truth, np.float64).reshape(-1, LANDMARK_COUNT, 2)
        predicted = np.full_like(truth, np.inf)
        spread = np.full(truth.shape[:2], np.nan)
        if self._windows:
            windows = np.array(self._windows, np.intp)
            found = self._model.predict_with_spread(np.stack(self._crops), windows)
            in_crops = zip(*found, strict=True)
            for row, affine in enumerate(self._affines):
                if affine is not None:
                    in_crop, spread_in_crop = next(in_crops)
                    predicted[row] = crop_to_image(in_crop, affine)
                    spread[row] = spread_in_crop * pixel_size(affine)
        return FaceErrors.of(self._origins, predicted, truth, spread)


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
    overlaps = iou(boxes, face.box_xyxy_px[None])[:, 0] if len(boxes) else np.zeros(0)
    if not len(boxes) or overlaps.max() < SAME_FACE_IOU:
        return None
    best: Box = boxes[overlaps.argmax()].astype(np.float32)
    return best
