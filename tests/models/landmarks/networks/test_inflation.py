import pytest
import torch

from models.landmarks.networks.construction import build_network
from models.landmarks.networks.inflation import inflate
from models.landmarks.networks.landmark_network import LandmarkNetwork
from schemas.errors import UsageError


def _network(name: str, seed: int) -> LandmarkNetwork:
    """Freshly initialized, with means and variances as if it had been trained."""
    torch.manual_seed(seed)
    network = build_network(name, crop_size_px=32)
    for key, tensor in network.state_dict().items():
        if key.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return network.eval()


def _windows(frames: int = 3) -> torch.Tensor:
    return torch.randn(2, frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("source", "target"),
    [("2d", "3d"), ("2drnn", "3drnn"), ("2dfcn", "3dfcn"), ("2dfcrnn", "3dfcrnn")],
)
@torch.no_grad()
def test_3d_starts_with_what_2d_predicts(source: str, target: str) -> None:
    flat, deep = _network(source, 0), _network(target, 5)
    inflation = inflate(deep, target, flat.state_dict(), source)
    assert inflation.fresh == () and len(inflation.inflated) >= 5
    windows = _windows()  # three different frames: whatever moves
    torch.testing.assert_close(deep(windows), flat(windows), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_trunk_gives_each_frame_the_features_of_2d() -> None:
    flat, deep = _network("2d", 0), _network("3drnn", 5)
    inflation = inflate(deep, "3drnn", flat.state_dict(), "2d")
    frames = _windows()
    features = deep.blocks(frames.transpose(1, 2))  # (B, 512, T, 1, 1)
    for frame in range(3):
        torch.testing.assert_close(
            features[:, :, frame], flat.blocks(frames[:, frame]), rtol=1e-4, atol=1e-5
        )
    assert inflation.fresh == ("cell.input_gates", "cell.recurrent_gates", "output")
    assert str(inflation).startswith("5 layers taken, 5 inflated; new: cell.input_gates")


def test_what_was_zero_is_learned() -> None:
    deep = _network("3d", 5)
    inflate(deep, "3d", _network("2d", 0).state_dict(), "2d")
    deep(_windows()).square().sum().backward()
    first = deep.blocks[0].convolution.weight  # (32, 3, T, 3, 3)
    assert first[:, :, 0].abs().max() == 0 and first.grad[:, :, 0].abs().max() > 0


def test_a_network_starts_from_itself_in_any_precision() -> None:
    same, other = _network("2dfcn", 0), _network("2dfcn", 5)
    stored = {name: tensor.half() for name, tensor in same.state_dict().items()}
    inflation = inflate(other, "2dfcn", stored, "2dfcn")
    assert inflation.fresh == inflation.inflated == ()
    assert torch.equal(other.output.weight, stored["output.weight"].float())


def test_layers_of_another_size_are_new() -> None:
    one = build_network("hourglass", stacks=1, features=8, crop_size_px=64)
    two = build_network("hourglass", stacks=2, features=8, crop_size_px=64)
    inflation = inflate(two, "hourglass", one.state_dict(), "hourglass")
    assert {layer.split(".")[0] for layer in inflation.fresh} == {
        "stacks",
        "heads",
        "feature_joins",
        "heatmap_joins",
    }
    assert torch.equal(two.heads[0].weight, one.heads[0].weight)
    large = build_network("2d", crop_size_px=64)
    small = _network("2d", 0)
    assert inflate(large, "2d", small.state_dict(), "2d").fresh == ("hidden",)


@pytest.mark.parametrize(("source", "target"), [("3d", "2d"), ("2d", "2dfcn"), ("2d", "hourglass")])
def test_others_cannot_start(source: str, target: str) -> None:
    with pytest.raises(UsageError, match=f"{target}: cannot start from weights of {source}"):
        inflate(build_network(target), target, {}, source)
