"""Training recipes of the landmark networks: the papers' protocols, and a modern one.

| | paper | paper, hourglass | modern |
| --- | --- | --- | --- |
| optimizer | Adam 1e-4 | RMSprop 2.5e-4 | AdamW 1e-3, gradient clipping |
| schedule | x 0.1 after 10 epochs without progress | the same | warm-up, cosine |
| batch | 8 (2D), 4 (3D) | 6 | 32 |
| loss | squares | squares | distance |
| samples | half mirrored, half reversed | scaled, rotated | boxes, shapes, colours varied |
| epoch | 4 passes: the set, so enlarged | a pass | 4096 samples, drawn by weight |
| kept | the weights | the weights | their moving average |
| length | 100 epochs | 100 epochs | given by the caller |

The first two are those of the local-motion paper (section 4) and of FHR ("Training Setting").
FHR gives no schedule, length, or range of scale and rotation: schedule and length are taken from
the other paper, the ranges from Newell et al. 2016: 25 percent and 30 degrees.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import torch

from models.face_box import BoxNoise
from models.landmarks.training.augmentation import AugmentationStrength
from models.landmarks.training.losses import HeatmapCentres
from schemas.choices import RECIPES


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """A training protocol, without data and seed.

    optimizer: from groups of parameters and `lr`.
    schedule: factor of the learning rate, 0 to 1, at a progress through the run (0 to 1) after
        epochs with these validation errors. The errors are its only state, so a resumed run gives
        the same result as an uninterrupted one.
    coordinate_loss: how coordinates are compared with the truth; heatmaps are by their squares,
        or by the distance where they are read by soft-argmax.
    heatmap_centres: of the heatmaps that squares are compared with.
    strength: of the augmentation.
    fade: by what share changes of appearance become rarer over the run, 0 to 1.
    passes: an epoch is this many shuffled passes over the windows; None: it is
        samples_per_epoch windows, drawn by their weights.
    average_decay: of the moving average of the weights, a step; 0: the weights themselves.
    epochs: default length of a run; None: the caller must give one.
    gradient_limit: norm to which gradients are clipped.
    mean_shape_start: coordinate networks are initialized to predict about the mean face.
    output_pace: learning rate of their last layer over that of the others.
    autocast_devices: kinds of devices where forward passes are computed in bfloat16.
    """

    name: str
    optimizer: Callable[..., torch.optim.Optimizer]
    learning_rate: float
    schedule: Callable[[float, Sequence[float]], float]
    batch_size: int
    coordinate_loss: Literal["squares", "distance"]
    strength: AugmentationStrength
    heatmap_centres: HeatmapCentres = "fractional"
    fade: float = 0.0
    passes: int | None = None
    samples_per_epoch: int = 4096
    average_decay: float = 0.0
    epochs: int | None = None
    dropout: float = 0.2
    gradient_limit: float = math.inf
    mean_shape_start: bool = False
    output_pace: float = 1.0
    autocast_devices: tuple[str, ...] = ()


def plateau(
    progress: float,
    validation_errors: Sequence[float],
    *,
    reduction: float = 0.1,
    patience_epochs: int = 10,
) -> float:
    """Reduced each time the validation error has not improved for a number of epochs.

    The local-motion paper's, section 4.2.
    """
    best, waited, factor = math.inf, 0, 1.0
    for error in validation_errors:
        best, waited = (error, 0) if error < best else (best, waited + 1)
        if waited == patience_epochs:
            factor, waited = factor * reduction, 0
    return factor


def cosine(progress: float, validation_errors: Sequence[float], *, warm_up: float = 0.02) -> float:
    """Up over the share `warm_up` of a run, then down to nothing along half a cosine."""
    if progress < warm_up:
        return (progress + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


_NO_BOX_NOISE: Final = BoxNoise(0.0, 0.0, 0.0, 0.0)
_UNVARIED: Final = AugmentationStrength(
    box_noise=_NO_BOX_NOISE,
    angle_deg=0.0,
    stretch=0.0,
    warp=0.0,
    motion=0.0,
    mirror=0.0,
    appearance=0.0,
)
_PAPER_2D: Final = Recipe(
    name="paper",
    optimizer=functools.partial(torch.optim.Adam, fused=True),
    learning_rate=1e-4,
    schedule=plateau,
    batch_size=8,
    coordinate_loss="squares",
    strength=dataclasses.replace(_UNVARIED, mirror=0.5, reversal=0.5),
    passes=4,
    epochs=100,
)
_PAPER_3D: Final = dataclasses.replace(_PAPER_2D, batch_size=4)
#: Deviations are cut at, or drawn evenly up to, three to three and a half times as much.
_PAPER_HOURGLASS: Final = dataclasses.replace(
    _PAPER_2D,
    optimizer=torch.optim.RMSprop,
    learning_rate=2.5e-4,
    batch_size=6,
    strength=dataclasses.replace(
        _UNVARIED, box_noise=dataclasses.replace(_NO_BOX_NOISE, log_size=0.08), angle_deg=9.0
    ),
    passes=1,
)
#: A step of Adam moves each weight by about the learning rate, so 1024 of them move a landmark by
#: a good part of the crop, while landmarks vary by a twentieth of it: hence output_pace.
MODERN: Final = Recipe(
    name="modern",
    optimizer=functools.partial(torch.optim.AdamW, weight_decay=1e-2, fused=True),
    learning_rate=1e-3,
    schedule=cosine,
    batch_size=32,
    coordinate_loss="distance",
    strength=AugmentationStrength(angle_deg=12.0, any_roll=0.1, worn=0.15),
    fade=0.5,
    average_decay=0.999,
    gradient_limit=5.0,
    mean_shape_start=True,
    output_pace=0.1,
    autocast_devices=("cuda",),
)


def recipe_for(name: str, network: str) -> Recipe:
    """The recipe of that name for a network.

    Args:
        name: one of RECIPES.
        network: one of NETWORK_NAMES.

    Raises:
        ValueError: there is no such recipe.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe: got {name!r}, expected one of {', '.join(RECIPES)}")
    if name == MODERN.name:
        return MODERN
    if network == "hourglass":
        return _PAPER_HOURGLASS
    return _PAPER_3D if network.startswith("3d") else _PAPER_2D
