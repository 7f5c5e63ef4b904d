"""Painted occluders cover the landmarks that they declare, and few others."""

import numpy as np
import pytest

from models.landmarks.training.occluders import occlude_landmarks

#: Landmarks that each occluder hides.
HIDDEN = {
    "sunglasses": tuple(range(36, 48)),
    "mask": (*range(4, 13), *range(48, 68)),
}


def _face() -> np.ndarray:
    """(68, 2) landmarks of a plain face in a crop of 128 px."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([64 + 40 * np.cos(angle), 55 + 50 * np.sin(angle)], 1)
    points[17:22] = np.stack([np.linspace(30, 56, 5), np.full(5, 38)], 1)
    points[22:27] = np.stack([np.linspace(72, 98, 5), np.full(5, 38)], 1)
    points[27:31] = np.stack([np.full(4, 64), np.linspace(46, 66, 4)], 1)
    points[31:36] = np.stack([np.linspace(56, 72, 5), np.full(5, 70)], 1)
    for start, x in ((36, 44), (42, 84)):
        turn = np.linspace(np.pi, 3 * np.pi, 6, endpoint=False)
        points[start : start + 6] = np.stack([x + 8 * np.cos(turn), 48 + 3 * np.sin(turn)], 1)
    turn = np.linspace(np.pi, 3 * np.pi, 20, endpoint=False)
    points[48:] = np.stack([64 + 16 * np.cos(turn), 86 + 6 * np.sin(turn)], 1)
    return points


@pytest.mark.parametrize("kind", ["sunglasses", "mask"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_hidden_is_covered(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    crop = np.full((128, 128, 3), (10, 250, 10), np.uint8)
    painted = occlude_landmarks(crop, _face(), rng, kind)
    changed = np.abs(painted.astype(int) - crop).sum(-1) > 40
    hidden = _face()[[*HIDDEN[kind]]].round().astype(int)
    assert changed[hidden[:, 1], hidden[:, 0]].mean() > 0.9
    assert changed.mean() < 0.45
    brows = _face()[17:27].round().astype(int)
    if kind == "mask":
        assert not changed[brows[:, 1], brows[:, 0]].any()
    assert (crop == (10, 250, 10)).all()


def test_a_hand_covers_a_part_and_unknown_landmarks_leave_the_crop() -> None:
    crop = np.full((128, 128, 3), 90, np.uint8)
    crop[::2] = 200
    painted = occlude_landmarks(crop, _face(), np.random.default_rng(0), "hand")
    assert 0.01 < (painted != crop).any(-1).mean() < 0.5
    unknown = _face()
    unknown[3] = np.nan
    assert occlude_landmarks(crop, unknown, np.random.default_rng(0)) is crop
