"""Faces, parameters and tracks for the tests of stabilizers."""

from __future__ import annotations

import numpy as np

from models.face_box import face_size_px
from models.stabilization.bayesian_filter import FilterParameters
from models.stabilization.mode_smoother import SmootherParameters
from models.synthesis.motion_tracks import MotionTrack


def make_face(size: float = 100.0) -> np.ndarray:
    """(68, 2) points about the origin, of a face of that size."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([np.cos(angle), 1.2 * np.sin(2 * angle + 0.3)], 1)
    return points * (size / face_size_px(points))


def make_basis(seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(136, 136)))[0]


def make_filter(components: int = 2, seed: int = 0) -> FilterParameters:
    rng = np.random.default_rng(seed)
    prior = np.sort(rng.uniform(0.01, 6.0, (components, 136)), axis=0)
    shares = rng.uniform(0.5, 1, components)
    return FilterParameters(
        make_basis(seed),
        0.6,
        shares / shares.sum(),
        prior,
        rng.uniform(0.5, 2.0, 136),
        rng.uniform(0.5, 2.0, 20),
    )


def make_smoother(seed: int = 0) -> SmootherParameters:
    rng = np.random.default_rng(seed)
    return SmootherParameters(make_basis(seed), rng.uniform(0.2, 2.0, 136))


def make_track(
    frames: int = 60, *, fps: float = 25.0, size: float = 100.0, noise: float = 1.0, seed: int = 0
) -> MotionTrack:
    """A face that rests, then moves back and forth, with white noise (percent of its size)."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / fps
    way = np.where(t < t.mean(), 0.0, 12 * np.sin(2 * np.pi * 0.8 * (t - t.mean())))
    truth = make_face() + way[:, None, None] * [1.0, 0.4]
    raw = truth + rng.normal(0, noise, truth.shape)
    return MotionTrack(f"made {seed}", fps, truth * size / 100, raw * size / 100)
