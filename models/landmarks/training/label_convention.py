"""Converts the labels of one data set to the convention of another.

Annotators place the same landmark differently, most of all along the jaw. Trained on several such
sets, a network predicts a compromise that agrees with none. The difference between two sets is
nearly constant in a coordinate frame given by the eyes:

    offset = median over faces of (label - prediction of a network that knows one convention)
    x along the line of the outer eye corners, in units of their distance
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.crops import crop_to_image
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.training.augmentation import cut_crop
from schemas.landmarks import OUTER_EYE_CORNERS

_BATCH: Final = 64


def convention_offsets(
    model: LandmarkModel, faces: Sequence[LabelledFace]
) -> npt.NDArray[np.float64]:
    """How far the labels lie from what the network predicts on their boxes: (68, 2).

    Args:
        model: a network that learned one convention.
        faces: at least one, of a set that was labelled by another.

    Raises:
        ValueError: there is no face.
    """
    if not faces:
        raise ValueError("faces: got none, expected at least one to compare labels on")
    found = [
        _offsets(model, faces[first : first + _BATCH]) for first in range(0, len(faces), _BATCH)
    ]
    return np.asarray(np.nanmedian(np.concatenate(found), axis=0), np.float64)


def moved_to_convention(face: LabelledFace, offsets: npt.NDArray[np.float64]) -> LabelledFace:
    """The face with its landmarks moved back by `convention_offsets`; its box stays."""
    axes = _eye_axes(face.landmarks_px)  # (2, 2) rows x, y in px
    moved = face.landmarks_px - (offsets @ axes).astype(np.float32)
    return replace(face, landmarks_px=moved)


def _offsets(model: LandmarkModel, faces: Sequence[LabelledFace]) -> npt.NDArray[np.float64]:
    """(N, 68, 2) of each face."""
    card = model.card
    cut = [cut_crop(face, face.box_xyxy_px, card) for face in faces]
    windows = np.repeat(np.arange(len(faces), dtype=np.intp)[:, None], card.window_frames, axis=1)
    predicted = model.predict(np.stack([crop for crop, _ in cut]), windows)
    found = []
    for face, points, (_, affine) in zip(faces, predicted, cut, strict=True):
        difference = face.landmarks_px - crop_to_image(points, affine)
        found.append(difference @ np.linalg.inv(_eye_axes(face.landmarks_px)))
    return np.array(found)


def _eye_axes(landmarks_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Rows: from the right to the left outer eye corner, and a quarter turn from there; px."""
    right, left = OUTER_EYE_CORNERS
    along = landmarks_px[left].astype(np.float64) - landmarks_px[right]
    return np.array([along, [-along[1], along[0]]])
