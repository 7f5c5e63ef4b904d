import numpy as np
import pytest

from models.crops import square_affine
from models.detection.training.canvases import MIN_FACE_PX, draw_canvas, place_boxes, turn_away
from models.detection.training.labelled_images import LabelledImage

GREEN = np.array([0, 255, 0])


def portrait(score: float = 0.9, turn: float = 0.0) -> LabelledImage:
    """A green ellipse on blue, with its box."""
    y, x = np.mgrid[:120, :160]
    image = np.zeros((120, 160, 3), np.uint8)
    image[..., 2] = 120
    image[((x - 80) / 24) ** 2 + ((y - 60) / 32) ** 2 <= 1] = GREEN
    box = np.array([[80 - 24, 60 - 32, 80 + 24, 60 + 32]], np.float32)
    return LabelledImage(image, box, np.array([score], np.float32), np.array([turn], np.float32))


def test_boxes_follow_a_plain_scaling():
    affine = np.array([[2.0, 0, 10], [0, 2.0, 20]])
    placed = place_boxes(np.array([[30, 40, 50, 80]], np.float32), affine)
    np.testing.assert_allclose(placed, [[10, 10, 20, 30]])


def test_a_quarter_turn_swaps_the_sides():
    box = np.array([30.0, 40.0, 50.0, 80.0], np.float32)
    affine = square_affine(box, scale=1.0, size_px=40, angle_deg=90)
    placed = place_boxes(box[None], affine)
    np.testing.assert_allclose(placed, [[-0.5, 9.5, 39.5, 29.5]], atol=1e-5)


def test_turning_a_round_face_does_not_change_its_box():
    box = np.array([30.0, 40.0, 70.0, 80.0], np.float32)
    straight = place_boxes(box[None], square_affine(box, scale=2.0, size_px=64))
    turned = place_boxes(box[None], square_affine(box, scale=2.0, size_px=64, angle_deg=31))
    np.testing.assert_allclose(turned, straight, atol=1e-4)


@pytest.mark.parametrize("seed", range(30))
def test_boxes_are_where_the_faces_are(seed):
    canvas = draw_canvas([[portrait()]], np.ones(1), 128, np.random.default_rng(seed))
    assert canvas.image.shape == (128, 128, 3)
    assert canvas.image.dtype == np.uint8
    assert canvas.boxes_xyxy_px.shape == (len(canvas.boxes_xyxy_px), 4)
    for x0, y0, x1, y1 in canvas.boxes_xyxy_px:
        assert max(x1 - x0, y1 - y0) >= MIN_FACE_PX
        assert 0.3 < (x1 - x0) / (y1 - y0) < 2
        x, y = np.clip([round((x0 + x1) / 2), round((y0 + y1) / 2)], 0, 127)
        patch = canvas.image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3)
        around = canvas.image.reshape(-1, 3)
        # With any occlusion, a face's middle is not darker than the canvas in green.
        assert patch[:, 1].mean() >= around[:, 1].mean() - 60


def test_faces_of_every_size_come_up():
    sides = []
    for seed in range(60):
        canvas = draw_canvas([[portrait()]], np.ones(1), 192, np.random.default_rng(seed))
        sides += (canvas.boxes_xyxy_px[:, 3] - canvas.boxes_xyxy_px[:, 1]).tolist()
    assert min(sides) < 25
    assert max(sides) > 140


def test_what_the_teacher_doubts_is_ignored_and_never_taught():
    ignored = 0
    for seed in range(10):
        canvas = draw_canvas([[portrait(0.4)]], np.ones(1), 128, np.random.default_rng(seed))
        assert len(canvas.boxes_xyxy_px) == 0
        ignored += len(canvas.ignore_xyxy_px)
    assert ignored > 0


@pytest.mark.parametrize("turn", [0.25, -0.25])
def test_squeezing_the_far_side_takes_the_box_along(turn):
    turned = turn_away(portrait(turn=turn), np.random.default_rng(0))
    green = (turned.image == GREEN).all(-1).any(0).nonzero()[0]
    x0, y0, x1, y1 = turned.boxes_xyxy_px[0]
    assert (y0, y1) == (28, 92)
    assert 24 < x1 - x0 < 48 * 0.92  # the near 3/4 stay, the far 1/4 shrinks to 10..60 %
    assert turned.image.shape[1] < 160
    assert (x0, x1) == pytest.approx((green[0], green[-1]), abs=2)


def test_a_face_that_looks_ahead_is_left_alone():
    source = portrait(turn=0.02)
    assert turn_away(source, np.random.default_rng(0)) is source


def test_the_same_seed_draws_the_same_canvas():
    a, b = (draw_canvas([[portrait()]], np.ones(1), 96, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.boxes_xyxy_px, b.boxes_xyxy_px)
