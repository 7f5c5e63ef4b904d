import torch

from models.landmarks.networks.coordinate_network import CoordinateNetwork
from models.landmarks.networks.fast_inference import fold_batch_norms


def _used_network() -> CoordinateNetwork:
    """A network whose batch norms have seen data, so that folding has an effect."""
    torch.manual_seed(0)
    network = CoordinateNetwork(early=False).train()
    for _ in range(3):
        network(2 * torch.randn(8, 3, 64, 64) + 1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight)  # of either sign
            torch.nn.init.normal_(module.bias)
    torch.nn.init.normal_(network.output.weight, std=0.005)  # landmarks within some crops
    return network


def test_parameter_count_is_the_published_one() -> None:
    assert sum(p.numel() for p in CoordinateNetwork(early=False).parameters()) == 3_810_184


def test_output_is_one_point_a_landmark() -> None:
    network = CoordinateNetwork(early=False).eval()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 68, 2)


def test_pooling_before_the_activation_is_the_order_of_the_paper() -> None:
    network = _used_network().eval()
    block = network.blocks[0]
    x = torch.randn(2, 3, 16, 16)
    paper = block.pool(torch.nn.functional.elu(block.norm(block.convolution(x))))
    torch.testing.assert_close(block(x), paper, rtol=0, atol=0)


def test_folded_network_equals_the_plain_one() -> None:
    network = _used_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold_batch_norms(network)
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        difference_px = 64 * (folded(x) - network.eval()(x)).abs().max()
    assert difference_px <= 1e-4
    assert not any("norm" in name for name in folded.state_dict())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
