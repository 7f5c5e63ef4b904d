import math
from typing import Any

import pytest
import torch

from models.landmarks.networks.construction import build_network
from models.landmarks.networks.heatmap_codecs import encode_heatmaps
from models.landmarks.training.losses import (
    heatmap_loss,
    landmark_loss,
    normalized_distance,
    soft_argmax_loss,
    spread_loss,
    squared_distance,
)
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


def test_integer_centres_are_the_pixels_that_landmarks_lie_in() -> None:
    truth_px = torch.tensor([[[10.4, 7.6]]]).expand(1, 68, 2)
    truth = (truth_px + 0.5) / 32 - 0.5  # crop units
    on_pixels = encode_heatmaps(truth_px.round(), 32, 32, 1.5)[:, None]
    exact = encode_heatmaps(truth_px, 32, 32, 1.5)[:, None]
    assert heatmap_loss(on_pixels, truth, 1.5, "integer").item() == pytest.approx(0, abs=1e-9)
    assert heatmap_loss(exact, truth, 1.5, "integer").item() > 0.01
    assert heatmap_loss(exact, truth, 1.5, "fractional").item() == pytest.approx(0, abs=1e-9)


def test_a_softmax_costs_its_distance_and_its_shape() -> None:
    truth = _faces([0.5])  # crop units; the eyes 16 px of the heatmap apart
    right = encode_heatmaps((truth + 0.5) * 32 - 0.5, 32, 32, 1.0)[:, None].clamp(min=1e-30).log()
    spread = torch.zeros(1, 1, 68, 32, 32)  # every pixel alike: its mean is the middle
    corners = 0.25 * 2 / 68 / 0.5  # two of 68 points lie 0.25 from the middle, of 0.5
    assert soft_argmax_loss(right, truth, 1.0).item() == pytest.approx(0, abs=1e-3)
    nats = math.log(32 * 32) - math.log(2 * math.pi * math.e)  # uniform compared with a Gaussian
    assert soft_argmax_loss(spread, truth, 1.0).item() == pytest.approx(
        corners + 0.01 * nats, abs=1e-3
    )


def test_a_landmark_outside_of_the_map_has_no_shape() -> None:
    truth = _faces([0.5])
    truth[0, 0] = torch.tensor([5.0, 0.0])
    maps = torch.randn(1, 1, 68, 32, 32, generator=torch.Generator().manual_seed(0))
    maps.requires_grad_()
    loss = soft_argmax_loss(maps, truth, 1.0)
    assert loss.isfinite()
    (gradient,) = torch.autograd.grad(loss, [maps])
    assert gradient.isfinite().all()


def test_squares_are_those_of_coordinates() -> None:
    truth = _faces([10.0])
    predicted = truth + torch.tensor([3.0, 4.0])
    assert squared_distance(predicted, truth).item() == pytest.approx((9 + 16) / 2)


def _maps(predicted: torch.Tensor) -> torch.Tensor:
    """(B, 1, L, 32, 32) heatmaps of landmarks in crop units."""
    return encode_heatmaps((predicted + 0.5) * 32 - 0.5, 32, 32, 1.0)[:, None]


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        (squared_distance, lambda p: p),
        (normalized_distance, lambda p: p),
        (lambda output, truth: heatmap_loss(output, truth, 1.0), _maps),
        (lambda output, truth: soft_argmax_loss(output, truth, 1.0), _maps),
    ],
)
def test_landmarks_that_are_not_labelled_count_nowhere(loss: Any, output: Any) -> None:
    """Excluded from the loss and its gradients, for any prediction."""
    truth = _faces([0.5])
    truth[:, :36] = math.nan
    losses = []
    for away in (0.1, 0.3):
        predicted = truth.nan_to_num() + 0.02
        predicted[:, :36] += away
        predicted = output(predicted).requires_grad_()
        losses.append(loss(predicted, truth))
        (gradient,) = torch.autograd.grad(losses[-1], [predicted])
        unknown = gradient.movedim(-2 if predicted.ndim == 3 else -3, 0)[:36]
        assert gradient.isfinite().all() and gradient.abs().sum() > 0 and not unknown.any()
    assert losses[0] > 0 and losses[0].item() == pytest.approx(losses[1].item())


