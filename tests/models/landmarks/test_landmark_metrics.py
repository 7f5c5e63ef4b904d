import numpy as np
import pytest

from models.landmarks.metrics import nrmse_percent, summarize_errors


def _truth() -> np.ndarray:
    truth = np.zeros((2, 68, 2))
    truth[:, 36] = (10, 0)
    truth[:, 45] = (50, 30)  # interocular distance 50
    return truth


def test_nrmse_is_the_mean_distance_over_the_interocular_distance() -> None:
    truth = _truth()
    predicted = truth.copy()
    predicted[0, :34] += (3, 4)  # half the landmarks are 5 px off
    predicted[1] += (0, 1)
    assert nrmse_percent(predicted, truth) == pytest.approx([100 * 2.5 / 50, 100 * 1 / 50])


def test_nrmse_rejects_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"got \(1, 68, 2\), expected \(2, 68, 2\)"):
        nrmse_percent(_truth()[:1], _truth())


def test_summary_by_hand() -> None:
    summary = summarize_errors(np.array([2.0, 4.0, 9.0, 5.0]))
    assert summary.nrmse_mean == 5.0
    assert summary.nrmse_median == 4.5
    assert summary.auc8_percent == pytest.approx(100 * (0.75 + 0.5 + 0 + 0.375) / 4)
    assert summary.fr8_percent == 25.0


def test_missed_faces_count_as_failures() -> None:
    summary = summarize_errors(np.array([4.0, np.inf]))
    assert (summary.predictions, summary.missed) == (1, 1)
    assert summary.nrmse_mean == 4.0
    assert summary.auc8_percent == 25.0
    assert summary.fr8_percent == 50.0


def test_summary_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected some"):
        summarize_errors(np.array([np.inf]))
