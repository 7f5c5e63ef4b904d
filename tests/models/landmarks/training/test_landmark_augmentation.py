import dataclasses

import numpy as np
import pytest

from models.crops import crop_to_image, sample_plane, square_affine
from models.face_box import DETECTOR_NOISE, box_from_landmarks
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.training.augmentation import (
    AugmentationStrength,
    augment,
    cut_crop,
    cut_patch,
    flip_landmarks,
    reverse_window,
)

_CARD = LandmarkCard(crop_scale=1.2, crop_size_px=64)
_STILL = AugmentationStrength(
    box_noise=DETECTOR_NOISE.widened(0),
    angle_deg=0.0,
    stretch=0.0,
    warp=0.0,
    motion=0.0,
    appearance=0.0,
)


def _labelled(size_px: int, offset: float = 0.0) -> LabelledFace:
    """A picture of smooth waves with points on a ring in its middle."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.stack([np.cos(angle), 0.9 * np.sin(angle)], axis=1)
    landmarks = (size_px / 2 + offset + size_px / 10 * ring).astype(np.float32)
    y, x = np.mgrid[:size_px, :size_px] / size_px
    waves = [np.sin(40 * x + 3), np.cos(31 * y), np.sin(25 * x + 30 * y)]
    image = (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)
    return LabelledFace("waves", image, landmarks, box_from_landmarks(landmarks))


def test_an_unvaried_sample_is_the_crop_of_production_or_its_mirror_image() -> None:
    face = _labelled(300)
    crop, affine = cut_crop(face, face.box_xyxy_px, _CARD)
    np.testing.assert_array_equal(
        crop,
        sample_plane(face.load(), square_affine(face.box_xyxy_px, scale=1.2, size_px=64), 64, 64),
    )
    mirrored = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        (sample,), landmarks = augment(face, rng, _CARD, _STILL)
        plain = np.array_equal(sample, crop)
        assert plain or np.array_equal(sample, crop[:, ::-1])
        if not plain:
            landmarks = flip_landmarks(landmarks, 64)
        np.testing.assert_allclose(crop_to_image(landmarks, affine), face.landmarks_px, atol=1e-3)
        mirrored.add(not plain)
    assert mirrored == {True, False}


def test_flipping_follows_the_layout() -> None:
    landmarks = np.arange(136, dtype=np.float32).reshape(68, 2)
    flipped = flip_landmarks(landmarks, 64)
    assert flipped[36].tolist() == [63 - landmarks[45, 0], landmarks[45, 1]]  # outer eye corners
    assert flipped[0].tolist() == [63 - landmarks[16, 0], landmarks[16, 1]]  # ends of the jaw
    np.testing.assert_array_equal(flip_landmarks(flipped, 64), landmarks)


@pytest.mark.parametrize("size_px", [120, 300, 1700])
def test_a_patch_gives_the_crop_that_the_picture_gives(size_px: int) -> None:
    face = _labelled(size_px, offset=0.3)
    patch = cut_patch(face)
    assert max(patch.load().shape) <= 2 * 288
    box = face.box_xyxy_px
    direct, affine = cut_crop(face, box, _CARD)
    through, affine_of_patch = cut_crop(patch, patch.box_xyxy_px, _CARD)
    inner = slice(2, -2)
    difference = np.abs(direct.astype(int) - through)[inner, inner]
    assert difference.mean() < 1.5
    centre = np.array([31.5, 31.5])
    shift = crop_to_image(centre, affine) - face.landmarks_px[0]
    of_patch = crop_to_image(centre, affine_of_patch) - patch.landmarks_px[0]
    np.testing.assert_allclose(shift / affine[0, 0], of_patch / affine_of_patch[0, 0], atol=1e-2)


def _dotted() -> LabelledFace:
    """A bright dot on landmark 5, all else dark."""
    size = 400
    face = _labelled(size)
    image = np.zeros((size, size, 3), np.uint8)
    x, y = np.round(face.landmarks_px[5]).astype(int)
    landmarks = face.landmarks_px.copy()
    landmarks[5] = (x, y)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    return LabelledFace("dot", image, landmarks, face.box_xyxy_px)


def test_landmarks_follow_the_pixels() -> None:
    """A bright dot on a landmark is still under it after rotation, shift, stretch and flip."""
    dotted = _dotted()
    strength = AugmentationStrength(appearance=0.0)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        (crop,), points = augment(dotted, rng, _CARD, strength)
        index = 5 if np.linalg.norm(points[5] - _centroid(crop)) < 3 else 11  # 11 mirrors 5
        np.testing.assert_allclose(points[index], _centroid(crop), atol=0.35)


def _centroid(crop: np.ndarray) -> np.ndarray:
    weight = crop[..., 0].astype(float)
    y, x = np.mgrid[:64, :64]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_samples_follow_from_the_seed() -> None:
    face = _labelled(200)

    def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        return augment(face, rng, _CARD, AugmentationStrength())

    for seed in range(20):
        crop, landmarks = draw(seed)
        assert crop.shape == (1, 64, 64, 3) and crop.dtype == np.uint8
        again, landmarks_again = draw(seed)
        np.testing.assert_array_equal(crop, again)
        np.testing.assert_array_equal(landmarks, landmarks_again)
    assert not np.array_equal(draw(0)[0], draw(1)[0])


def test_a_still_moves_evenly_through_its_window_and_is_labelled_in_the_last_frame() -> None:
    """The dot moves on a line at constant speed over three frames, and ends on the landmark."""
    dotted = _dotted()
    strength = AugmentationStrength(appearance=0.0, motion=0.02)
    speeds = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        crops, points = augment(dotted, rng, _CARD, strength, frames=3)
        path = np.stack([_centroid(crop) for crop in crops])
        index = 5 if np.linalg.norm(points[5] - path[-1]) < 3 else 11
        np.testing.assert_allclose(points[index], path[-1], atol=0.35)
        np.testing.assert_allclose(path[1] - path[0], path[2] - path[1], atol=0.5)
        speeds.append(np.linalg.norm(path[2] - path[1]))
    assert np.count_nonzero(np.array(speeds) > 0.3) >= 6


def test_frames_of_a_video_are_shown_as_they_were() -> None:
    """Two earlier frames, each cut by its own box; a third that is missing repeats the first."""
    dark, grey, light = (
        LabelledFace(
            "flat", np.full((90, 90, 3), value, np.uint8), face.landmarks_px, face.box_xyxy_px
        )
        for value, face in zip((10, 120, 240), 3 * [_labelled(90)], strict=True)
    )
    face = dataclasses.replace(light, earlier=(dark, grey))
    rng = np.random.default_rng(0)
    small = LandmarkCard(crop_scale=1.0, crop_size_px=16)
    crops, _ = augment(cut_patch(face), rng, small, _STILL, frames=4)
    assert [int(crop[8, 8, 0]) for crop in crops] == [10, 10, 120, 240]


def test_a_reversed_window_ends_on_what_was_its_first_frame() -> None:
    frames = [dataclasses.replace(_labelled(90, offset), name=str(offset)) for offset in range(4)]
    face = dataclasses.replace(frames[3], earlier=tuple(frames[:3]))
    back = reverse_window(face, 3)
    assert [f.name for f in (*back.earlier, back)] == ["3", "2", "1"]
    assert back.earlier[0].earlier == ()
    np.testing.assert_array_equal(back.landmarks_px, frames[1].landmarks_px)
    assert reverse_window(frames[0], 3).name == "0"  # a still
    strength = dataclasses.replace(_STILL, mirror=0.0, reversal=1.0)
    small = LandmarkCard(crop_scale=1.2, crop_size_px=32)
    rng = np.random.default_rng(0)
    turned, _ = augment(face, rng, small, strength, frames=3)
    strength = dataclasses.replace(strength, reversal=0.0)
    plain, _ = augment(face, rng, small, strength, frames=3)
    np.testing.assert_array_equal(turned, plain[::-1])
