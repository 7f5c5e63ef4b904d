"""The networks of both papers: published parameter counts, shapes, inputs, initialization."""

import pytest
import torch

from models.landmarks.networks.construction import build_network
from models.landmarks.networks.coordinate_network import CoordinateNetwork
from models.landmarks.networks.recurrent_cell import lstm_cell
from schemas.choices import NETWORK_NAMES

_COUNTS = {
    "2d": 3_810_184,
    "3d": 11_139_656,
    "2drnn": 14_296_968,
    "3drnn": 17_432_136,
    "2dfcrnn": 10_210_116,
    "3dfcrnn": 14_942_532,
}
_PLAIN_FCN = ("2dfcn", "3dfcn")
_PAPER_NAMES = (*_COUNTS, *_PLAIN_FCN)


@pytest.mark.parametrize(("name", "count"), _COUNTS.items())
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    assert sum(p.numel() for p in build_network(name).parameters()) == count


def test_without_the_conv_lstm_its_parameters_are_missing() -> None:
    cell = 4 * 256 * (2 * 256 * 9 + 1)
    for plain, recurrent in zip(_PLAIN_FCN, ("2dfcrnn", "3dfcrnn"), strict=True):
        count = sum(p.numel() for p in build_network(plain).parameters())
        assert count == _COUNTS[recurrent] - cell


@pytest.mark.parametrize("name", _PAPER_NAMES)
def test_outputs(name: str) -> None:
    network = build_network(name, 5, crop_size_px=32).eval()
    output = network(torch.zeros(2, 3, 3, 32, 32))
    if network.heatmap_stride is None:
        assert output.shape == (2, 5, 2)
    else:
        assert output.shape == (2, 5, 32, 32)


def test_hourglass_outputs_and_supervision() -> None:
    network = build_network("hourglass", 5, stacks=3, features=8, crop_size_px=64).eval()
    assert (network.heatmap_stride, network.crop_size_px) == (4, 64)
    x = torch.randn(2, 3, 64, 64)
    stacks = network.all_stacks(x)  # type: ignore[operator]
    assert stacks.shape == (2, 3, 5, 16, 16)
    assert torch.equal(network(x), stacks[:, -1])
    assert not torch.equal(stacks[:, 0], stacks[:, 1])
    stacks[:, 0].sum().backward()
    assert network.heads[0].weight.grad.any()  # type: ignore[index, union-attr]
    assert not network.heads[1].weight.grad.any()  # type: ignore[index, union-attr]


def test_hourglass_of_the_paper() -> None:
    network = build_network("hourglass")
    assert len(network.stacks) == 4  # type: ignore[arg-type]
    stem = network.get_submodule("stem.0")
    assert (stem.kernel_size, stem.stride) == ((7, 7), (2, 2))
    assert network.crop_size_px == 256


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_frames_seen_are_the_frames_that_matter(name: str) -> None:
    size = 64 if name == "hourglass" else 32
    settings = {"stacks": 1, "features": 8} if name == "hourglass" else {}
    torch.manual_seed(0)
    network = build_network(name, 5, crop_size_px=size, **settings).eval()
    windows = torch.randn(1, 3, 3, size, size)
    for frame in range(3):
        other = windows.clone()
        other[:, frame] = torch.randn(3, size, size)
        with torch.no_grad():
            moved = (network(other) - network(windows)).abs().max() > 1e-9
        assert moved == (frame >= 3 - network.frames_seen), frame


@pytest.mark.parametrize("name", ["2d", "2dfcn", "hourglass"])
def test_single_frame_networks_take_crops_too(name: str) -> None:
    network = build_network(name, 5, crop_size_px=64).eval()
    windows = torch.randn(2, 3, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(windows), network(windows[:, -1]))


@pytest.mark.parametrize("name", _PAPER_NAMES)
def test_weights_start_xavier_uniform(name: str) -> None:
    torch.manual_seed(0)
    for module in build_network(name).modules():
        weight = getattr(module, "weight", None)
        if weight is None or weight.ndim < 2:
            continue
        fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(weight)
        limit = (6 / (fan_in + fan_out)) ** 0.5
        assert weight.abs().max().item() <= limit * (1 + 1e-6)
        assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)
        assert module.bias is None or not module.bias.any()


def test_the_cell_is_an_lstm_without_its_second_bias() -> None:
    torch.manual_seed(0)
    cell = lstm_cell(6, 5, 0.2).eval()
    theirs = torch.nn.LSTM(6, 5, batch_first=True)
    with torch.no_grad():
        cell.input_gates.bias.normal_()  # type: ignore[union-attr, operator]
        theirs.weight_ih_l0.copy_(cell.input_gates.weight)  # type: ignore[arg-type]
        theirs.weight_hh_l0.copy_(cell.recurrent_gates.weight)  # type: ignore[arg-type]
        theirs.bias_ih_l0.copy_(cell.input_gates.bias)  # type: ignore[arg-type]
        theirs.bias_hh_l0.zero_()
        x = torch.randn(4, 3, 6)
        torch.testing.assert_close(cell(x), theirs(x)[0][:, -1])


def test_dropout_falls_on_recurrent_connections_in_training_only() -> None:
    torch.manual_seed(0)
    cell = lstm_cell(6, 50, 0.2)
    x = torch.randn(1, 3, 6)
    assert not torch.equal(cell.train()(x), cell.train()(x))
    assert torch.equal(cell(x[:, :1]), cell(x[:, :1]))  # one timestep has no recurrence
    assert torch.equal(cell.eval()(x), cell.eval()(x))
    network = build_network("2drnn", dropout=0.5)
    assert isinstance(network, CoordinateNetwork) and network.cell is not None
    assert (network.cell.dropout.p, network.dropout.p) == (0.5, 0.5)


def test_a_sequence_keeps_one_dropout_mask() -> None:
    cell = lstm_cell(1, 4, 0.5).train()
    seen: list[torch.Tensor] = []
    cell.recurrent_gates.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    cell(torch.ones(8, 4, 1))
    zeros = [state == 0 for state in seen]
    assert zeros[0].any()
    assert all(torch.equal(zeros[0], z) for z in zeros[1:])


@pytest.mark.parametrize("name", _PAPER_NAMES)
def test_every_parameter_is_trained(name: str) -> None:
    network = build_network(name, 5, crop_size_px=32).train()
    network(torch.randn(2, 3, 3, 32, 32)).square().sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name


def test_what_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="network: got '4d', expected one of 2d, 3d,"):
        build_network("4d")
    with pytest.raises(ValueError, match="crop_size_px: got 48, expected a multiple of 32"):
        build_network("3dfcn", crop_size_px=48)
    with pytest.raises(ValueError, match="multiple of 64"):
        build_network("hourglass", crop_size_px=96)
    with pytest.raises(ValueError, match="hourglass: got 0 stacks of 256 features"):
        build_network("hourglass", stacks=0)
