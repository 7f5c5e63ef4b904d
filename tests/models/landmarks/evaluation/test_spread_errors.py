"""Calibration of spreads, with hand-computed values."""

import numpy as np
import pytest

from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.evaluation.face_errors import FaceErrors
from models.landmarks.evaluation.spread_errors import spread_errors, spread_scale


def _errors(distance_px: np.ndarray, spread_px: np.ndarray) -> FaceErrors:
    """One face whose outer eye corners are 100 px apart: a px is a percent."""
    truth = np.zeros((1, 68, 2))
    truth[0, 45, 0] = 100
    predicted = truth.copy()
    predicted[0, :, 1] += distance_px
    return FaceErrors([FaceOrigin()], predicted, truth, spread_px[None])


def test_a_spread_that_is_twice_the_error() -> None:
    distance = np.arange(68) / 10
    found = spread_errors(_errors(distance, 2 * distance))
    assert found is not None
    assert (found.landmarks, found.rank_correlation) == (68, pytest.approx(1.0))
    np.testing.assert_allclose(found.spread_percent, 2 * np.array(found.error_percent))
    assert spread_scale(_errors(distance, 2 * distance)) == pytest.approx(0.5, rel=0.01)
    assert found.error_percent[0] == pytest.approx(np.arange(14).mean() / 10)


def test_what_is_not_known_is_left_out() -> None:
    distance, spread = np.arange(68.0), np.arange(68.0)
    spread[60:] = np.nan
    found = spread_errors(_errors(distance, spread))
    assert found is not None and found.landmarks == 60
    assert spread_errors(_errors(distance, np.full(68, np.nan))) is None
    assert spread_scale(_errors(distance, np.full(68, np.nan))) == 1.0
