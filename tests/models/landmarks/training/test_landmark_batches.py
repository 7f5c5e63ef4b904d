import dataclasses

import numpy as np
import pytest
import torch

from models.face_box import box_from_landmarks
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.training.augmentation import AugmentationStrength
from models.landmarks.training.batches import BatchLoader, WindowBatches
from models.landmarks.training.recipes import MODERN, Recipe

_CARD = LandmarkCard(crop_scale=1.1, crop_size_px=32)
_VARIED = dataclasses.replace(MODERN, batch_size=3, strength=AugmentationStrength())
_STILL = dataclasses.replace(MODERN, strength=AugmentationStrength(appearance=0.0), fade=0.0)


def _face(grey: int) -> LabelledFace:
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    landmarks = (50 + 20 * ring).astype(np.float32)
    image = np.full((100, 100, 3), grey, np.uint8)
    return LabelledFace(f"grey {grey}", image, landmarks, box_from_landmarks(landmarks))


def _batches(
    faces: list[LabelledFace], weights: list[float], recipe: Recipe, frames: int = 1
) -> WindowBatches:
    return WindowBatches(faces, weights, _CARD, recipe, seed=7, frames=frames)


def test_shapes_and_units() -> None:
    crops, landmarks = _batches([_face(90)], [1.0], _VARIED, 2)[0, 0.0]
    assert crops.shape == (3, 2, 32, 32, 3) and crops.dtype == torch.uint8
    assert landmarks.shape == (3, 68, 2) and landmarks.dtype == torch.float32
    assert (
        landmarks.abs().max() < 1 and landmarks.mean().abs() < 0.2
    )  # crop units, about the middle


def test_a_batch_follows_from_seed_and_step_whoever_makes_it() -> None:
    batches = _batches([_face(60), _face(180)], [1, 1], _VARIED, 2)
    places = [(4, 0.0), (5, 0.1), (6, 0.2)]
    here = [batches[place] for place in places]
    for workers in (0, 2):
        loader = BatchLoader(batches, workers=workers)
        for part in (places[:2], places[2:]):
            for place, theirs in zip(part, loader.load(part), strict=True):
                ours = here[places.index(place)]
                assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert not torch.equal(here[0][1], here[1][1])


def test_weights_of_faces_are_obeyed() -> None:
    faces = [_face(10), _face(20), _face(60)]
    still = dataclasses.replace(_STILL, batch_size=4)
    crops, _ = _batches(faces, [0, 0, 1], still)[0, 0.0]
    assert {int(value) for value in crops[:, 0, 16, 16].flatten()} == {60}
    with pytest.raises(ValueError, match=r"got shape \(2,\) for 3 faces"):
        _batches(faces, [1, 2], still)


def test_passes_take_every_face_once_in_another_order_each_time() -> None:
    greys = [20, 60, 100, 140, 180]
    recipe = dataclasses.replace(_STILL, batch_size=2, passes=2)
    batches = _batches([_face(grey) for grey in greys], [1, 0, 0, 0, 0], recipe)
    seen = [int(value) for step in range(5) for value in batches[step, 0.0][0][:, 0, 16, 16, 0]]
    assert sorted(seen[:5]) == sorted(seen[5:]) == greys  # a batch extends into the next pass
    assert seen[:5] != seen[5:]
    assert [int(v) for v in batches[1, 0.0][0][:, 0, 16, 16, 0]] == seen[2:4]  # in any order
