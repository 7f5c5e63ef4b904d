import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from models.landmarks.card import LandmarkCard
from models.landmarks.model import load_landmark_model
from models.landmarks.networks.coordinate_network import CoordinateNetwork
from models.landmarks.networks.landmark_network import LandmarkNetwork
from models.landmarks.torch_model import TorchLandmarkModel, save_landmark_weights
from schemas.choices import CODECS
from schemas.errors import UsageError, WeightsError


@pytest.fixture
def network() -> CoordinateNetwork:
    torch.manual_seed(1)
    network = CoordinateNetwork(early=False)
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 64))  # batch norms see data
        network.output.weight.mul_(0.1)
    return network


def _crops(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


def _windows(last: list[int]) -> np.ndarray:
    return np.array([[0, 0, index] for index in last], np.intp).reshape(-1, 3)


def test_save_and_load_round_trip(tmp_path: Path, network: CoordinateNetwork) -> None:
    path = tmp_path / "weights.safetensors"
    card = LandmarkCard(crop_scale=1.3, pixel_mean_rgb=(1.0, 2.0, 3.5), training="a test")
    save_landmark_weights(path, network, card)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size < 2.1 * 3_810_184  # half precision
    model = load_landmark_model(path)
    assert model.card == card
    assert len(model.weights_sha256) == 64
    crops, windows = _crops(5), _windows([0, 1, 2, 3, 4])
    expected = TorchLandmarkModel(network, card).predict(crops, windows)
    np.testing.assert_allclose(model.predict(crops, windows), expected, atol=0.05)


def test_predict_equals_the_network_on_normalized_pixels(network: CoordinateNetwork) -> None:
    card = LandmarkCard()
    crops = _crops(3)
    x = (torch.tensor(crops, dtype=torch.float64) - torch.tensor(card.pixel_mean_rgb)) / (
        torch.tensor(card.pixel_std_rgb)
    )
    with torch.no_grad():
        plain = network.eval()(x.permute(0, 3, 1, 2).float())
    predicted = TorchLandmarkModel(network, card).predict(crops, _windows([0, 1, 2]))
    np.testing.assert_allclose(predicted, ((plain + 0.5) * 64 - 0.5).numpy(), atol=1e-4)


def test_only_the_last_frame_of_a_window_counts(network: CoordinateNetwork) -> None:
    model = TorchLandmarkModel(network, LandmarkCard())
    crops = _crops(4)
    one = model.predict(crops, np.array([[0, 1, 3], [2, 2, 3], [0, 0, 1]], np.intp))
    np.testing.assert_array_equal(one[0], one[1])
    assert np.abs(one[0] - one[2]).max() > 1e-3
    assert one.dtype == np.float32


def test_a_crop_does_not_depend_on_its_batch(network: CoordinateNetwork) -> None:
    model = TorchLandmarkModel(network, LandmarkCard())
    crops = _crops(300)
    together = model.predict(crops, _windows(list(range(300))))
    for index in (0, 17, 255, 256, 299):
        alone = model.predict(crops[index : index + 1], _windows([0]))
        np.testing.assert_allclose(together[index], alone[0], atol=1e-4)


def test_nothing_in_nothing_out(network: CoordinateNetwork) -> None:
    model = TorchLandmarkModel(network, LandmarkCard())
    assert model.predict(_crops(0), _windows([])).shape == (0, 68, 2)
    assert model.predict(_crops(2), _windows([])).shape == (0, 68, 2)


def test_predict_says_what_is_wrong(network: CoordinateNetwork) -> None:
    model = TorchLandmarkModel(network, LandmarkCard())
    with pytest.raises(ValueError, match=r"crops: got float32 \(2, 64, 64, 3\), expected uint8"):
        model.predict(_crops(2).astype(np.float32), _windows([0]))
    with pytest.raises(ValueError, match=r"windows: got shape \(2, 2\), expected \(M, 3\)"):
        model.predict(_crops(2), np.zeros((2, 2), np.intp))
    with pytest.raises(ValueError, match=r"indices 0\.\.2 into 2 crops"):
        model.predict(_crops(2), _windows([2]))
    with pytest.raises(ValueError, match=r"indices 0\.\.1 into 0 crops"):
        model.predict(_crops(0), _windows([1]))


def test_unusable_weights_files(tmp_path: Path, network: CoordinateNetwork) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(WeightsError, match=r"no such file: .*w\.safetensors"):
        load_landmark_model(path)
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_landmark_model(path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, str(path))
    with pytest.raises(WeightsError, match="metadata format is None"):
        load_landmark_model(path)
    save_landmark_weights(path, network, dataclasses.replace(LandmarkCard(), network="3d"))
    with pytest.raises(WeightsError, match=r"tensor 'blocks\.0\.convolution\.weight' has shape"):
        load_landmark_model(path)
    save_landmark_weights(path, network, LandmarkCard(crop_scale=0.0))
    with pytest.raises(WeightsError, match=r"crop_scale is 0\.0: Expected `float` >= 0\.5"):
        load_landmark_model(path)
    save_landmark_weights(path, network.blocks, LandmarkCard())
    with pytest.raises(WeightsError, match="tensors of another network: missing"):
        load_landmark_model(path)
    network.output = torch.nn.Linear(1024, 10)
    save_landmark_weights(path, network, LandmarkCard())
    with pytest.raises(WeightsError, match=r"shape \(10,\), expected \(136,\)"):
        load_landmark_model(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, network: CoordinateNetwork) -> None:
    path = tmp_path / "w.safetensors"
    save_landmark_weights(path, network, LandmarkCard())
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_landmark_weights(path, network, LandmarkCard(training=b"no JSON"))  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class _Recording(LandmarkNetwork):
    """Predicts the middle of every crop, and records the shapes of its calls."""

    frames_seen = 3

    def __init__(self) -> None:
        super().__init__(68, 64)
        self.calls: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.append(tuple(x.shape))
        return torch.zeros(len(x), 68, 2)


@pytest.mark.parametrize(
    ("batch_windows", "expected"), [(5, [5, 5, 2]), (12, [12]), (100, [12]), (None, [12])]
)
def test_a_call_of_the_network_gets_a_batch(batch_windows: int | None, expected: list[int]) -> None:
    network = _Recording()
    model = TorchLandmarkModel(network, LandmarkCard(), batch_windows=batch_windows)
    assert model.batch_windows == (batch_windows or 32)
    windows = np.arange(36, dtype=np.intp).reshape(12, 3)
    assert model.predict(_crops(36), windows).shape == (12, 68, 2)
    assert [call[0] for call in network.calls] == expected
    assert {call[1:] for call in network.calls} == {(3, 3, 64, 64)}


def test_larger_crops_come_in_smaller_batches() -> None:
    assert TorchLandmarkModel(_Recording(), LandmarkCard(crop_size_px=128)).batch_windows == 16


@pytest.mark.parametrize("device", ["tpu?", "mps", "cuda:99"])
def test_devices_that_are_not_there(network: CoordinateNetwork, device: str) -> None:
    with pytest.raises(UsageError, match=f"device: got '?{device[:3]}"):
        TorchLandmarkModel(network, LandmarkCard(), device)


def test_the_weights_of_the_package_load() -> None:
    model = load_landmark_model()
    assert model.card.network == "unet"
    assert "research use only" in model.card.licence
    assert repr(model).startswith("LandmarkModel(unet, 128x128 crops, on cpu, weights ")


def test_heatmaps_are_read_by_any_codec() -> None:
    """Those of soft-argmax are Gaussians once they are distributions."""
    model = load_landmark_model("accurate")
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    crops = np.broadcast_to(ramp[:, None, None], (1, 128, 128, 3)).copy()
    windows = np.zeros((1, model.card.window_frames), np.intp)
    as_trained = model.predict(crops, windows)
    read = {c: model.read_by(c).predict(crops, windows) for c in CODECS}
    np.testing.assert_array_equal(read["soft_argmax"], as_trained)
    stride = 128 // 32
    highest = (read["argmax"] + 0.5) / stride - 0.5
    np.testing.assert_allclose(highest, highest.round(), atol=1e-5)
    for codec in ("quarter", "fractional", "log_difference", "taylor"):
        off = np.abs(read[codec] - read["argmax"])
        assert 0 < off.max() <= 2 * stride
    assert model.card.codec == "soft_argmax"


def test_what_cannot_be_read_by_a_codec_is_told(network: CoordinateNetwork) -> None:
    with pytest.raises(UsageError, match="makes no heatmaps"):
        TorchLandmarkModel(network, LandmarkCard()).read_by("argmax")
    card = LandmarkCard(network="2dfcn")
    with pytest.raises(UsageError, match="not trained for soft_argmax"):
        TorchLandmarkModel(card.build_network(), card).read_by("soft_argmax")


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_crops_need_no_copy_of_their_own(network: CoordinateNetwork, device: str) -> None:
    """Not all used, read-only, mirrored: the landmarks are those of a plain array."""
    crops, windows = _crops(6), np.array([[1, 2, 3], [2, 3, 4]])
    model = TorchLandmarkModel(network, LandmarkCard(), device)
    plain = TorchLandmarkModel(network, LandmarkCard()).predict(crops[1:5].copy(), windows - 1)
    crops.flags.writeable = False
    np.testing.assert_allclose(model.predict(crops, windows), plain, atol=0.01)
    mirrored = np.ascontiguousarray(crops[:, :, ::-1])[:, :, ::-1]
    np.testing.assert_allclose(model.predict(mirrored, windows), plain, atol=0.01)
