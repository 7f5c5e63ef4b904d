"""The papers' protocols as printed, and hand-computed learning rates."""

import dataclasses
import math

import pytest
import torch

from models.landmarks.training.recipes import MODERN, cosine, plateau, recipe_for
from schemas.choices import NETWORK_NAMES


def _optimizer(network: str) -> torch.optim.Optimizer:
    recipe = recipe_for("paper", network)
    return recipe.optimizer([torch.nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)


def test_the_local_motion_paper() -> None:
    for network in set(NETWORK_NAMES) - {"hourglass"}:
        recipe, optimizer = recipe_for("paper", network), _optimizer(network)
        assert type(optimizer) is torch.optim.Adam
        assert optimizer.defaults["lr"] == 1e-4 and optimizer.defaults["weight_decay"] == 0
        assert recipe.batch_size == (4 if network.startswith("3d") else 8)
        assert (recipe.epochs, recipe.coordinate_loss) == (100, "squares")
        assert recipe.schedule(0.9, [5.0] * 10) == 1
        assert recipe.schedule(0.1, [5.0] * 11) == pytest.approx(0.1)
        varied = recipe.strength
        assert (varied.mirror, varied.reversal, recipe.passes) == (0.5, 0.5, 4)
        assert (varied.angle_deg, varied.warp, varied.motion, varied.appearance) == (0, 0, 0, 0)


def test_fhr() -> None:
    recipe, optimizer = recipe_for("paper", "hourglass"), _optimizer("hourglass")
    assert type(optimizer) is torch.optim.RMSprop
    assert (optimizer.defaults["lr"], recipe.batch_size) == (2.5e-4, 6)
    varied = recipe.strength
    assert varied.angle_deg > 0 and varied.box_noise.log_size > 0
    assert (varied.mirror, varied.box_noise.shift_x, varied.stretch, varied.warp) == (0, 0, 0, 0)


def test_modern_is_one_for_all_networks() -> None:
    assert {recipe_for("modern", network).name for network in NETWORK_NAMES} == {"modern"}
    assert MODERN.autocast_devices == ("cuda",)
    assert dataclasses.replace(MODERN) == MODERN
    with pytest.raises(ValueError, match="got 'old', expected one of paper, modern"):
        recipe_for("old", "2d")


def test_a_plateau_is_so_many_epochs_without_a_better_one() -> None:
    def factor(*errors: float) -> float:
        return plateau(0.5, errors, reduction=0.1, patience_epochs=2)

    assert factor() == factor(5) == factor(5, 5) == factor(5, 6, 4) == factor(5, 6, 4, 4) == 1
    assert factor(5, 5, 6) == factor(5, 6, 4, 4, 4) == pytest.approx(0.1)
    assert factor(5, 5, 5, 5, 5) == pytest.approx(0.01)
    assert factor(5, 5, 5, 4, 5) == pytest.approx(0.1)  # a better one resets the patience
    assert factor(math.nan, math.nan, 5, 4) == pytest.approx(0.1)


def test_a_cosine_rises_and_falls() -> None:
    assert cosine(0.0, [], warm_up=0.1) == pytest.approx(0.001 / 0.101)
    assert cosine(0.05, [], warm_up=0.1) == pytest.approx(0.051 / 0.101)
    assert cosine(0.5, [1, 2, 3]) == pytest.approx(0.5)
    assert cosine(1.0, []) == pytest.approx(0.0)
