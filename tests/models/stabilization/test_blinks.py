"""Blinks of the animated sample, with simulated network noise: no stabilizer removes them."""

import numpy as np
import pytest

from models.landmarks.face_measures import eye_openings
from models.stabilization.stabilizers import stabilize_track, stabilizer_factory
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from models.synthesis.expression_mesh import ExpressionMesh
from models.synthesis.face_animation import head_map
from models.synthesis.face_motion import pose_at

FPS = 25


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """(250, 68, 2) px: ten seconds with five blinks of 7 frames, the eyes 65 px apart."""
    mesh = ExpressionMesh(ASTRONAUT_LANDMARKS_PX)
    poses = [pose_at(frame / FPS) for frame in range(10 * FPS)]
    return np.stack([head_map(mesh.move(pose)[:68], pose) for pose in poses])


@pytest.mark.parametrize("noise_px", [0.0, 0.3])
def test_the_default_lets_lids_meet(truth: np.ndarray, noise_px: float) -> None:
    seen = truth + np.random.default_rng(0).normal(0, noise_px, truth.shape)
    steady = stabilize_track(stabilizer_factory("rts")(), np.arange(len(seen)) / FPS, seen)
    opening = eye_openings(steady).mean(-1)
    expected = eye_openings(truth).mean(-1)
    shut = expected < 0.05
    assert shut.sum() >= 5 and expected.max() > 0.25
    assert opening[shut].max() < 0.07
    assert np.corrcoef(opening, expected)[0, 1] > 0.97
