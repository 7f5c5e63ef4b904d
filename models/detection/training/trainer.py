"""Training of the face detector: assignment of faces to cells, and the loss.

    score   quality focal loss (Li et al., "Generalized Focal Loss", 2020, Eq. 3): the
            target of an assigned cell is the root of its box's IoU, of others 0
    box     generalized IoU loss (Rezatofighi et al., 2019, Eq. 6), plus the error of
            centre and log size relative to the face, which reduces jitter

A run is a pure function of its settings and the step number: every step seeds its own
canvases, so a resumed run gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from models.checkpoints import opened_checkpoint, save_checkpoint, update_average
from models.detection.box_decoding import BASE_STRIDES, LOG_SIZE_LIMIT, cell_centres
from models.detection.network import DetectorNetwork
from models.detection.training.canvases import Canvas, draw_canvas
from models.detection.training.labelled_images import LabelledImage
from models.detection.weights_file import DetectorConfig

#: Face sizes (square root of the box's area, px) assigned to each level; they overlap.
_LEVEL_SIZES_PX: Final = ((0.0, 40.0), (28.0, 84.0), (60.0, 180.0), (130.0, math.inf))
_REACH_STRIDES: Final = 1.25  # a face is assigned to the cells this near its centre
_BOX_WEIGHT: Final = 2.0
_RELATIVE_WEIGHT: Final = 2.0


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings of a training, apart from the data.

    Attributes:
        canvas_px, batch_size: the usual step.
        large_canvas_px, large_batch_size, large_share: a share of the steps sees larger
            canvases, for faces as large as a frame.
        learning_rate: the highest, of AdamW; a cosine takes it to 1 % of that.
        average_decay: of the running mean of the weights, which is what ships.
    """

    canvas_px: int = 320
    batch_size: int = 16
    large_canvas_px: int = 512
    large_batch_size: int = 6
    large_share: float = 0.2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    warm_up_steps: int = 200
    average_decay: float = 0.998
    seed: int = 0


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The parts of one step's loss, and the number of assigned cells."""

    total: float
    score: float
    box: float
    relative: float
    cells: int


def assign_cells(
    centres_px: torch.Tensor,
    strides_px: torch.Tensor,
    level: torch.Tensor,
    boxes_xyxy_px: torch.Tensor,
) -> torch.Tensor:
    """Assignment of faces to cells.

    Args:
        centres_px: (K, 2) cell centres of all levels.
        strides_px: (K,) each cell's stride.
        level: (K,) int64, each cell's level.
        boxes_xyxy_px: (N, 4) faces.

    Returns: (K,) int64, the face's number, or -1. A cell of several faces gets the smallest.
    """
    if len(boxes_xyxy_px) == 0:
        return torch.full((len(centres_px),), -1, dtype=torch.int64)
    low, high = boxes_xyxy_px[:, :2], boxes_xyxy_px[:, 2:]
    away = (centres_px[:, None] - (low + high) / 2).abs()  # (K, N, 2)
    near = (away <= _REACH_STRIDES * strides_px[:, None, None]).all(-1)
    inside = (away <= (high - low) / 2).all(-1) | (away <= strides_px[:, None, None] / 2).all(-1)
    area = (high - low).clamp(min=0).prod(-1)
    ranges = torch.tensor(_LEVEL_SIZES_PX)[level]  # (K, 2)
    size = area.sqrt()
    fits = (size >= ranges[:, :1]) & (size <= ranges[:, 1:])
    cost = torch.where(near & inside & fits, area, torch.inf)
    least, face = cost.min(1)
    return torch.where(torch.isfinite(least), face, -1)


def detection_loss(
    levels: list[torch.Tensor], strides_px: tuple[int, ...], canvases: Sequence[Canvas]
) -> tuple[torch.Tensor, StepLosses]:
    """The loss of a batch of B canvases, to be minimised, and its parts.

    `levels` are the network's maps, (B, 5, H, W) of each stride.
    """
    centres, strides, numbers = [], [], []
    for i, (maps, stride_px) in enumerate(zip(levels, strides_px, strict=True)):
        grid = torch.from_numpy(cell_centres(maps.shape[2], maps.shape[3], stride_px))
        centres.append(grid)
        strides.append(torch.full((len(grid),), float(stride_px)))
        numbers.append(torch.full((len(grid),), i))
    centre, stride, level = torch.cat(centres), torch.cat(strides), torch.cat(numbers)
    cells = torch.cat([m.float().flatten(2) for m in levels], 2).transpose(1, 2)  # (B, K, 5)

    wanted = torch.zeros(cells.shape[:2])
    taught = torch.ones(cells.shape[:2])
    rows, boxes = [], []
    for b, canvas in enumerate(canvases):
        faces = torch.from_numpy(canvas.boxes_xyxy_px)
        face = assign_cells(centre, stride, level, faces)
        answers = torch.nonzero(face >= 0)[:, 0]
        rows.append(torch.stack([torch.full_like(answers, b), answers]))
        boxes.append(faces[face[answers]])
        for x0, y0, x1, y1 in canvas.ignore_xyxy_px.tolist():
            x, y = centre[:, 0], centre[:, 1]
            hidden = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
            taught[b, hidden & (face < 0)] = 0
    index, target = torch.cat(rows, 1), torch.cat(boxes)
    count = max(1, index.shape[1])
    chosen = cells[index[0], index[1]]  # (P, 5)
    found = decode_boxes(chosen[:, 1:], centre[index[1]], stride[index[1], None])
    overlap, generalized = _paired_iou(found, target)
    wanted[index[0], index[1]] = overlap.detach().clamp(min=0.0).sqrt()

    logits = cells[..., 0]
    focus = (logits.sigmoid() - wanted).abs() ** 2
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    score = (focus.detach() * entropy * taught).sum() / count
    box = (1 - generalized).sum() / count
    relative = _relative_error(found, target).sum() / count
    total = score + _BOX_WEIGHT * box + _RELATIVE_WEIGHT * relative
    return total, StepLosses(
        total.item(), score.item(), box.item(), relative.item(), index.shape[1]
    )


