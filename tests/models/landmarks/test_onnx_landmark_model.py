import subprocess
import sys

import numpy as np
import pytest
import torch

from models.landmarks.card import LandmarkCard
from models.landmarks.model import load_landmark_model
from models.landmarks.networks.unet import UNet
from models.landmarks.onnx_model import OnnxLandmarkModel, unet_ranges
from models.landmarks.torch_model import TorchLandmarkModel, save_landmark_weights
from schemas.errors import UsageError, WeightsError

CHANNELS = (8, 8, 16, 16, 24)


def shaken(blocks: int) -> tuple[UNet, LandmarkCard]:
    """A U-net whose norms and residual blocks are not the identity, on 64-pixel crops."""
    torch.manual_seed(blocks)
    network = UNet(channels=CHANNELS, blocks=blocks, crop_size_px=64)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor.uniform_(-0.3, 0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.ndim == 1 and tensor.is_floating_point():
                tensor.add_(torch.empty_like(tensor).uniform_(-0.2, 0.2))
    card = LandmarkCard(
        network="unet",
        settings={"channels": CHANNELS, "blocks": blocks},
        crop_size_px=64,
        codec="soft_argmax",
        spread_scale=1.3,
    )
    return network.eval(), card


def arrays(network: UNet) -> dict[str, np.ndarray]:
    return {n: t.numpy() for n, t in network.state_dict().items() if t.is_floating_point()}


def crops_and_windows() -> tuple[np.ndarray, np.ndarray]:
    crops = np.random.default_rng(0).integers(0, 256, (11, 64, 64, 3), np.uint8)
    last = [0, 3, 3, 10, 9, 8, 7, 6, 5, 4, 2, 1, 0]  # more than one call, some windows twice
    return crops, np.array([[0, 0, i] for i in last], np.intp)


@pytest.mark.parametrize("blocks", [1, 2])
def test_it_predicts_what_torch_does(blocks):
    network, card = shaken(blocks)
    given = crops_and_windows()
    expected, expected_spread = TorchLandmarkModel(network, card).predict_with_spread(*given)
    model = OnnxLandmarkModel(arrays(network), card, batch_windows=8)
    points, spread = model.predict_with_spread(*given)
    assert np.ptp(expected, axis=0).min() > 0.01  # the result depends on the crop
    np.testing.assert_allclose(points, expected, atol=2e-3)
    np.testing.assert_allclose(spread, expected_spread, rtol=1e-3)


def test_a_window_is_predicted_alike_in_any_company():
    network, card = shaken(1)
    crops, windows = crops_and_windows()
    model = OnnxLandmarkModel(arrays(network), card, batch_windows=8)
    together = model.predict(crops, windows)
    alone = np.concatenate([model.predict(crops, windows[i : i + 1]) for i in range(len(windows))])
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_integers_are_near_and_alike_in_any_company():
    network, card = shaken(1)
    crops, windows = crops_and_windows()
    tensors = arrays(network)
    ranges = unet_ranges(tensors, card, crops)
    assert (ranges[:, 1] > 0).any()
    floats = OnnxLandmarkModel(tensors, card).predict(crops, windows)
    model = OnnxLandmarkModel(tensors | {"activation_ranges": ranges}, card, int8=True)
    integers = model.predict(crops, windows)
    assert 0 < np.median(np.abs(integers - floats)) < 0.5  # random weights: some maps are flat
    alone = np.concatenate([model.predict(crops, windows[i : i + 1]) for i in range(len(windows))])
    np.testing.assert_allclose(alone, integers, atol=1e-4)


def test_int8_needs_ranges_that_fit():
    network, card = shaken(1)
    tensors = arrays(network)
    with pytest.raises(UsageError, match="no activation ranges"):
        OnnxLandmarkModel(tensors, card, int8=True)
    wrong = {"activation_ranges": np.array([[1.0, 2.0]])}
    with pytest.raises(WeightsError, match="does not include 0"):
        OnnxLandmarkModel(tensors | wrong, card, int8=True)
    OnnxLandmarkModel(tensors | wrong, card)  # not used in float32


def test_the_tensors_of_another_network_are_refused(tmp_path):
    network, card = shaken(1)
    given = arrays(network)
    with pytest.raises(WeightsError, match=r"another network: missing 'up\.2\.body\.0\.weight'"):
        OnnxLandmarkModel({k: v for k, v in given.items() if k != "up.2.body.0.weight"}, card)
    with pytest.raises(WeightsError, match="another network"):
        OnnxLandmarkModel(given | {"more": np.zeros(2, np.float32)}, card)
    path = tmp_path / "blocks.safetensors"
    save_landmark_weights(path, shaken(2)[0], card)
    with pytest.raises(WeightsError, match=r"blocks\.safetensors: tensors of another network"):
        load_landmark_model(path)


def test_maps_are_read_by_other_codecs_through_torch():
    network, card = shaken(1)
    given = crops_and_windows()
    model = OnnxLandmarkModel(arrays(network), card)
    assert model.read_by("soft_argmax") is model
    expected = TorchLandmarkModel(network, card).read_by("argmax").predict(*given)
    np.testing.assert_array_equal(model.read_by("argmax").predict(*given), expected)


def test_the_default_models_run_without_torch():
    code = """
import sys
import numpy as np
from models.detection.face_detector import load_face_detector
from models.landmarks.model import load_landmark_model
model = load_landmark_model()
model.predict(np.zeros((1, 128, 128, 3), np.uint8), np.zeros((1, 3), np.intp))
load_face_detector().detect(np.zeros((90, 90, 3), np.uint8))
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
