import numpy as np
import pytest

from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.evaluation.face_errors import FaceErrors, stability_percent


def _faces(off_px: list[float], frames: list[int], face: int = 0) -> FaceErrors:
    truth = np.zeros((len(frames), 68, 2))
    truth[:, 45, 0] = 50
    truth += np.array(frames)[:, None, None]  # the face moves; its tracks follow it
    predicted = truth.copy()
    predicted[..., 0] += np.array(off_px)[:, None]
    return FaceErrors.of([FaceOrigin("s", "v", n, face) for n in frames], predicted, truth)


def test_stability_by_hand() -> None:
    steady = stability_percent(_faces([3, 3, 3], [0, 1, 2]))
    assert steady == {68: 0, 7: 0}
    # steps of 1 and 2 px over eyes 50 px apart
    assert stability_percent(_faces([0, 1, -1], [0, 1, 2]))[68] == pytest.approx(100 * 1.5 / 50)


def test_stability_leaves_out_gaps_and_missed_faces() -> None:
    faces = _faces([0, 1, 5, np.inf, 9, 10], [0, 1, 3, 4, 5, 6])
    faces.predicted_px[3] = np.inf
    assert stability_percent(faces)[7] == pytest.approx(100 * 1 / 50)
    assert np.isnan(stability_percent(_faces([0, 1], [0, 2]))[68])
    assert faces.percent("interocular").tolist() == [0, 2, 10, np.inf, 18, 20]


def test_stability_of_two_faces_in_turns() -> None:
    one, other = _faces([0, 1, 2], [0, 1, 2]), _faces([9, 9, 9], [0, 1, 2], face=1)
    order = [0, 3, 1, 4, 2, 5]
    both = FaceErrors.of(
        [[*one.origins, *other.origins][i] for i in order],
        np.concatenate([one.predicted_px, other.predicted_px])[order],
        np.concatenate([one.truth_px, other.truth_px])[order],
    )
    assert stability_percent(both)[68] == pytest.approx((100 * 1 / 50 + 0) / 2)
