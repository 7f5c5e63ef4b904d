import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.crops import (
    compose_affines,
    crop_to_image,
    fit_affine,
    image_to_crop,
    pixel_size,
    sample_plane,
    square_affine,
    turned_back,
)


def test_a_crop_of_the_size_of_its_box_is_a_shift():
    affine = square_affine([10, 20, 14, 24], scale=1.0, size_px=4)
    # Box edges meet crop edges: crop pixel 0 is centred half a pixel inside x0 = 10, less the
    # half pixel between an edge and the centre of pixel 10.
    assert affine == pytest.approx(np.array([[1, 0, 10.5], [0, 1, 20.5]]))
    assert crop_to_image(np.array([1.5, 1.5]), affine) == pytest.approx([12, 22])


def test_the_longer_side_counts_and_scale_widens_it():
    affine = square_affine([0, 0, 10, 20], scale=1.5, size_px=15)
    assert affine[:, :2] == pytest.approx(np.eye(2) * 2)  # 30 px over 15
    assert crop_to_image(np.array([7.0, 7.0]), affine) == pytest.approx([5, 10])


def test_a_crop_is_square_on_square_pixels():
    """Pixels twice as wide as high: 10 x 20 px are 20 x 20, and 20 is 10 px in x."""
    affine = square_affine([0, 0, 10, 20], scale=1.0, size_px=20, pixel_aspect=2.0)
    assert affine[:, :2] == pytest.approx(np.array([[0.5, 0], [0, 1]]))


def test_angle_turns_the_crop_clockwise_in_the_image():
    affine = square_affine([0, 0, 8, 8], scale=1.0, size_px=8, angle_deg=90)
    right_of_centre = crop_to_image(np.array([4.5, 3.5]), affine)
    assert right_of_centre == pytest.approx([4, 5])  # one pixel below it, as y points down


def test_a_thumbnail_meets_the_frame_at_the_edges():
    affine = fit_affine(8, 4, out_width_px=4, out_height_px=1)
    assert affine == pytest.approx(np.array([[2, 0, 0.5], [0, 4, 1.5]]))


def test_composed_affines_apply_the_inner_one_first():
    double, move = np.array([[2.0, 0, 0], [0, 2, 0]]), np.array([[1.0, 0, 3], [0, 1, 5]])
    assert crop_to_image(np.array([1.0, 1.0]), compose_affines(double, move)).tolist() == [8, 12]
    assert crop_to_image(np.array([1.0, 1.0]), compose_affines(move, double)).tolist() == [5, 7]


def test_maps_of_many_crops_at_once():
    maps = np.array([[[2.0, 0, 3], [0, 2, 5]], [[0, -4, 1], [1, 0, 0]]])
    points = np.arange(12.0).reshape(2, 3, 2)
    alone = [crop_to_image(p, m) for p, m in zip(points, maps, strict=True)]
    np.testing.assert_array_equal(crop_to_image(points, maps), alone)
    assert alone[1][2].tolist() == [1 - 4 * 11, 10]
    assert pixel_size(maps).tolist() == [2, 2]


boxes = st.tuples(*[st.floats(-500, 500)] * 2, *[st.floats(1, 900)] * 2).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


@given(
    boxes,
    st.floats(0.5, 3),
    st.floats(0.25, 4),
    st.floats(-180, 180),
    st.integers(8, 300),
)
def test_there_and_back_is_where_one_was(box, scale, aspect, angle, size):
    affine = square_affine(box, scale=scale, size_px=size, pixel_aspect=aspect, angle_deg=angle)
    points = np.array([[0.0, 0.0], [size - 1, 0], [3.25, 7.5], [-4, size + 9]])
    assert image_to_crop(crop_to_image(points, affine), affine) == pytest.approx(points, abs=1e-6)
    middle = crop_to_image(np.full(2, (size - 1) / 2), affine)
    assert middle == pytest.approx([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], abs=1e-6)


