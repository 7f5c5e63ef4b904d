import numpy as np
import pytest

from models.landmarks.head_pose import head_pose, pose_rotation
from models.landmarks.mean_face import MEAN_FACE
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import pose_at
from schemas.landmarks import FLIP_PERMUTATION, LANDMARKS

MIRRORED = [-1.0, 1.0]


def seen_by_the_camera(pose_deg: np.ndarray) -> np.ndarray:
    """(N, 68, 2) px: the mean face, seen from five times its extent."""
    turned = MEAN_FACE @ np.swapaxes(pose_rotation(pose_deg), 1, 2)
    at = np.tile([0.0, 0.0, 5.0], (len(turned), 1))
    for _ in range(200):
        placed = turned + at[:, None]
        points = placed[..., :2] / placed[..., 2:]
        low, high = points.min(1), points.max(1)
        at[:, 2] *= 5 * (high - low).max(1)
        at[:, :2] -= (low + high) / 2 * at[:, 2:]
    return points * 700 + [320.0, 240.0]


def test_rotations_by_hand():
    """A turn to its own right moves the nose left, looking down moves it down, ..."""
    nose, ear = np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0])
    assert pose_rotation(np.array([90.0, 0, 0])) @ nose == pytest.approx([-1, 0, 0])
    assert pose_rotation(np.array([0, 90.0, 0])) @ nose == pytest.approx([0, 1, 0])
    assert pose_rotation(np.array([0, 0, 90.0])) @ ear == pytest.approx([0, 1, 0])  # clockwise
    assert pose_rotation(np.array([30.0, 40.0, 90.0])) == pytest.approx(
        pose_rotation(np.array([0, 0, 90.0])) @ pose_rotation(np.array([30.0, 40.0, 0]))
    )


def test_a_face_turned_by_hand():
    """A nose left of the eyes' middle: turned to its right; a lower nose: looking down."""
    still = 100 * MEAN_FACE[:, :2]
    right, down = still.copy(), still.copy()
    right[LANDMARKS.nose, 0] -= 10
    down[LANDMARKS.nose, 1] += 10
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pose = head_pose(np.stack([still, right, down, still @ turn.T]))
    assert pose[0] == pytest.approx([0, 0, 0], abs=4)  # without perspective
    assert pose[1, 0] > 5
    assert pose[2, 1] > pose[0, 1] + 5
    assert pose[3] - pose[0] == pytest.approx([0, 0, 30], abs=1)


def test_every_pose_is_found():
    rng = np.random.default_rng(0)
    truth = rng.uniform([-85, -60, -180], [85, 60, 180], (300, 3))
    assert head_pose(seen_by_the_camera(truth)) == pytest.approx(truth, abs=1e-6)


def test_place_and_size_and_the_other_faces_do_not_matter():
    points = seen_by_the_camera(np.array([[20.0, 10.0, -30.0], [-5.0, 3.0, 2.0]]))
    pose = head_pose(points)
    assert head_pose(0.1 * points[:1] + [1000.0, -50.0]) == pytest.approx(pose[:1], abs=1e-6)
    assert head_pose(points[1:]) == pytest.approx(pose[1:], abs=1e-9)
    narrow = points / [1.5, 1.0]
    assert head_pose(narrow, pixel_aspect=1.5) == pytest.approx(pose, abs=1e-6)


def test_a_mirrored_face_has_mirrored_angles():
    points = seen_by_the_camera(np.array([[20.0, 10.0, -30.0]]))
    mirrored = points[:, FLIP_PERMUTATION] * MIRRORED
    assert head_pose(mirrored) == pytest.approx(np.array([[-20.0, 10.0, 30.0]]), abs=1e-6)
    np.testing.assert_array_equal(MEAN_FACE[FLIP_PERMUTATION] * [-1, 1, 1], MEAN_FACE)


def test_no_face_has_no_pose_and_spoils_no_other():
    sound = seen_by_the_camera(np.array([[20.0, 10.0, -30.0]]))[0]
    line = np.tile(np.arange(68.0)[:, None], (1, 2))
    missing = sound.copy()
    missing[30] = np.nan
    far = sound.copy()
    far[3] = np.inf
    pose = head_pose(np.stack([np.zeros((68, 2)), line, sound, missing, far]))
    assert np.isnan(pose).all(1).tolist() == [True, True, False, True, True]
    assert pose[2] == pytest.approx([20, 10, -30], abs=1e-6)
    assert head_pose(np.empty((0, 68, 2))).shape == (0, 3)


def test_the_sample_within_three_degrees_and_without_flips():
    """Its depth is an artificial dome; its zero is the photograph, ours the median of 300W."""
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    poses = [pose_at(i / 25) for i in range(250)]
    truth = np.array([(p.yaw_deg, p.pitch_deg, p.roll_deg + p.camera_roll_deg) for p in poses])
    error = head_pose(np.stack([animation.landmarks(p, 512) for p in poses])) - truth
    assert (np.abs(error).mean(0) < 3).all()
    assert np.abs(np.diff(error, axis=0)).max() < 3
