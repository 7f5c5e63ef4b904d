import cv2
import numpy as np
import pytest

from models.crop_quality import cut_off_share, face_blur
from models.crops import sample_plane, square_affine

SIDE = 64
WHOLE = np.eye(2, 3)
BOX = [-0.5, -0.5, SIDE - 0.5, SIDE - 0.5]


def blur_of(luma: np.ndarray) -> float:
    crop = np.repeat(luma.astype(np.uint8)[..., None], 3, axis=-1)
    return face_blur(crop, WHOLE, BOX, SIDE, SIDE)


def texture(sigma_px: float, contrast: float = 60.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma_px)
    return np.clip(128 + contrast * smooth / smooth.std(), 0, 255)


def test_one_edge_by_hand():
    """Nine taps spread a step over nine differences: a ninth of it remains."""
    edge = np.full((SIDE, SIDE), 50.0)
    edge[20:, 20:] = 150
    assert blur_of(edge) == pytest.approx(1 / 9, abs=1e-6)


def test_a_ramp_is_all_blur():
    """Blurring a ramp changes its differences only at the ends."""
    ramp = np.tile(2.0 * np.arange(SIDE), (SIDE, 1))
    ramp = ramp + ramp.T
    assert blur_of(ramp) > 0.95


def test_blurred_pictures_are_blurred_whatever_their_contrast():
    blurs = [blur_of(texture(sigma)) for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert blurs == sorted(blurs)
    assert blurs[0] < 0.25
    assert blurs[-1] > 0.65
    assert blur_of(texture(2.0, contrast=15)) == pytest.approx(blurs[2], abs=0.03)


def test_what_is_smeared_in_one_direction_is_blurred():
    sharp = texture(0.5)
    moving = cv2.blur(sharp, (9, 1))
    assert blur_of(moving) > blur_of(sharp) + 0.15
    assert blur_of(moving.T) == pytest.approx(blur_of(moving))


def test_nothing_to_see_is_nan():
    assert np.isnan(blur_of(np.full((SIDE, SIDE), 80.0)))
    stripes = np.tile(100.0 * (np.arange(SIDE) % 2), (SIDE, 1))
    assert np.isnan(blur_of(stripes))  # nothing changes downwards


def test_only_the_box_inside_the_frame_counts():
    """A sharp face in a blurred crop, half of it outside the frame, where its edge is repeated."""
    frame = cv2.GaussianBlur(texture(0.5), (0, 0), 4).astype(np.uint8)
    frame[16:48, :24] = texture(0.5)[16:48, :24]
    box = [-24.5, 15.5, 23.5, 47.5]
    affine = square_affine(box, scale=2.0, size_px=96)
    crop = np.repeat(sample_plane(frame, affine, 96, 96)[..., None], 3, axis=-1)
    expected = frame[16:48, :24]
    got = face_blur(crop, affine, box, SIDE, SIDE)
    alone = np.repeat(expected[..., None], 3, axis=-1)
    inner = face_blur(alone, np.eye(2, 3), [-0.5, -0.5, 23.5, 31.5], 24, 32)
    assert got == pytest.approx(inner, abs=0.02)
    assert np.isnan(face_blur(crop, affine, [-24.5, 15.5, 12.5, 47.5], SIDE, SIDE))


def test_the_share_outside_by_hand():
    """The frame's pixels cover from half a pixel before the first centre to half one after."""
    assert cut_off_share([-0.5, -0.5, 9.5, 19.5], 10, 20) == 0
    assert cut_off_share([-10.5, 0, 9.5, 10], 10, 20) == pytest.approx(0.5)
    assert cut_off_share([-10.5, -20.5, 9.5, 19.5], 10, 20) == pytest.approx(0.75)
    assert cut_off_share([20, 0, 30, 10], 10, 20) == 1
    assert cut_off_share([2, 2, 8, 8], 10, 20) == 0
    assert cut_off_share([4, 4, 4, 8], 10, 20) == 0
    assert cut_off_share([40, 4, 40, 8], 10, 20) == 1