def ramp(width: int, height: int, gx: float, gy: float, start: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (start + gx * x + gy * y).astype(np.uint16)


@pytest.mark.parametrize("size_px", [96, 40, 24, 17, 10, 5])
@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 0.5])
@pytest.mark.parametrize("angle_deg", [0.0, 17.0, 90.0, -135.0])
def test_a_ramp_is_sampled_where_the_affine_says(size_px, aspect, angle_deg):
    plane = ramp(200, 160, 100, 60, 1000)
    affine = square_affine(
        [70, 60, 118, 100], scale=1.1, size_px=size_px, pixel_aspect=aspect, angle_deg=angle_deg
    )
    y, x = np.mgrid[:size_px, :size_px]
    where = crop_to_image(np.stack([x, y], -1).astype(float), affine)
    expected = 1000 + 100 * where[..., 0] + 60 * where[..., 1]
    got = sample_plane(plane, affine, size_px, size_px)
    assert got.dtype == np.uint16
    # OpenCV's bilinear weights come in steps of 1/32 px.
    assert np.abs(got - expected).max() <= 160 / 32 + 1


def test_the_identity_gives_the_pixels_themselves():
    plane = np.arange(60, dtype=np.uint8).reshape(6, 10)
    assert np.array_equal(sample_plane(plane, np.eye(2, 3), 10, 6), plane)
    colours = np.stack([plane, plane + 1, plane + 2], -1)
    assert np.array_equal(sample_plane(colours, np.eye(2, 3), 10, 6), colours)


def test_outside_the_plane_the_border_goes_on():
    plane = np.array([[10, 20], [30, 40]], np.uint8)
    affine = np.array([[1.0, 0, -2], [0, 1, -2]])
    expected = cv2.copyMakeBorder(plane, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    assert np.array_equal(sample_plane(plane, affine, 6, 6), expected)


@pytest.mark.parametrize("far", [(-500, 5), (500, 5), (5, -500), (5, 500), (-500, -500)])
def test_a_crop_beside_the_image_shows_its_nearest_border(far):
    plane = ramp(20, 20, 10, 10, 0)
    affine = np.array([[1.0, 0, far[0]], [0, 1, far[1]]])
    got = sample_plane(plane, affine, 4, 4)
    corner = plane[np.clip(far[1], 0, 19), np.clip(far[0], 0, 19)]
    assert got[0, 0] == corner


@pytest.mark.parametrize("side_px", [64, 65, 71])
def test_a_checkerboard_shrunk_by_eight_is_grey(side_px):
    plane = (np.indices((side_px, side_px)).sum(0) % 2 * 255).astype(np.uint8)
    affine = square_affine([-0.5, -0.5, 63.5, 63.5], scale=1.0, size_px=8)
    assert np.abs(sample_plane(plane, affine, 8, 8).astype(int) - 127.5).max() < 20


@pytest.mark.parametrize("shrink", [2.1, 2.7, 3.0, 5.32, 5.8, 8.0, 11.9])
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
def test_shrinking_moves_nothing(shrink, shift):
    """The centre of a small spot is where the affine maps it, for any subpixel position."""
    side = int(40 * shrink)
    place = np.array([0.507, 0.461]) * side
    y, x = np.mgrid[:side, :side]
    radius = 2.5 * shrink
    spot = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * radius**2))
    plane = np.rint(60_000 * spot).astype(np.uint16)
    affine = np.array([[shrink, 0, shift], [0, shrink, -shift]])
    got = sample_plane(plane, affine, 40, 40).astype(float)
    cy, cx = np.mgrid[:40, :40]
    middle = np.array([(got * cx).sum(), (got * cy).sum()]) / got.sum()
    assert np.abs(middle - image_to_crop(place, affine)).max() < 0.001  # of a crop's pixel


@given(boxes, st.integers(1, 40), st.integers(1, 60), st.integers(1, 60))
def test_any_box_gives_pixels_of_the_plane(box, size_px, width, height):
    plane = np.random.default_rng(width).integers(40, 90, (height, width), np.uint8)
    got = sample_plane(plane, square_affine(box, scale=1.2, size_px=size_px), size_px, size_px)
    assert got.shape == (size_px, size_px)
    assert plane.min() <= got.min() and got.max() <= plane.max()


@pytest.mark.parametrize("quarters", range(4))
def test_points_come_back_to_the_pixels_they_were_found_in(quarters):
    image = np.arange(60).reshape(6, 10)
    turned = np.rot90(image, quarters)
    x, y = turned_back(np.float32([1, 2]), quarters, image.shape).astype(int)
    assert image[y, x] == turned[2, 1]
