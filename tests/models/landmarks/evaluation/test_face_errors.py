import dataclasses

import numpy as np
import pytest

from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.evaluation.face_errors import FaceErrors, errors_by_scale, labelled_groups
from schemas.landmarks import COMMON_LANDMARKS


def _truth(eyes_px: list[float]) -> np.ndarray:
    """(N, 68, 2): all landmarks at (0, 0) but the left eye's corner and the chin."""
    truth = np.zeros((len(eyes_px), 68, 2))
    truth[:, 45, 0] = eyes_px
    truth[:, 8, 1] = 0.75 * np.array(eyes_px)  # the box's diagonal is 1.25 times the eyes
    return truth


def _errors(eyes_px: list[float], off_px: list[float]) -> FaceErrors:
    truth = _truth(eyes_px)
    predicted = truth + np.array(off_px)[:, None, None] * [0.6, 0.8]
    return FaceErrors.of([FaceOrigin("set", str(i)) for i in range(len(eyes_px))], predicted, truth)


def test_both_normalizations_by_hand() -> None:
    errors = _errors([40, 80], [2, 2])
    assert errors.percent("interocular") == pytest.approx([5, 2.5])
    assert errors.percent("box-diagonal") == pytest.approx([4, 2])


def test_seven_landmarks_by_hand() -> None:
    truth = _truth([50])
    predicted = truth.copy()
    predicted[0, COMMON_LANDMARKS[0]] += (7, 0)
    errors = FaceErrors.of([FaceOrigin()], predicted, truth)
    assert errors.percent("interocular", 7) == pytest.approx([100 * (7 / 7) / 50])
    assert errors.percent("interocular") == pytest.approx([100 * (7 / 68) / 50])


def test_labels_that_lack_landmarks_and_missed_faces() -> None:
    truth = _truth([50, 50])
    rest = [i for i in range(68) if i not in COMMON_LANDMARKS]
    truth[:, rest] = np.nan
    predicted = np.zeros((2, 68, 2))
    predicted[1] = np.inf
    errors = FaceErrors.of([FaceOrigin()] * 2, predicted, truth)
    assert np.isnan(errors.percent("interocular")).all()
    assert np.isnan(errors.percent("box-diagonal", 7)).all()
    assert errors.percent("interocular", 7).tolist() == [100 * (50 / 7) / 50, np.inf]
    assert errors_by_scale(errors) == []


def test_groups_as_in_the_papers_tables() -> None:
    kinds = [("nothing", "neutral"), ("pitch", "neutral"), ("pitch", "happy"), ("nothing", "happy")]
    origins = [FaceOrigin("snap", movement=m, expression=e) for m, e in kinds]
    errors = FaceErrors.of(origins, np.zeros((4, 68, 2)), _truth([50] * 4))
    found = {
        name: [(origin.movement, origin.expression) for origin in group.origins]
        for name, group in labelled_groups(errors)
    }
    assert found == {
        "movement nothing": [kinds[0]],
        "movement pitch": [kinds[1]],
        "expression happy": [kinds[3]],
        "expression neutral": [kinds[0]],
    }


def test_categories_and_faces_without_any_label() -> None:
    errors = FaceErrors.joined([_errors([50], [1]), _errors([40, 50], [1, 1])])
    assert list(labelled_groups(errors)) == []
    origins = [FaceOrigin("300vw", category=category) for category in ("1", "3", "1")]
    named = dataclasses.replace(errors, origins=origins)
    groups = dict(labelled_groups(named))
    assert list(groups) == ["category 1", "category 3"]
    assert groups["category 1"].percent("interocular") == pytest.approx([2, 2])


def test_five_groups_by_size() -> None:
    sizes = [90.0, 10, 50, 30, 70, 20, 100, 60, 40, 80]
    off = [size / 10 for size in sizes]
    off[6] = np.inf
    scales = errors_by_scale(_errors(sizes, off))
    assert [scale.interocular_px for scale in scales] == [15, 35, 55, 75, 95]
    assert [scale.error_px for scale in scales] == pytest.approx([1.5, 3.5, 5.5, 7.5, 9])
    assert [(scale.faces, scale.missed) for scale in scales] == [(2, 0)] * 4 + [(2, 1)]
    assert errors_by_scale(_errors(sizes[:4], off[:4])) == []


def test_a_face_on_several_boxes_stays_in_one_group() -> None:
    once = _errors([10, 20, 30, 40, 50], [1, 2, 3, 4, np.inf])
    again = _errors([10, 20, 30, 40, 50], [3, 4, 5, 6, 7])
    scales = errors_by_scale(FaceErrors.joined([once, again]))
    assert [scale.error_px for scale in scales] == pytest.approx([2, 3, 4, 5, 7])
    assert [(scale.faces, scale.missed) for scale in scales] == [(1, 0)] * 4 + [(1, 1)]


def test_openings_by_hand() -> None:
    """An eye 10 wide and 3 high, lips 20 wide and 4 high; the prediction shuts both."""
    truth = np.zeros((1, 68, 2))
    for upper, lower, left in (((37, 38), (41, 40), 39), ((43, 44), (47, 46), 45)):
        truth[0, left, 0] = 10
        truth[0, [*upper]] = [[3, 0], [7, 0]]
        truth[0, [*lower]] = [[3, 3], [7, 3]]
    truth[0, 64, 0] = 20
    truth[0, 61:64] = [[5, 0], [10, 0], [15, 0]]
    truth[0, 65:68] = [[15, 4], [10, 4], [5, 4]]
    shut = truth.copy()
    shut[..., 1] = 0
    errors = FaceErrors.of([FaceOrigin()], shut, truth)
    assert errors.opening_errors()["eyes"] == pytest.approx([0.3])
    assert errors.opening_errors()["mouth"] == pytest.approx([0.2])
    missed = FaceErrors.of([FaceOrigin()], np.full_like(truth, np.inf), truth)
    assert np.isinf(missed.opening_errors()["eyes"]).all()
