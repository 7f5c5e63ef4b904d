import numpy as np
import pytest

from models.frame_pixels import is_cut


def grey(value: float, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full(shape, value, np.float32)


@pytest.mark.parametrize(
    ("change", "cut"),
    [(0, False), (21, False), (23, True), (49, True)],
)
def test_an_even_change_of_brightness(change, cut):
    """Above 22 the histogram decides, and here every pixel changes its bin."""
    assert is_cut(grey(100), grey(100 + change)) is cut
    assert is_cut(grey(100 + change), grey(100)) is cut


def test_a_scrambled_picture_needs_a_sure_change():
    """The same brightness in other places: only the change of pixels counts."""
    stripes = np.tile(np.array([110, 140], np.float32), (48, 32))
    assert not is_cut(stripes, stripes[:, ::-1])  # mean change 30, histogram the same
    stripes = np.tile(np.array([80, 140], np.float32), (48, 32))
    assert is_cut(stripes, stripes[:, ::-1])  # 60


def test_another_size_is_a_cut():
    assert is_cut(grey(5), grey(5, (48, 48)))


def test_noise_is_no_cut():
    rng = np.random.default_rng(0)
    before, after = (rng.normal(120, 12, (48, 64)).astype(np.float32) for _ in range(2))
    assert not is_cut(before, after)
