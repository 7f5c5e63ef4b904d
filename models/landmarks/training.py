"""Training of the 2D coordinate regression network on labelled faces.

The loss is the metric: the mean distance of the landmarks over the distance of the outer
corners of the eyes. Adam with decoupled weight decay, cosine schedule, exponential moving
average of the weights. Every random number follows from (seed, step), so a run that was
stopped and resumed gives what an unbroken run gives.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.crops import image_to_crop, square_affine
from models.landmarks.augmentation import AugmentationStrength, augment
from models.landmarks.data import LabelledFace
from models.landmarks.model import LandmarkCard, LandmarkModel
from models.networks.coordinate_network import CoordinateNetwork2D
from models.whole_file import replacing
from schemas.errors import WeightsError
from schemas.landmarks import OUTER_EYE_CORNERS

__all__ = ["LandmarkTrainer", "TrainingOptions"]

#: Learning rate of the last layer over that of the others. A step of Adam moves each weight by
#: about the learning rate, so 1024 of them move a landmark by a good part of the crop, while
#: what the landmarks have to move is a twentieth of it.
_OUTPUT_PACE: Final = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What a run is; two runs with equal options and faces give equal weights.

    samples_per_epoch, batch_size: an epoch is a number of samples, not a pass over the data.
    average_decay: of the moving average of the weights, a step.
    warm_up: share of the run over which the learning rate rises.
    fade: how much rarer changes of appearance are at the end than at the start, 0 to 1.
    """

    seed: int = 0
    batch_size: int = 32
    samples_per_epoch: int = 4096
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    average_decay: float = 0.999
    warm_up: float = 0.02
    dropout: float = 0.2
    fade: float = 0.5
    strength: AugmentationStrength = dataclasses.field(default_factory=AugmentationStrength)


