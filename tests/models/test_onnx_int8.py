import numpy as np
import onnx
import pytest

from models.onnx_builder import GraphBuilder
from models.onnx_int8 import activation_ranges, quantized
from models.onnx_session import open_session

_SHAPE = (1, 1, "height", "width")


def graph_of(tensors: dict[str, np.ndarray], convolutions: int) -> bytes:
    """1x1 convolutions `c0`, `c1`, ... of one channel, a Relu after each."""
    graph = GraphBuilder(tensors, {"image": (onnx.TensorProto.FLOAT, _SHAPE)})
    x = "image"
    for number in range(convolutions):
        x = graph.convolution(x, f"c{number}", relu=True)
    return graph.model([x])


def weights_of(*factors_and_biases: tuple[float, float]) -> dict[str, np.ndarray]:
    return {
        name: value
        for number, (factor, bias) in enumerate(factors_and_biases)
        for name, value in (
            (f"c{number}.weight", np.full((1, 1, 1, 1), factor)),
            (f"c{number}.bias", np.array([bias])),
        )
    }


def run(model: bytes, image: np.ndarray) -> np.ndarray:
    return open_session(model).run(None, {"image": image.astype(np.float32)})[0]


ROW = np.array([[[[0.0, 1.0, 2.4, 5.1]]]])


def test_ranges_are_the_mean_of_the_calls():
    model = graph_of(weights_of((2.0, -3.0)), 1)
    images = [{"image": np.float32([[[[0.0, 1.0]]]])}, {"image": np.float32([[[[4.0]]]])}]
    # Convolution: -3 .. -1, so -3 .. 0 with zero, and 5, so 0 .. 5. After the Relu: 0 and 5.
    expected = [[-1.5, 2.5], [0.0, 2.5]]
    np.testing.assert_allclose(activation_ranges(model, images, 2), expected)
    assert activation_ranges(model, images, 1).shape == (1, 2)


def test_no_images_give_no_ranges():
    with pytest.raises(ValueError, match="got no inputs"):
        activation_ranges(graph_of(weights_of((1.0, 0.0)), 1), [], 1)


def test_integers_round_to_steps_by_hand():
    # c0 is the identity and stays float; c1 reads its output in steps of 510 / 255 = 2.
    model = graph_of(weights_of((1.0, 0.0), (63.0, 7.0)), 2)
    ranges = np.array([[0, 510], [0, 510], [0, 510], [0, 510]])
    # In steps of 2: 0, 0 (1 rounds half to even), 2.4 to 2, 5.1 to 6. Times 63 plus 7 is
    # 7, 7, 133, 385; the bias, in steps of 2, is 8 (7 / 2 = 3.5 to even 4), so 8, 8, 134, 386;
    # and the output is stored in steps of 2.
    np.testing.assert_allclose(run(quantized(model, ranges), ROW), [[[[8, 8, 134, 386]]]])


def test_values_beyond_the_range_are_clipped():
    model = graph_of(weights_of((1.0, 0.0), (1.0, 0.0), (1.0, 0.0)), 3)
    ranges = np.array([[0, 2.55], [0, 2.55], [0, 2.55], [0, 2.55]])
    result = run(quantized(model, ranges), ROW)
    np.testing.assert_allclose(result, [[[[0.0, 1.0, 2.4, 2.55]]]], atol=0.011)


def test_without_ranges_the_graph_stays_float():
    model = graph_of(weights_of((1.5, 0.0), (0.3, 0.1)), 2)
    floats = quantized(model, np.zeros((0, 2)))
    np.testing.assert_array_equal(run(floats, ROW), run(model, ROW))


def test_negative_activations_have_a_zero_point():
    graph = GraphBuilder(
        weights_of((1.0, 0.0), (1.0, 0.0), (1.0, 0.0)),
        {"image": (onnx.TensorProto.FLOAT, _SHAPE)},
    )
    x = graph.convolution("image", "c0")
    x = graph.apply("Add", x, graph.convolution(x, "c1"))
    model = graph.model([graph.convolution(x, "c2")])
    image = np.array([[[[-4.0, -1.0, 0.0, 3.0]]]])
    ranges = activation_ranges(model, [{"image": image.astype(np.float32)}], 3)
    np.testing.assert_allclose(run(quantized(model, ranges), image), 2 * image, atol=0.06)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (np.zeros((9, 2)), r"got activation ranges \(9, 2\), expected \(2, 2\)"),
        (np.zeros((2, 3)), r"got activation ranges \(2, 3\)"),
        (np.array([[1.0, 2.0]]), "does not include 0"),
        (np.array([[0.0, np.inf]]), "not finite"),
    ],
)
def test_ranges_of_another_graph_are_refused(ranges, message):
    with pytest.raises(ValueError, match=message):
        quantized(graph_of(weights_of((1.0, 0.0)), 1), ranges)
