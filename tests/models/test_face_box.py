import dataclasses

import numpy as np
import pytest

from models.face_box import DETECTOR_NOISE, BoxNoise, box_from_landmarks, jitter_box


def _landmarks() -> np.ndarray:
    """Extents 0..100 x 0..80, nose tip at x = 60, eyes at y = 20: values easy to follow."""
    landmarks = np.full((68, 2), 40.0)
    landmarks[0], landmarks[16] = (0, 0), (100, 80)
    landmarks[30] = (60, 40)
    landmarks[36:48, 1] = 20
    return landmarks


def test_box_is_the_stated_linear_function() -> None:
    width = 0.65 * 100 + 0.295 * 80
    height = 0.30 * 100 + 1.01 * 80
    centre_x = 50 + 0.11 * (60 - 50)
    centre_y = 40 + 0.57 * (20 - 40)
    expected = [
        centre_x - width / 2,
        centre_y - height / 2,
        centre_x + width / 2,
        centre_y + height / 2,
    ]
    np.testing.assert_allclose(box_from_landmarks(_landmarks()), expected, rtol=1e-6)


def test_box_moves_and_grows_with_the_face() -> None:
    landmarks = _landmarks()
    box = box_from_landmarks(landmarks)
    both = box_from_landmarks(np.stack([landmarks, 3 * landmarks + [7, -5]]))
    np.testing.assert_allclose(both[0], box, rtol=1e-6)
    np.testing.assert_allclose(both[1], 3 * box + [7, -5, 7, -5], rtol=1e-5)


def test_jitter_has_the_stated_deviations() -> None:
    rng = np.random.default_rng(0)
    noise = BoxNoise(shift_x=0.02, shift_y=0.03, log_size=0.05, log_aspect=0.06)
    draws = np.stack([jitter_box([100, 50, 180, 150], rng, noise) for _ in range(4000)])
    size = draws[:, 2:] - draws[:, :2]
    centre = (draws[:, 2:] + draws[:, :2]) / 2
    measured = {
        "shift_x": ((centre[:, 0] - 140) / 100).std(),
        "shift_y": ((centre[:, 1] - 100) / 100).std(),
        "log_size": np.log(np.sqrt(size.prod(1) / 8000)).std(),
        "log_aspect": np.log(size[:, 0] / size[:, 1]).std(),
    }
    assert measured == pytest.approx(dataclasses.asdict(noise), rel=0.06)
    assert centre.mean(0) == pytest.approx([140, 100], abs=0.2)


def test_no_noise_leaves_the_box() -> None:
    still = DETECTOR_NOISE.widened(0)
    box = jitter_box([1, 2, 11, 22], np.random.default_rng(0), still)
    np.testing.assert_allclose(box, [1, 2, 11, 22])