class LandmarkTrainer:
    """Trains on faces drawn in proportion to their weights.

    Args:
        faces: labelled faces, best cut to patches first (`cut_patch`).
        face_weights: (N,) how often each is drawn, in proportion.
        card: how crops are cut and normalized.
        options: see there.
        initial: weights of an earlier run to start from, as `read_landmark_weights` gives them.

    Attributes:
        network: the network being trained.
        average: the moving average of its weights: the one to keep.
        epoch: epochs that are done.
    """

    def __init__(
        self,
        faces: Sequence[LabelledFace],
        face_weights: npt.ArrayLike,
        card: LandmarkCard,
        options: TrainingOptions,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        weights = np.asarray(face_weights, np.float64)
        if not faces or weights.shape != (len(faces),):
            raise ValueError(
                f"face_weights: got shape {weights.shape} for {len(faces)} faces, "
                "expected one weight for each of at least one face"
            )
        self.faces = faces
        self.card = card
        self.options = options
        self.epoch = 0
        self._share = weights / weights.sum()
        self._mean = torch.tensor(card.pixel_mean_rgb).view(1, 3, 1, 1)
        self._std = torch.tensor(card.pixel_std_rgb).view(1, 3, 1, 1)
        torch.manual_seed(options.seed)
        start = CoordinateNetwork2D(dropout=options.dropout)
        if initial is None:
            _start_at_mean_shape(start, faces, card)
        else:
            start.load_state_dict(dict(initial), strict=False)
        network: nn.Module = start
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        output = list(start.output.parameters())
        body = [p for name, p in start.named_parameters() if not name.startswith("output.")]
        self._optimizer = torch.optim.AdamW(
            [{"params": body, "pace": 1.0}, {"params": output, "pace": _OUTPUT_PACE}],
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            fused=True,
        )

    def model(self) -> LandmarkModel:
        """The averaged weights, ready to predict."""
        return LandmarkModel(self.average, self.card)

    def train_epoch(self, progress: float, progress_after: float) -> float:
        """One epoch; the learning rate follows `progress` through the run, 0 to 1.

        Returns: the mean loss, in percent of the interocular distance.
        """
        steps = max(1, self.options.samples_per_epoch // self.options.batch_size)
        losses = []
        self.network.train()
        for step in range(steps):
            at = progress + (progress_after - progress) * step / steps
            for group in self._optimizer.param_groups:
                group["lr"] = group["pace"] * self.options.learning_rate * self._schedule(at)
            losses.append(self._train_step(self.epoch * steps + step, at))
        self.epoch += 1
        return 100 * float(np.mean(losses))

    def _schedule(self, progress: float) -> float:
        if progress < self.options.warm_up:
            return (progress + 1e-3) / (self.options.warm_up + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def _train_step(self, step: int, progress: float) -> float:
        crops, landmarks = self._batch(np.random.default_rng([self.options.seed, step]), progress)
        torch.manual_seed(self.options.seed * 1_000_003 + step)  # dropout
        self._optimizer.zero_grad()
        loss = _normalized_distance(self.network(self._normalized(crops)), landmarks)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._update_average(step)
        return loss.item()

    def _batch(self, rng: np.random.Generator, progress: float) -> tuple[Tensor, Tensor]:
        """(B, S, S, 3) uint8 crops and (B, 68, 2) landmarks in crop units."""
        size = self.card.crop_size_px
        strength = self.options.strength
        appearance = strength.appearance * (1 - self.options.fade * progress)
        strength = dataclasses.replace(strength, appearance=appearance)
        samples = [
            augment(
                self.faces[index],
                rng,
                crop_scale=self.card.crop_scale,
                size_px=size,
                strength=strength,
            )
            for index in rng.choice(len(self.faces), self.options.batch_size, p=self._share)
        ]
        crops = torch.from_numpy(np.concatenate([crops for crops, _ in samples]))
        landmarks = torch.from_numpy(np.stack([points for _, points in samples]))
        return crops, (landmarks + 0.5) / size - 0.5

    def _normalized(self, crops: Tensor) -> Tensor:
        return (
            crops.permute(0, 3, 1, 2).to(torch.float32) - self._mean
        ) / self._std  # (B, C, H, W)

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        decay = min(self.options.average_decay, (1 + step) / (10 + step))
        ours, theirs = self.average.state_dict(), self.network.state_dict()
        for name, tensor in ours.items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[name], 1 - decay)

    def save_checkpoint(self, path: Path, **extra: float) -> None:
        """Writes everything that resuming needs, atomically; `extra` are figures to keep."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "extra": dict(extra),
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def load_checkpoint(self, path: Path) -> dict[str, float]:
        """Goes on from a checkpoint; returns the figures that were kept with it.

        Raises:
            WeightsError: the file is not a checkpoint of such a run.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.epoch = int(state["epoch"])
            return {str(name): float(value) for name, value in state["extra"].items()}
        except (
            OSError,
            EOFError,
            RuntimeError,
            KeyError,
            TypeError,
            ValueError,
            pickle.UnpicklingError,
        ) as error:
            raise WeightsError(f"{path}: not a checkpoint of this training: {error}") from error


@torch.no_grad()
def _start_at_mean_shape(
    network: CoordinateNetwork2D, faces: Sequence[LabelledFace], card: LandmarkCard
) -> None:
    """Predicts the mean face and little else at first: saves the epochs that unlearn noise."""
    size = card.crop_size_px
    shapes = [
        image_to_crop(
            face.landmarks_px,
            square_affine(face.box_xyxy_px, scale=card.crop_scale, size_px=size),
        )
        for face in faces
    ]
    mean = (np.mean(shapes, axis=0) + 0.5) / size - 0.5
    network.output.bias.copy_(torch.from_numpy(mean.reshape(-1)))
    network.output.weight.mul_(0.05)


def _normalized_distance(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean over landmarks and samples of the distance over the interocular distance.

    Profiles, whose eyes nearly coincide, are bounded to twice the median weight of a batch.
    """
    right, left = OUTER_EYE_CORNERS
    interocular = (truth[:, right] - truth[:, left]).norm(dim=-1)  # (B,)
    interocular = interocular.clamp(min=interocular.median() / 2)
    distance = ((predicted - truth).square().sum(-1) + 1e-8).sqrt()  # (B, L)
    normalized: Tensor = distance.mean(-1) / interocular
    return normalized.mean()
