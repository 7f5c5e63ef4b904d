import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detection.box_decoding import cell_centres, decode_boxes


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
