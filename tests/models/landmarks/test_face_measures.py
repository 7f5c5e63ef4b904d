import numpy as np
import pytest

from models.landmarks.face_measures import (
    eye_openings,
    mouth_opening,
    rate_of_change,
    turn_rate_deg,
    visible_share,
)


def face(**points: tuple[float, float]) -> np.ndarray:
    """(1, 68, 2) with some landmarks by number, `p36=(x, y)`."""
    landmarks = np.zeros((1, 68, 2))
    for name, xy in points.items():
        landmarks[0, int(name[1:])] = xy
    return landmarks


def test_openings_by_hand():
    """A right eye 10 wide, 2 and 4 high; a left one that is shut; lips 8 wide, 1, 2 and 3 apart."""
    eyes = face(
        p36=(0, 0), p39=(10, 0), p37=(3, -1), p41=(3, 1), p38=(7, -2), p40=(7, 2),
        p42=(20, 0), p45=(30, 0), p43=(23, 0), p47=(23, 0), p44=(27, 0), p46=(27, 0),
    )  # fmt: skip
    assert eye_openings(eyes) == pytest.approx(np.array([[0.3, 0.0]]))
    lips = face(
        p60=(0, 0), p64=(0, 8), p61=(0, 2), p67=(1, 2), p62=(0, 4), p66=(2, 4), p63=(0, 6),
        p65=(3, 6),
    )  # fmt: skip
    assert mouth_opening(lips) == pytest.approx([2 / 8])
    assert np.isnan(mouth_opening(np.zeros((1, 68, 2)))).all()


def test_rates_by_hand():
    """Two faces; the second has a gap, followed by a single row."""
    values = np.array([[0.0, 0], [3, 4], [6, 8], [1, 1], [2, 1], [9, 9]])
    seconds = np.array([0.0, 0.1, 0.3, 0.0, 0.1, 5.0])
    track = np.array([0, 0, 0, 1, 1, 1])
    rates = rate_of_change(values, seconds, track)
    assert rates[:5] == pytest.approx([50, 10 / 0.3, 25, 10, 10])
    assert np.isnan(rates[5])


def test_turns_by_hand():
    seconds, track = np.arange(4) / 10, np.zeros(4, int)
    pose = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 0, 3]])
    rates = turn_rate_deg(pose, seconds, track)
    assert rates[:2] == pytest.approx([10, 10])
    assert rates[3] == pytest.approx(30)
    wrapped = turn_rate_deg(np.array([[0, 0, 179.0], [0, 0, -179.0]]), seconds[:2], track[:2])
    assert wrapped == pytest.approx([20, 20])
    assert np.isnan(turn_rate_deg(np.full((2, 3), np.nan), seconds[:2], track[:2])).all()


def test_visibility_by_hand():
    """17 landmarks left of the frame, 17 others unsure."""
    points = np.full((1, 68, 2), 50.0)
    points[0, :17, 0] = -1
    spread = np.full((1, 68), 4.9)
    spread[0, 17:34] = 5.1
    box = np.array([[0.0, 0.0, 80.0, 100.0]])
    assert visible_share(points, spread, box, (100, 100)) == pytest.approx([0.5])
    assert visible_share(points, spread, box, (51, 100)) == pytest.approx([0.5])
    assert visible_share(points, spread, box, (50, 100)) == pytest.approx([0.0])
    assert visible_share(points, spread, box, None) == pytest.approx([0.75])
    assert visible_share(points, spread * np.nan, box, None) == pytest.approx([1.0])
