"""The U-net: shapes, initialization, decoding of its maps, and its inference form."""

import math

import numpy as np
import pytest
import torch

from models.landmarks.card import LandmarkCard
from models.landmarks.networks.fast_inference import fast_form
from models.landmarks.networks.heatmap_codecs import (
    read_places_and_spreads,
    soft_argmax,
    soft_argmax_spread,
)
from models.landmarks.networks.unet import UNet
from models.landmarks.torch_model import TorchLandmarkModel

CHANNELS = (4, 8, 8, 8, 8)


def test_shapes() -> None:
    network = UNet(5, channels=CHANNELS, crop_size_px=64).eval()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 10, 16, 16)
    window = torch.randn(2, 3, 3, 64, 64)
    torch.testing.assert_close(network(window), network(window[:, -1]))


def test_settings_that_cannot_be() -> None:
    for settings in ({"channels": (4, 8)}, {"blocks": 0}, {"crop_size_px": 72}):
        with pytest.raises(ValueError, match=r"unet|crop_size_px"):
            UNet(5, **settings)


def test_a_fresh_network_expects_to_be_off_by_a_fiftieth_of_the_crop() -> None:
    torch.manual_seed(0)
    network = UNet(5, channels=CHANNELS, crop_size_px=64).eval()
    places, log_spreads = network(torch.zeros(1, 3, 64, 64)).chunk(2, dim=1)
    _, log_share = soft_argmax(places)
    spread = soft_argmax_spread(log_spreads, log_share)
    torch.testing.assert_close(spread, torch.full((1, 5), math.exp(-4)), rtol=0.5, atol=0)


def test_spread_is_averaged_over_the_softmax_by_hand() -> None:
    """Half of the share lies on each of two pixels, whose spreads 1 and 4 have 2 between them."""
    share = torch.zeros(1, 3, 3)
    share[0, 0, 0] = share[0, 2, 2] = 0.5
    log_spreads = torch.full((1, 3, 3), 99.0)
    log_spreads[0, 0, 0], log_spreads[0, 2, 2] = math.log(1), math.log(4)
    found = soft_argmax_spread(log_spreads, share.clamp(min=1e-30).log())
    assert found.item() == pytest.approx(2.0, rel=1e-4)


def test_the_inference_form_gives_the_same_maps() -> None:
    torch.manual_seed(1)
    network = UNet(5, channels=CHANNELS, crop_size_px=64)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network.eval()
    crops = torch.randn(3, 3, 64, 64)
    form = fast_form(network)
    assert form.read_crops is None
    with torch.inference_mode():
        torch.testing.assert_close(
            form.read_windows(crops[:, None]), network(crops), atol=1e-4, rtol=1e-4
        )


def test_landmarks_and_spreads_in_crop_pixels() -> None:
    """Flat maps: every landmark in the middle, expected to be off by a fiftieth of the side."""
    card = LandmarkCard(
        network="unet",
        settings={"channels": [*CHANNELS]},
        crop_size_px=64,
        codec="soft_argmax",
        spread_scale=2.0,
    )
    network = card.build_network()
    assert isinstance(network, UNet) and network.output.bias is not None
    torch.nn.init.zeros_(network.output.weight)
    with torch.no_grad():
        network.output.bias[68:] = math.log(0.01)
    crops, windows = np.zeros((1, 64, 64, 3), np.uint8), np.zeros((2, 3), np.intp)
    model = TorchLandmarkModel(network, card)
    points, spread = model.predict_with_spread(crops, windows)
    assert points.shape == (2, 68, 2) and spread.shape == (2, 68)
    np.testing.assert_allclose(points, 31.5, atol=1e-4)
    np.testing.assert_allclose(spread, 1.28, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(crops, windows), points)


def test_maps_are_read_alike_for_training_and_for_inference() -> None:
    maps = 4 * torch.randn(2, 10, 8, 6, generator=torch.Generator().manual_seed(0))
    places, log_spreads = maps.chunk(2, dim=1)
    mean, log_share = soft_argmax(places)
    points, spreads = read_places_and_spreads(maps)
    torch.testing.assert_close(points, mean)
    torch.testing.assert_close(spreads, soft_argmax_spread(log_spreads, log_share))
