import dataclasses

import numpy as np

from models.synthesis.animated_faces import changes_of_pose, moved_pose
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from models.synthesis.expression_mesh import ExpressionMesh
from models.synthesis.face_animation import head_map
from models.synthesis.face_motion import Pose

_LAST = Pose(mouth_open=0.3, blink=0.3)
_BEFORE = Pose(yaw_deg=4, pitch_deg=-2, roll_deg=3, mouth_open=0.6, brow_raise=0.4, blink=0.5)


def _track() -> np.ndarray:
    """Two frames of the astronaut: small, upside down, shifted."""
    mesh = ExpressionMesh(ASTRONAUT_LANDMARKS_PX)
    frames = [head_map(mesh.move(pose)[:68], pose) for pose in (_BEFORE, _LAST)]
    return -0.3 * np.stack(frames) + [900, 500]


def test_the_motion_of_an_animation_is_found_again() -> None:
    before, last = changes_of_pose(_track())
    np.testing.assert_array_equal(last, 0)
    np.testing.assert_allclose(before[:3], [4, -2, 3], atol=0.8)  # degrees
    expected = [0.3, 0.0, 0.4, 0.2]  # mouth opens, no narrower; brows; lids
    np.testing.assert_allclose(before[6:], expected, atol=0.1)


def test_a_shift_of_the_whole_picture_is_a_shift_of_the_head() -> None:
    track = np.stack([ASTRONAUT_LANDMARKS_PX + [3, -2], ASTRONAUT_LANDMARKS_PX])
    change, _ = changes_of_pose(track)
    assert abs(change[6:]).max() < 0.1
    mesh = ExpressionMesh(ASTRONAUT_LANDMARKS_PX)
    pose = moved_pose(Pose(), change)
    moved = head_map(mesh.move(pose)[:68], pose)
    assert np.linalg.norm(moved - track[0], axis=-1).mean() < 0.5


def test_poses_stay_within_what_an_animation_bears() -> None:
    assert moved_pose(_LAST, np.zeros(10)) == dataclasses.replace(_LAST, head_scale=1.0)
    wild = moved_pose(Pose(), np.full(10, 100.0))
    assert (wild.yaw_deg, wild.mouth_open, wild.blink) == (20, 1, 1)
    assert moved_pose(Pose(), np.full(10, -100.0)).blink == 0
