import pytest
import torch

from models.landmarks.losses import heatmap_loss, landmark_loss, normalized_distance
from models.networks.construction import build_network
from models.networks.heatmap_codecs import encode_heatmaps
from schemas.landmarks import OUTER_EYE_CORNERS


def _faces(interocular: list[float]) -> torch.Tensor:
    """(B, 68, 2): all points in the middle but the outer corners of the eyes."""
    faces = torch.zeros(len(interocular), 68, 2)
    right, left = OUTER_EYE_CORNERS
    faces[:, right, 0] = -torch.tensor(interocular) / 2
    faces[:, left, 0] = torch.tensor(interocular) / 2
    return faces


def test_the_distance_is_in_interocular_distances() -> None:
    truth = _faces([10.0, 10.0])
    predicted = truth + torch.tensor([3.0, 4.0])  # 5 away, half of 10
    assert normalized_distance(predicted, truth).item() == pytest.approx(0.5)
    assert normalized_distance(truth, truth).item() == pytest.approx(0, abs=1e-4)


def test_a_profile_weighs_twice_a_median_face_at_most() -> None:
    truth = _faces([10.0, 10.0, 0.1])
    predicted = truth + torch.tensor([3.0, 4.0])
    assert normalized_distance(predicted, truth).item() == pytest.approx((0.5 + 0.5 + 1.0) / 3)


def test_an_empty_prediction_costs_one_and_the_truth_nothing() -> None:
    truth = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    wanted = encode_heatmaps((truth + 0.5) * 32 - 0.5, 32, 32, 3.0)  # crop units to heatmap pixels
    assert heatmap_loss(torch.zeros(2, 1, 68, 32, 32), truth, 3.0).item() == pytest.approx(1.0)
    assert heatmap_loss(wanted[:, None], truth, 3.0).item() == pytest.approx(0.0)
    both = torch.stack([wanted, torch.zeros_like(wanted)], dim=1)  # of two stacks one is right
    assert heatmap_loss(both, truth, 3.0).item() == pytest.approx(0.5)


def test_every_stack_of_an_hourglass_is_taught_by_itself() -> None:
    network = build_network("hourglass", stacks=2, features=8, crop_size_px=64)
    loss = landmark_loss(network, 3.0)(torch.randn(2, 1, 3, 64, 64), torch.rand(2, 68, 2) - 0.5)
    first, last = (head.bias for head in network.heads)  # type: ignore[union-attr]
    gradient = torch.autograd.grad(loss, [first, last])
    assert all(part.abs().sum() > 0 for part in gradient)


@pytest.mark.parametrize("name", ["2d", "3drnn", "2dfcn"])
def test_losses_fit_their_networks(name: str) -> None:
    network = build_network(name)
    windows = torch.randn(2, network.frames_seen, 3, 64, 64)
    assert torch.isfinite(landmark_loss(network, 3.0)(windows, torch.rand(2, 68, 2) - 0.5))
