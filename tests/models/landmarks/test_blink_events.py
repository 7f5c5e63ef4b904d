import numpy as np
import pytest

from models.landmarks.blinks import Blink, find_blinks
from models.landmarks.face_measures import eye_openings
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import pose_at

FPS = 25


def openings(frames: int, dips: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    opening = np.full(frames, 0.4)
    for at, share in dips.items():
        opening[at] *= share
    return opening, np.arange(frames) / FPS


def test_a_blink_by_hand():
    found = find_blinks(*openings(100, {50: 0.79, 51: 0.3, 52: 0.5, 53: 0.79, 54: 0.85}))
    assert found == [Blink(50, 54, 51, pytest.approx(0.7))]


@pytest.mark.parametrize(
    "dips",
    [
        {50: 0.61},  # not deep enough
        {50 + i: 0.2 for i in range(20)},  # too long
        dict.fromkeys(range(4), 0.2),  # its start is missing
        {99 - i: 0.2 for i in range(4)},  # its end is missing
        {50: np.nan},
    ],
)
def test_what_is_no_blink(dips):
    assert find_blinks(*openings(100, dips)) == []


def test_short_and_sparse_stretches_have_none():
    opening, seconds = openings(100, {50: 0.2})
    assert len(find_blinks(opening, 2.9 * seconds)) == 1
    assert find_blinks(opening, 3.1 * seconds) == []
    assert find_blinks(opening[:2], seconds[:2]) == []
    assert find_blinks(opening[:0], seconds[:0]) == []
    assert find_blinks(np.full(50, np.nan), seconds[:50]) == []


def test_the_blinks_of_the_sample_are_found_in_noisy_landmarks():
    """F1 against the animation's own blinks, with errors of 1.5 % of the eye distance."""
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    seconds = np.arange(500) / FPS
    poses = [pose_at(at) for at in seconds]
    points = np.stack([animation.landmarks(pose, 512) for pose in poses])
    eyes_px = np.linalg.norm(points[0, 36] - points[0, 45])
    points += np.random.default_rng(0).normal(0, 0.015 * eyes_px / np.sqrt(2), points.shape)
    found = find_blinks(eye_openings(points).mean(1), seconds)
    shut = np.flatnonzero([pose.blink > 0.5 for pose in poses])
    truth = np.split(shut, np.flatnonzero(np.diff(shut) > 1) + 1)
    hits = sum(any(b.start <= t[-1] and t[0] < b.stop for b in found) for t in truth)
    assert len(truth) == 10
    assert 2 * hits / (len(found) + len(truth)) >= 0.9
