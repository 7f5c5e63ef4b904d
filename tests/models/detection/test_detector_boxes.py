import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detection.boxes import (
    cell_centres,
    decode_boxes,
    iou,
    suppress_overlaps,
)


def test_centres_are_the_middles_of_cells_in_pixel_centre_coordinates():
    # Stride 8: the first cell covers pixels 0..7, whose middle is 3.5.
    assert cell_centres(2, 3, 8).tolist() == [
        [3.5, 3.5],
        [11.5, 3.5],
        [19.5, 3.5],
        [3.5, 11.5],
        [11.5, 11.5],
        [19.5, 11.5],
    ]


def test_decoding_by_hand():
    # Half a stride right, a quarter up; 4 strides wide, 4 * e**0.5 strides high.
    code = np.float32([[0.5, -0.25, 0.0, 0.5]])
    box = decode_boxes(code, np.float32([[3.5, 3.5]]), 8)
    half_height = 16 * np.exp(0.5)
    expected = [7.5 - 16, 1.5 - half_height, 7.5 + 16, 1.5 + half_height]
    assert box[0].tolist() == pytest.approx(expected)


@given(
    centre=st.tuples(st.floats(-50, 700), st.floats(-50, 700)),
    size=st.tuples(st.floats(6, 600), st.floats(6, 600)),
    stride_px=st.sampled_from([8, 16, 32, 64]),
)
@settings(max_examples=50)
def test_decoding_undoes_encoding(centre, size, stride_px):
    (x, y), (w, h) = centre, size
    box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
    code = [
        (x - 100) / stride_px,
        (y - 40) / stride_px,
        *np.log(np.array([w, h]) / (4 * stride_px)),
    ]
    again = decode_boxes(np.float32([code]), np.float32([[100.0, 40.0]]), stride_px)
    np.testing.assert_allclose(again, box, atol=2e-3)


def test_iou_by_hand():
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [4, 4, 4, 9]]
    expected = [
        [1, 50 / 150, 0, 0],
        [50 / 150, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],  # a box without area overlaps nothing, not even itself
    ]
    np.testing.assert_allclose(iou(boxes, boxes), expected)


def test_iou_of_nothing_has_the_right_shape():
    assert iou(np.zeros((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)


def test_suppression_keeps_the_surest_and_votes_on_its_place():
    boxes = np.array(
        [
            [2, 0, 12, 10],  # IoU 80 / 120 with the surest: a double that votes
            [0, 0, 10, 10],  # the surest
            [5, 0, 15, 10],  # IoU 1 / 3: neither votes nor goes at 0.4
            [50, 50, 60, 60],
        ],
        np.float32,
    )
    scores = np.array([0.6, 0.9, 0.3, 0.5], np.float32)
    kept, kept_scores = suppress_overlaps(boxes, scores, iou_threshold=0.4)
    shift = 2 * 0.36 / (0.81 + 0.36)
    expected = [[shift, 0, 10 + shift, 10], [50, 50, 60, 60], [5, 0, 15, 10]]
    np.testing.assert_allclose(kept, expected, atol=1e-5)
    np.testing.assert_allclose(kept_scores, [0.9, 0.5, 0.3], atol=1e-7)


def test_suppression_drops_what_overlaps_more_than_the_threshold():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], np.float32)
    kept, _ = suppress_overlaps(boxes, np.array([0.9, 0.8], np.float32), iou_threshold=0.3)
    np.testing.assert_allclose(kept, [[0, 0, 10, 10]])


def test_suppression_looks_at_the_surest_thousand():
    x0 = 20 * np.arange(1200, dtype=np.float32)
    boxes = np.stack([x0, 0 * x0, x0 + 10, 0 * x0 + 10], 1)
    scores = np.linspace(0.1, 0.9, 1200, dtype=np.float32)
    kept, kept_scores = suppress_overlaps(boxes, scores, iou_threshold=0.4)
    assert len(kept) == 1000
    assert kept_scores.min() == scores[200]


def test_suppression_of_nothing():
    kept, scores = suppress_overlaps(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), iou_threshold=0.4
    )
    assert kept.shape == (0, 4)
    assert scores.shape == (0,)
    assert kept.dtype == scores.dtype == np.float32
