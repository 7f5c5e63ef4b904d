import numpy as np
import pytest

from models.stabilization.mode_smoother import TRUSTED_DEVIATIONS, lid_noise, restore_lids

UPPER, LOWER, CORNERS = [37, 38], [40, 41], [36, 39]


def _difference(upper_px: float, lower_px: float, corners_px: float) -> np.ndarray:
    """What the right eye of one frame differs by along y: (1, 68, 2)."""
    seen = np.zeros((1, 68, 2))
    for points, moved in ((UPPER, upper_px), (LOWER, lower_px), (CORNERS, corners_px)):
        seen[:, points, 1] = moved
    return seen


def test_what_is_noise_stays_smooth() -> None:
    smooth = np.zeros((1, 68, 2))
    restore_lids(smooth, _difference(TRUSTED_DEVIATIONS * 0.4 * 0.99, 0.0, 0.0), np.array([0.4]))
    assert not smooth.any()


def test_more_than_noise_is_given_back_nearly_whole() -> None:
    smooth = np.zeros((1, 68, 2))
    trusted = TRUSTED_DEVIATIONS * 0.4
    restore_lids(smooth, _difference(4 * trusted, 0.0, 0.0), np.array([0.4]))
    expected = np.zeros((1, 68, 2))
    expected[:, UPPER, 1] = 4 * trusted * (1 - 1 / 16)
    assert smooth == pytest.approx(expected)


def test_each_lid_moves_as_it_differs_and_the_other_eye_not() -> None:
    smooth = np.zeros((1, 68, 2))
    restore_lids(smooth, _difference(6.0, -2.0, 0.0), np.array([0.0]))
    assert smooth == pytest.approx(_difference(6.0, -2.0, 0.0))


def test_a_head_that_jitters_moves_no_lid() -> None:
    smooth = np.zeros((1, 68, 2))
    restore_lids(smooth, _difference(5.0, 5.0, 5.0), np.array([0.1]))
    assert not smooth.any()


def test_the_noise_of_an_opening() -> None:
    # Independent landmarks of variance 1: the mean of two less the mean of two has variance 1.
    assert lid_noise(np.eye(136), np.ones(136)) == pytest.approx(1.0)
    assert lid_noise(np.eye(136), np.full(136, 4.0)) == pytest.approx(2.0)
    # A mode that moves all landmarks alike changes no opening.
    assert lid_noise(np.full((136, 1), 0.1), np.array([9.0])) == pytest.approx(0.0)