def decode_boxes(
    codes: torch.Tensor, centres_px: torch.Tensor, stride_px: torch.Tensor
) -> torch.Tensor:
    """`models.detection.box_decoding.decode_boxes` with gradients; codes (P, 4), centres (P, 2)."""
    centre = centres_px + codes[:, :2] * stride_px
    log_size = codes[:, 2:].clamp(-LOG_SIZE_LIMIT, LOG_SIZE_LIMIT)
    half = log_size.exp() * (BASE_STRIDES / 2 * stride_px)
    return torch.cat([centre - half, centre + half], 1)


def _paired_iou(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalized IoU of (P, 4) with (P, 4), pair by pair."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    shared_area, hull_area = shared.prod(1), hull.prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared_area
    overlap = shared_area / union.clamp(min=1e-6)
    return overlap, overlap - (hull_area - union) / hull_area.clamp(min=1e-6)


def _relative_error(found: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(P,) smooth L1 of centre (in box sides) and log size, quadratic under 5 %."""
    side, wanted_side = found[:, 2:] - found[:, :2], target[:, 2:] - target[:, :2]
    centre = (found[:, 2:] + found[:, :2] - target[:, 2:] - target[:, :2]) / 2
    error = torch.cat([centre / wanted_side, (side / wanted_side).log()], 1)
    return functional.smooth_l1_loss(
        error, torch.zeros_like(error), beta=0.05, reduction="none"
    ).sum(1)


class DetectorTrainer:
    """A training run that can be stopped after any step and resumed from a file.

    Canvases are drawn from `pools`, each with the chance in `weights` (`draw_canvas`).
    """

    def __init__(
        self,
        pools: Sequence[Sequence[LabelledImage]],
        weights: npt.NDArray[np.float64],
        settings: TrainingSettings,
        config: DetectorConfig | None = None,
    ) -> None:
        self.pools, self.weights, self.settings = pools, weights, settings
        torch.manual_seed(settings.seed)
        network = DetectorNetwork(config)
        self.network: DetectorNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        #: The running mean of the weights: what to evaluate and to ship.
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if p.ndim > 1]},
            {"params": [p for p in self.network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.step_number = 0
        self.seconds_spent = 0.0

    def step(self, progress: float) -> StepLosses:
        """One optimizer step; the learning rate follows `progress` through the run, in [0, 1]."""
        settings = self.settings
        warm = min(1.0, (self.step_number + 1) / max(1, settings.warm_up_steps))
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * warm * cosine
        canvases = self.draw()
        batch = torch.from_numpy(np.stack([c.image for c in canvases]))  # (B, S, S, 3)
        self.network.train()
        levels = self.network(batch.permute(0, 3, 1, 2).float())
        total, losses = detection_loss(levels, self.network.config.strides_px, canvases)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.step_number += 1
        decay = min(settings.average_decay, (1 + self.step_number) / (10 + self.step_number))
        update_average(self.average, self.network, decay)
        return losses

    def draw(self) -> list[Canvas]:
        """The canvases of the step to come; the same at every call."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, self.step_number])
        size_px, count = settings.canvas_px, settings.batch_size
        if rng.random() < settings.large_share:
            size_px, count = settings.large_canvas_px, settings.large_batch_size
        return [draw_canvas(self.pools, self.weights, size_px, rng) for _ in range(count)]

    def save(self, path: Path) -> None:
        """Writes a checkpoint atomically."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step_number": self.step_number,
            "seconds_spent": self.seconds_spent,
        }
        save_checkpoint(path, state)

    def load(self, path: Path) -> None:
        """Resumes from a file of `save`.

        Raises:
            WeightsError: the file is missing, damaged, or of another run.
        """
        with opened_checkpoint(path) as state:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step_number = int(state["step_number"])
            self.seconds_spent = float(state["seconds_spent"])
