"""Landmarks of one picture, from arrays to arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.crops import crop_to_image, pixel_size, sample_plane, square_affine, thumbnail_affine
from models.detection.detections import FaceDetector, check_image
from models.detection.face_detector import load_face_detector
from models.detection.rolled_faces import detect_any_roll
from models.landmarks.model import load_landmark_model

_cached_landmark_model = functools.lru_cache(maxsize=4)(load_landmark_model)
_cached_face_detector = functools.lru_cache(maxsize=4)(load_face_detector)


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFaces:
    """The N faces of a picture, the surest first, or in the order of the boxes given.

    Attributes:
        boxes_xyxy_px: (N, 4) float32: left, top, right, bottom in pixels of the picture.
        scores: (N,) float32 in [0, 1], the detector's; 1 for boxes that were given.
        landmarks_px: (N, 68, 2) float32 (x, y) in pixels of the picture, the centre of its
            top-left pixel at (0, 0), in iBUG order.
        spread_px: (N, 68) float32, the expected distance of each from the truth in pixels; NaN
            of networks without it.
    """

    boxes_xyxy_px: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    landmarks_px: npt.NDArray[np.float32]
    spread_px: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return f"AlignedFaces({len(self)} faces)"


def align(
    image: npt.NDArray[np.uint8],
    boxes: npt.ArrayLike | None = None,
    *,
    weights: str | None = None,
    detector: str = "default",
    device: str = "auto",
) -> AlignedFaces:
    """Finds the faces of a picture and their 68 landmarks.

        faces = align(np.asarray(PIL.Image.open("group.jpg").convert("RGB")))
        left_eyes = faces.landmarks_px[:, LANDMARKS.left_eye]  # (N, 6, 2) px

    A network that sees three frames sees the picture three times. The networks are loaded at
    the first call and kept.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) left, top, right, bottom in pixels, in place of the detector's; tight, from
            the hairline to just below the chin.
        weights, detector, device: as in `AnnotateSettings`.

    Raises:
        ValueError: `image` or `boxes` has another shape or type.
        UsageError: no such device. WeightsError: weights that cannot be loaded.
    """
    check_image(image)
    model = _cached_landmark_model(weights, device)
    if boxes is None:
        found, scores = _detect(image, _cached_face_detector(detector))
    else:
        found = np.asarray(boxes, np.float32)
        if found.ndim != 2 or found.shape[1] != 4 or not np.isfinite(found).all():
            raise ValueError(f"boxes: got {found.shape}, expected (N, 4) finite numbers")
        if (found[:, 2:] <= found[:, :2]).any():
            raise ValueError("boxes: got an empty one, expected left < right and top < bottom")
        scores = np.ones(len(found), np.float32)
    size = model.card.crop_size_px
    maps = [square_affine(b, scale=model.card.crop_scale, size_px=size) for b in found]
    affines = np.array(maps, np.float64).reshape(-1, 2, 3)
    crops = [sample_plane(image, affine, size, size) for affine in affines]
    windows = np.repeat(np.arange(len(crops))[:, None], model.card.window_frames, axis=1)
    pixels = np.array(crops, np.uint8).reshape(-1, size, size, 3)
    in_crops, spread = model.predict_with_spread(pixels, windows)
    landmarks = crop_to_image(in_crops, affines).astype(np.float32)
    scale = pixel_size(affines).astype(np.float32)
    return AlignedFaces(found, scores, landmarks, spread * scale[:, None])


def _detect(
    image: npt.NDArray[np.uint8], detector: FaceDetector
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(N, 4) boxes and (N,) scores of a picture, reduced to the size that the detector likes."""
    height, width = image.shape[:2]
    affine, width, height = thumbnail_affine(width, height, detector.input_longest_side_px)
    reduced = np.asarray(sample_plane(image, affine, width, height), np.uint8)
    found = detect_any_roll(detector, reduced).in_frame(affine)
    return found.boxes_xyxy_px, found.scores
