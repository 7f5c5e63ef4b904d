"""Weights of every network: saved, loaded, used; in half precision, compiled, refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.landmarks.card import LandmarkCard
from models.landmarks.metrics import PrecisionCheck, nrmse_percent
from models.landmarks.model import DEFAULT_WEIGHTS, NAMED_WEIGHTS, load_landmark_model
from models.landmarks.networks.heatmap_codecs import decode_heatmaps
from models.landmarks.torch_model import TorchLandmarkModel, save_landmark_weights
from schemas.choices import NETWORK_NAMES
from schemas.errors import WeightsError


def _card(name: str, **changes: object) -> LandmarkCard:
    small = {"stacks": 2, "features": 8} if name == "hourglass" else {}
    size = 64 if name == "hourglass" else 32
    card = LandmarkCard(network=name, settings=small, crop_size_px=size, codec="log_difference")
    return dataclasses.replace(card, **changes)  # type: ignore[arg-type]


def _windows(card: LandmarkCard, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    size = card.crop_size_px
    crops = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    first = 1 - card.window_frames
    return crops, np.maximum(np.arange(count)[:, None] + np.arange(first, 1), 0).astype(np.intp)


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_every_network_is_saved_loaded_and_used(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    card = _card(name)
    network = card.build_network().eval().half().float()  # the precision of the file
    path = tmp_path / "weights.safetensors"
    save_landmark_weights(path, network, card)
    model = load_landmark_model(path)
    assert model.card == card

    crops, windows = _windows(card)
    pixels = torch.from_numpy(crops).float()
    pixels = (pixels - torch.tensor(card.pixel_mean_rgb)) / torch.tensor(card.pixel_std_rgb)
    with torch.no_grad():
        output = network(pixels.permute(0, 3, 1, 2).contiguous()[windows])
    # Without quarter turns: landmarks of an untrained network are not upright.
    found = model._predict(crops, windows[:, -network.frames_seen :])[..., :2]
    if network.heatmap_stride is None:
        expected = (output + 0.5) * card.crop_size_px - 0.5
        np.testing.assert_allclose(found, expected, atol=1e-3)
    else:
        places = output[:, :68]  # spreads may follow
        expected = decode_heatmaps(places, "log_difference", card.sigma_px)
        expected = (expected + 0.5) * network.heatmap_stride - 0.5
        # Heatmaps of an untrained network have near-equal peaks, which rounding decides.
        same = np.abs(found - expected.numpy()).max(-1) < 1e-2
        assert same.mean() > 0.9


def test_earlier_frames_matter_where_they_are_seen() -> None:
    torch.manual_seed(0)
    card = _card("2drnn")
    model = TorchLandmarkModel(card.build_network(), card)
    crops, _ = _windows(card)
    points = model.predict(crops, np.array([[0, 1, 5], [2, 3, 5], [0, 1, 5]], np.intp))
    np.testing.assert_array_equal(points[0], points[2])
    assert np.abs(points[0] - points[1]).max() > 1e-3


def test_longer_windows_than_a_network_sees() -> None:
    card = _card("2d", window_frames=5)
    model = TorchLandmarkModel(card.build_network(), card)
    crops, windows = _windows(card)
    assert model.predict(crops, windows).shape == (6, 68, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "4d"}, "network is '4d', expected '2d' or '3d'"),
        ({"settings": {"stacks": 2}}, r"settings has 'stacks', expected some of \[\]"),
        ({"crop_size_px": 33}, "crop_size_px: got 33, expected a multiple of 32"),
        ({"crop_size_px": 1 << 20}, "crop_size_px is 1048576: Expected `int` <= 1024"),
        ({"window_frames": 2}, "window_frames is 2, expected 3 or more, which the network 3d"),
        ({"codec": "softmax"}, "codec is 'softmax', expected 'argmax' or"),
        ({"sigma_px": 0.0}, r"sigma_px is 0\.0: Expected `float` >= 0\.3"),
        (
            {"pixel_std_rgb": (1.0, 0.0, 1.0)},
            r"pixel_std_rgb is .*: Expected `float` > 0\.0",
        ),
    ],
)
def test_cards_that_cannot_be(tmp_path: Path, changes: dict, message: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_landmark_weights(path, torch.nn.Linear(1, 1), _card("3d", **changes))
    with pytest.raises(WeightsError, match=message):
        load_landmark_model(path)


def test_names_of_weights_that_come_with_the_package() -> None:
    assert NAMED_WEIGHTS["default"] == DEFAULT_WEIGHTS
    assert all(path.is_file() for path in NAMED_WEIGHTS.values())
    named = {name: load_landmark_model(name) for name in NAMED_WEIGHTS}
    assert {name: model.card.network for name, model in named.items()} == {
        "default": "unet",
        "fast": "unet",
        "accurate": "unet",
    }
    assert load_landmark_model().weights_sha256 == named["default"].weights_sha256
    assert sum(path.stat().st_size for path in set(NAMED_WEIGHTS.values())) < 40e6


@pytest.mark.parametrize("name", ["2d", "3drnn", "2dfcrnn", "hourglass", "unet"])
def test_half_precision_is_near(name: str) -> None:
    torch.manual_seed(0)
    card = _card(name)
    network = card.build_network()
    crops, windows = _windows(card)
    half = TorchLandmarkModel(network, card, bfloat16=True).predict(crops, windows)
    assert half.dtype == np.float32
    if network.heatmap_stride is None:
        full = TorchLandmarkModel(network, card).predict(crops, windows)
        assert 0 < np.abs(half - full).mean() < 0.01 * np.abs(full).max()


def test_half_precision_of_the_weights_that_ship_by_the_errors_it_makes() -> None:
    """The truth is the network's prediction, so the whole difference counts as error."""
    full = load_landmark_model()
    size = full.card.crop_size_px
    crops = np.random.default_rng(0).integers(100, 150, (16, size, size, 3), np.uint8)
    windows = np.repeat(np.arange(16)[:, None], 3, axis=1)
    truth = full.predict(crops, windows)
    half = load_landmark_model(precision="bfloat16")
    # On noise, where maps are wide; the difference is smaller on faces.
    assert 0.01 < nrmse_percent(half.predict(crops, windows), truth).mean() < 5


def test_half_precision_is_good_enough_where_errors_hardly_move() -> None:
    assert not PrecisionCheck(5.00, 5.03).accepted
    assert not PrecisionCheck(5.00, 4.97).accepted
    assert PrecisionCheck(5.00, 5.01).accepted


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of torch by torch's compiler
def test_compiled_networks_predict_the_same() -> None:
    torch.manual_seed(0)
    card = _card("2drnn")
    network = card.build_network()
    crops, windows = _windows(card, 9)
    compiled = TorchLandmarkModel(network, card, compiled=True)
    plain = TorchLandmarkModel(network, card)
    for count in (9, 5):
        np.testing.assert_allclose(
            compiled.predict(crops[:count], windows[:count]),
            plain.predict(crops[:count], windows[:count]),
            atol=1e-4,
        )
