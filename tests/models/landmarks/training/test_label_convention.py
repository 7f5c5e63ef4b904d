"""Conversion of labels between conventions, in the frame of the eyes."""

import dataclasses

import numpy as np
import pytest

from models.crops import image_to_crop
from models.landmarks.datasets.labelled_face import FaceOrigin, LabelledFace
from models.landmarks.model import load_landmark_model
from models.landmarks.training.augmentation import cut_crop
from models.landmarks.training.label_convention import convention_offsets, moved_to_convention


def _face(points: np.ndarray) -> LabelledFace:
    image = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)
    return LabelledFace.from_landmarks("a", image, points.astype(np.float32), FaceOrigin())


def _points(right: tuple[float, float], left: tuple[float, float]) -> np.ndarray:
    points = np.random.default_rng(1).uniform(30, 90, (68, 2))
    points[36], points[45] = right, left
    return points


def test_offsets_follow_the_eyes() -> None:
    """A tenth of the distance along the eyes: right on an upright face, down on a rolled one."""
    offsets = np.zeros((68, 2))
    offsets[8] = [0.1, 0.0]
    offsets[9] = [0.0, 0.1]
    upright = _face(_points((40, 50), (80, 50)))
    turned = _face(_points((50, 40), (50, 60)))
    for face, along, across in ((upright, (4, 0), (0, 4)), (turned, (0, 2), (-2, 0))):
        moved = moved_to_convention(face, offsets)
        difference = face.landmarks_px - moved.landmarks_px
        np.testing.assert_allclose(difference[8], along, atol=1e-5)
        np.testing.assert_allclose(difference[9], across, atol=1e-5)
        np.testing.assert_array_equal(np.delete(difference, [8, 9], axis=0), 0)
        np.testing.assert_array_equal(moved.box_xyxy_px, face.box_xyxy_px)


def test_what_a_network_predicts_is_its_own_convention() -> None:
    """Faces labelled by the network, with the same offset on each label, except for one face."""
    model = load_landmark_model()
    card = model.card
    truth = np.zeros((68, 2))
    truth[:17] = [0.05, -0.02]
    faces = []
    for seed in range(5):
        face = _face(_points((40, 50 + seed), (80, 50)))
        crop, affine = cut_crop(face, face.box_xyxy_px, card)
        (predicted,) = model.predict(crop[None], np.zeros((1, card.window_frames), np.intp))
        inverse = np.linalg.inv(np.vstack([affine, [0, 0, 1]]))[:2]
        labels = image_to_crop(predicted, inverse).astype(np.float32)  # the other way round
        labelled = dataclasses.replace(face, landmarks_px=labels)
        far = 10 if seed == 0 else 1
        faces.append(moved_to_convention(labelled, -far * truth))
    # The eyes do not move, so neither does the frame.
    np.testing.assert_allclose(convention_offsets(model, faces), truth, atol=1e-4)
    with pytest.raises(ValueError, match="got none"):
        convention_offsets(model, [])
