import numpy as np
import pytest
from stabilizer_cases import make_face

from models.stabilization.fitting.metrics import resting, score_rest


def test_what_moves_does_not_rest():
    """Landmark 5 speeds by at 25 percent a second, the others hold still."""
    track = np.repeat(make_face()[None], 50, 0)
    track[:, 5, 0] += np.arange(50)
    rests = resting(track, 25.0)
    assert rests.shape == (48, 68)
    assert not rests[10:-10, 5].any()
    assert np.delete(rests, 5, axis=1).all()


def test_scores_by_hand():
    """Every landmark swings between 0 and 0.5: steps of 0.5, changes of step of 1."""
    track = np.repeat(make_face()[None], 30, 0)
    track[1::2] += [0.5, 0.0]
    scores = score_rest(track, np.ones((28, 68), bool))
    assert scores.landmark_frames == 28 * 68
    assert scores.step_percent == pytest.approx(0.5)
    assert scores.jitter_percent == pytest.approx(1.0)


def test_where_nothing_rests_there_is_no_score():
    track = np.repeat(make_face()[None], 5, 0)
    assert np.isnan(score_rest(track, np.zeros((3, 68), bool)).jitter_percent)
