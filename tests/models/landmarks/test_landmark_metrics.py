import numpy as np
import pytest

from models.landmarks.metrics import (
    box_diagonal_px,
    interocular_px,
    nrmse_percent,
    summarize_errors,
)


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


def test_the_lengths_of_the_normalizations() -> None:
    truth = _truth()
    truth[1, 8] = (80, 60)
    assert interocular_px(truth).tolist() == [50, 50]
    assert box_diagonal_px(truth) == pytest.approx([np.hypot(50, 30), 100])
    truth[1, 8] = np.nan
    assert np.isnan(box_diagonal_px(truth)).tolist() == [False, True]


def test_nrmse_rejects_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"got \(1, 68, 2\), expected \(2, 68, 2\)"):
        nrmse_percent(_truth()[:1], _truth())


def test_summary_by_hand() -> None:
    summary = summarize_errors(np.array([2.0, 4.0, 9.0, 5.0]))
    assert summary.nrmse_mean == 5.0
    assert summary.nrmse_median == 4.5
    assert summary.auc8_percent == pytest.approx(100 * (0.75 + 0.5 + 0 + 0.375) / 4)
    assert summary.fr8_percent == 25.0
    assert summary.auc4_percent == pytest.approx(100 * 0.5 / 4)
    assert summary.fr4_percent == 50.0


def test_missed_faces_count_as_failures() -> None:
    summary = summarize_errors(np.array([4.0, np.inf]))
    assert (summary.predictions, summary.missed) == (1, 1)
    assert summary.nrmse_mean == 4.0
    assert summary.auc8_percent == 25.0
    assert summary.fr8_percent == 50.0


def test_all_missed() -> None:
    summary = summarize_errors(np.array([np.inf, np.inf]))
    assert (summary.predictions, summary.missed, summary.fr8_percent) == (0, 2, 100.0)
    assert np.isnan(summary.nrmse_mean)


@pytest.mark.parametrize("errors", [[], [1.0, np.nan]])
def test_summary_of_what_was_not_measured_is_an_error(errors: list[float]) -> None:
    with pytest.raises(ValueError, match="expected some"):
        summarize_errors(np.array(errors))