def test_in_bfloat16_only_the_network_is() -> None:
    network = build_network("2d", crop_size_px=32).eval()
    loss = landmark_loss(network, "taylor", 3.0)
    windows, truth = torch.randn(2, 1, 3, 32, 32), _faces([0.5, 0.5])
    full, half = loss(windows, truth), loss(windows, truth, bfloat16=True)
    assert half.dtype == torch.float32
    assert half.item() != full.item() and half.item() == pytest.approx(full.item(), rel=0.02)


@pytest.mark.parametrize("codec", ["taylor", "soft_argmax"])
def test_every_stack_of_an_hourglass_is_taught_by_itself(codec: str) -> None:
    network = build_network("hourglass", stacks=2, features=8, crop_size_px=64)
    loss = landmark_loss(network, codec, 3.0)(
        torch.randn(2, 1, 3, 64, 64), torch.rand(2, 68, 2) - 0.5
    )
    first, last = (head.bias for head in network.heads)  # type: ignore[union-attr]
    gradient = torch.autograd.grad(loss, [first, last])
    assert all(part.abs().sum() > 0 for part in gradient)


@pytest.mark.parametrize("name", ["2d", "3drnn", "2dfcn"])
def test_losses_fit_their_networks(name: str) -> None:
    network = build_network(name)
    windows = torch.randn(2, network.frames_seen, 3, 64, 64)
    assert torch.isfinite(
        landmark_loss(network, "taylor", 3.0)(windows, torch.rand(2, 68, 2) - 0.5)
    )


def _maps(truth: torch.Tensor, log_spread: float) -> torch.Tensor:
    """(B, 136, 32, 32) of an exact network that predicts this spread."""
    places = encode_heatmaps((truth + 0.5) * 32 - 0.5, 32, 32, 1.0).clamp(min=1e-30).log()
    return torch.cat([places, torch.full_like(places, log_spread)], dim=1)


def test_the_best_spread_is_the_distance() -> None:
    """Everything 1 of 32 pixels off: the likelihood is best at a spread of 1/32 of the side."""
    truth = _faces([0.5])
    maps = _maps(truth + torch.tensor([1 / 32, 0.0]), 0.0)
    spreads = torch.tensor([1 / 64, 1 / 32, 1 / 16])
    costs = []
    for spread in spreads:
        maps[:, 68:] = spread.log()
        costs.append(spread_loss(maps, truth, 1.0).item())
    assert costs[1] == min(costs)
    # d / s + log s with d = s, s = 2 d, s = d / 2, in heatmap pixels; 0.005 a nat
    assert costs[0] - costs[1] == pytest.approx(0.005 * (1 - math.log(2)), rel=0.01)
    assert costs[2] - costs[1] == pytest.approx(0.005 * (math.log(2) - 0.5), rel=0.01)


def test_spreads_do_not_move_landmarks() -> None:
    truth = _faces([0.5])
    gradients = []
    for log_spread in (-3.0, -5.0):
        maps = _maps(truth + 0.01, log_spread).requires_grad_()
        spread_loss(maps, truth, 1.0).backward()
        assert maps.grad is not None
        gradients.append(maps.grad[:, :68])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("opening", "counts"), [(0.0, 4.0), (0.03, 1 + 3 * math.exp(-2))])
def test_an_eye_that_is_open_too_far_costs_more_than_its_distance(
    opening: float, counts: float
) -> None:
    """Upper lids up, lower lids down, or both up: the same distances, another opening."""
    truth = _faces([0.5])
    upper, lower = [37, 38, 43, 44], [41, 40, 47, 46]
    truth[:, lower, 1] += opening
    apart, together = truth.clone(), truth.clone()
    apart[:, upper, 1] -= 0.02
    apart[:, lower, 1] += 0.02
    together[:, [*upper, *lower], 1] -= 0.02
    costs = [spread_loss(_maps(face, -4.0), truth, 1.0).item() for face in (apart, together)]
    # four of seven openings are off by 0.04 of an interocular distance of 0.5; shut eyes count most
    assert costs[0] - costs[1] == pytest.approx(1.3 * counts * 4 / 7 * 0.04 / 0.5, rel=0.05)
