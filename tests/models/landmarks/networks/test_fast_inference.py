"""The fast forms equal the plain networks, and compute shared work once."""

import pytest
import torch
from torch import nn

from models.landmarks.networks.construction import build_network
from models.landmarks.networks.fast_inference import TemporalConvolution, fast_form
from models.landmarks.networks.heatmap_codecs import decode_heatmaps, encode_heatmaps
from models.landmarks.networks.landmark_network import LandmarkNetwork
from schemas.choices import NETWORK_NAMES

_TOLERANCE_PX = 1e-4
_EARLY = ("3d", "3drnn", "3dfcn", "3dfcrnn")


def _used(name: str) -> LandmarkNetwork:
    """A network whose batch norms have seen data."""
    torch.manual_seed(0)
    settings = {"stacks": 2, "features": 16} if name == "hourglass" else {}
    network = build_network(name, 4, crop_size_px=64 if settings else 32, **settings).train()
    with torch.no_grad():
        network(2 * torch.randn(3, 3, 3, network.crop_size_px, network.crop_size_px) + 1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                module.weight.normal_(1, 0.3)
                module.bias.normal_(0, 0.3)
        if network.heatmap_stride is None:
            network.get_parameter("output.weight").normal_(std=0.005)
    return network


def _landmarks_px(network: LandmarkNetwork, output: torch.Tensor, scale: float) -> torch.Tensor:
    """Heatmaps of an untrained network have many equal peaks; a Gaussian selects one."""
    if network.heatmap_stride is None:
        return network.crop_size_px * output
    size = output.shape[-1]
    peak = encode_heatmaps(torch.full((2,), size / 3), size, size)
    return network.heatmap_stride * decode_heatmaps(peak + 0.2 * output / scale, "fractional")


def _read(form, crops: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    shared = crops if form.read_crops is None else form.read_crops(crops)
    return form.read_windows(shared[windows[:, -form.frames_seen :]])


@pytest.mark.parametrize("taps", [False, True])
@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_the_fast_form_equals_the_plain_network(name: str, taps: bool) -> None:
    if taps and name not in _EARLY:
        pytest.skip("has no temporal kernels")
    network = _used(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    crops = torch.randn(5, 3, network.crop_size_px, network.crop_size_px)
    windows = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]])
    with torch.inference_mode():
        fast = _read(fast_form(network, temporal_taps=taps), crops, windows)
        plain = network.eval()(crops[windows])
    scale = float(plain.abs().max())
    assert (fast - plain).abs().max() <= 1e-5 * scale
    difference = _landmarks_px(network, fast, scale) - _landmarks_px(network, plain, scale)
    assert difference.abs().max() <= _TOLERANCE_PX
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", ["2drnn", "2dfcrnn"])
def test_a_crop_is_read_once_and_two_recurrent_steps_are_left(name: str) -> None:
    form = fast_form(_used(name))
    calls: dict[str, list[int]] = {"input_gates": [], "recurrent_gates": []}
    for key, sizes in calls.items():
        form.network.get_submodule(f"cell.{key}").register_forward_hook(
            lambda module, inputs, output, sizes=sizes: sizes.append(len(output))
        )
    _read(form, torch.randn(4, 3, 32, 32), torch.tensor([[0, 0, 1], [0, 1, 2], [1, 2, 3]]))
    assert calls == {"input_gates": [4], "recurrent_gates": [3, 3]}


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_no_batch_norm_is_left_that_could_be_folded(name: str) -> None:
    form = fast_form(_used(name))
    left = [m for m in form.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm3d)]
    assert not left
    if name != "hourglass":  # its residuals normalize their inputs
        assert not any(isinstance(m, nn.BatchNorm2d) for m in form.modules())
    assert not form.training
    assert not any(p.requires_grad for p in form.parameters())


@pytest.mark.parametrize(("stride", "frames"), [(1, 3), (2, 3), (1, 2), (2, 5)])
def test_temporal_convolution_equals_the_3d_one(stride: int, frames: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv3d(3, 4, 3, stride=(1, stride, stride), padding=1)
    x = torch.randn(2, 3, frames, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(TemporalConvolution(convolution)(x), convolution(x))
