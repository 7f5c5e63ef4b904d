import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.detection.detector_graph import detector_graph
from models.detection.face_detector import ConvFaceDetector, decode_levels, load_face_detector
from models.detection.network import DetectorNetwork, save_detector_network
from models.detection.weights_file import NEUTRAL_GREY, DetectorConfig, read_detector_weights
from models.landmarks.model import load_landmark_model
from models.onnx_session import open_session
from schemas.errors import WeightsError

TINY = DetectorConfig(stem_channels=(8, 8), stage_channels=(8, 8, 8, 8), head_channels=8)


def shaken(config: DetectorConfig = TINY) -> DetectorNetwork:
    """A network whose BatchNorms are not the identity."""
    torch.manual_seed(3)
    network = DetectorNetwork(config)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.uniform_(-0.3, 0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
    return network.eval()


def test_parameters_stay_under_the_limit():
    assert sum(p.numel() for p in DetectorNetwork().parameters()) <= 300_000


def test_maps_have_their_levels_shapes():
    levels = DetectorNetwork(TINY).eval()(torch.zeros(2, 3, 128, 192))
    assert [tuple(m.shape) for m in levels] == [
        (2, 5, 16, 24),
        (2, 5, 8, 12),
        (2, 5, 4, 6),
        (2, 5, 2, 3),
    ]


def arrays(network: DetectorNetwork) -> dict[str, np.ndarray]:
    return {
        name: tensor.numpy()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }


@pytest.mark.parametrize("config", [TINY, DetectorConfig()])
def test_the_graph_computes_what_the_network_does(config):
    network = shaken(config)
    session = open_session(detector_graph(arrays(network), config))
    for size in ((64, 128), (192, 64)):
        image = np.random.default_rng(1).integers(0, 256, (1, 3, *size)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(image))
        levels = session.run(None, {"image": image - np.float32(NEUTRAL_GREY)})
        for ours, theirs in zip(levels, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4, rtol=1e-4)


def test_decoding_levels_by_hand():
    fine = np.full((1, 5, 2, 2), -9.0, np.float32)
    coarse = np.full((1, 5, 1, 1), -9.0, np.float32)
    fine[0, :, 1, 0] = [0.0, 0.0, 0.0, 0.0, 0.0]  # cell centre (3.5, 11.5)
    coarse[0, :, 0, 0] = [2.0, 0.5, 0.0, 0.0, 0.0]  # (7.5, 7.5), moved 8 right
    boxes, scores = decode_levels([fine, coarse], (8, 16), 0.4)
    np.testing.assert_allclose(scores, [0.5, 1 / (1 + np.exp(-2))], rtol=1e-6)
    np.testing.assert_allclose(
        boxes, [[-12.5, -4.5, 19.5, 27.5], [-16.5, -24.5, 47.5, 39.5]], rtol=1e-6
    )


def test_decoding_nothing_has_the_right_shape():
    level = np.full((1, 5, 2, 2), -9.0, np.float32)
    boxes, scores = decode_levels([level], (8,), 0.5)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_a_file_gives_the_network_back(tmp_path):
    network = shaken()
    path = tmp_path / "detector.safetensors"
    save_detector_network(network, path)
    tensors, config, _ = read_detector_weights(path)
    assert config == TINY
    expected = arrays(network)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, expected[name].astype(np.float16))


def test_a_full_size_file_stays_under_the_limit(tmp_path):
    path = tmp_path / "detector.safetensors"
    save_detector_network(DetectorNetwork(), path)
    assert path.stat().st_size <= 1_500_000


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no such file: .*nowhere\.safetensors"):
        read_detector_weights(tmp_path / "nowhere.safetensors")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "damaged.safetensors"
    save_detector_network(DetectorNetwork(TINY), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"damaged\.safetensors is not a readable"):
        load_face_detector(str(path))


def test_a_file_of_another_network_says_so(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"format": "something-else"})
    with pytest.raises(WeightsError, match="its format is 'something-else', expected 'facetracks"):
        load_face_detector(str(path))


def test_tensors_of_a_type_that_numpy_does_not_know_are_refused(tmp_path):
    path = tmp_path / "brain.safetensors"
    metadata = {"format": "facetracks-face-detector-1"}
    save_file({"x": torch.zeros(1, dtype=torch.bfloat16)}, path, metadata)
    with pytest.raises(WeightsError, match=r"brain\.safetensors .*bfloat16"):
        load_face_detector(str(path))
    with pytest.raises(WeightsError, match=r"brain\.safetensors.*bfloat16"):
        load_landmark_model(path)


def test_a_missing_tensor_is_named(tmp_path):
    path = tmp_path / "partial.safetensors"
    save_detector_network(DetectorNetwork(TINY), path)
    tensors = load_file(path)
    del tensors["stem.0.0.weight"]
    fields = {name: getattr(TINY, name) for name in TINY.__dataclass_fields__}
    metadata = {"format": "facetracks-face-detector-1", "config": json.dumps(fields)}
    save_file(tensors, path, metadata)
    with pytest.raises(
        WeightsError, match=r"partial\.safetensors does not fit .* missing 'stem\.0\.0\.weight'"
    ):
        load_face_detector(str(path))


@pytest.mark.parametrize("config", ["not json", "{}", '{"stem_channels": 3}', "[]"])
def test_a_broken_config_is_no_crash(tmp_path, config):
    path = tmp_path / "broken.safetensors"
    save_file(
        {"x": torch.zeros(1)}, path, {"format": "facetracks-face-detector-1", "config": config}
    )
    with pytest.raises(WeightsError, match="no usable detector config"):
        load_face_detector(str(path))


def test_a_tensor_too_many_or_of_another_shape_is_told():
    tensors = arrays(shaken())
    with pytest.raises(WeightsError, match=r"does not fit its own config.*another network.*more"):
        ConvFaceDetector(tensors | {"more": np.zeros(1, np.float32)}, TINY)
    with pytest.raises(WeightsError, match="does not fit its own config"):
        ConvFaceDetector(tensors | {"stem.1.0.weight": np.zeros((8, 7, 3, 3), np.float32)}, TINY)
