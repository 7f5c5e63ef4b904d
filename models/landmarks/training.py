"""Training of a landmark network, any of both papers', on labelled faces.

Adam with decoupled weight decay, cosine schedule, exponential moving average of the weights;
losses are in `models.landmarks.losses`. Every random number follows from (seed, step), so a
run that was stopped and resumed gives what an unbroken run gives.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.crops import image_to_crop, square_affine
from models.landmarks.augmentation import AugmentationStrength
from models.landmarks.batches import BatchLoader, BatchSettings, WindowBatches
from models.landmarks.card import LandmarkCard
from models.landmarks.data import LabelledFace
from models.landmarks.losses import landmark_loss
from models.landmarks.model import LandmarkModel
from models.networks.construction import build_network
from models.networks.landmark_network import LandmarkNetwork
from models.whole_file import replacing
from schemas.errors import WeightsError

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
    gradient_limit: norm that a step's gradient is shortened to.
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
    gradient_limit: float = 5.0
    strength: AugmentationStrength = dataclasses.field(default_factory=AugmentationStrength)


class LandmarkTrainer:
    """Trains on faces drawn in proportion to their weights.

    Args:
        faces: labelled faces, best cut to patches first (`cut_patch`).
        face_weights: (N,) how often each is drawn, in proportion.
        card: the network, and how crops are cut and normalized.
        options: see there.
        initial: weights of an earlier run to start from, as `read_landmark_weights` gives them.
        device: where the network is trained.
        workers: processes that make batches, 0: this one. They change no number.

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
        *,
        device: str | torch.device = "cpu",
        workers: int = 0,
    ) -> None:
        self.faces = faces
        self.card = card
        self.options = options
        self.epoch = 0
        self._device = torch.device(device)
        torch.manual_seed(options.seed)
        start = _new_network(card, options)
        batches = WindowBatches(
            faces,
            face_weights,
            BatchSettings(
                seed=options.seed,
                batch_size=options.batch_size,
                frames=start.frames_seen,
                crop_scale=card.crop_scale,
                crop_size_px=card.crop_size_px,
                strength=options.strength,
                fade=options.fade,
            ),
        )
        self._loader = BatchLoader(batches, workers=workers)
        self._mean = torch.tensor(card.pixel_mean_rgb, device=device).view(1, 1, 3, 1, 1)
        self._std = torch.tensor(card.pixel_std_rgb, device=device).view(1, 1, 3, 1, 1)
        if initial is not None:
            start.load_state_dict(dict(initial), strict=False)
        elif start.heatmap_stride is None:
            _start_at_mean_shape(start, faces, card)
        self.network = _placed(start, self._device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._loss = landmark_loss(self.network, card.codec, card.sigma_px)
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(self.network),
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
        first = self.epoch * steps
        places = [
            (first + step, progress + (progress_after - progress) * step / steps)
            for step in range(steps)
        ]
        losses = []
        self.network.train()
        loaded = self._loader.load(places)
        for (step, at), (crops, landmarks) in zip(places, loaded, strict=True):
            for group in self._optimizer.param_groups:
                group["lr"] = group["pace"] * self.options.learning_rate * self._schedule(at)
            losses.append(self._train_step(step, crops, landmarks))
        self.epoch += 1
        return 100 * float(torch.stack(losses).mean())

    def _schedule(self, progress: float) -> float:
        if progress < self.options.warm_up:
            return (progress + 1e-3) / (self.options.warm_up + 1e-3)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def _train_step(self, step: int, crops: Tensor, landmarks: Tensor) -> Tensor:
        torch.manual_seed(self.options.seed * 1_000_003 + step)  # dropout
        self._optimizer.zero_grad()
        windows = self._normalized(crops.to(self._device, non_blocking=True))
        loss = self._loss(windows, landmarks.to(self._device, non_blocking=True))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.gradient_limit)
        self._optimizer.step()
        self._update_average(step)
        return loss.detach()

    def _normalized(self, crops: Tensor) -> Tensor:
        return (crops.permute(0, 1, 4, 2, 3).to(torch.float32) - self._mean) / self._std  # BTCHW

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
            state = torch.load(path, map_location=self._device, weights_only=True)
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


def _new_network(card: LandmarkCard, options: TrainingOptions) -> LandmarkNetwork:
    settings: dict[str, Any] = dict(card.settings)
    if card.network != "hourglass":
        settings["dropout"] = options.dropout
    return build_network(card.network, crop_size_px=card.crop_size_px, **settings)


def _placed(network: LandmarkNetwork, device: torch.device) -> LandmarkNetwork:
    has_3d = any(isinstance(module, nn.Conv3d) for module in network.modules())
    layout = torch.contiguous_format if has_3d else torch.channels_last
    return network.to(device, memory_format=layout)  # type: ignore[call-overload,no-any-return]


def _parameter_groups(network: LandmarkNetwork) -> Iterator[dict[str, Any]]:
    """The last layer of coordinate networks goes at a pace of its own (`_OUTPUT_PACE`)."""
    slow = network.heatmap_stride is None
    named = list(network.named_parameters())
    output = [p for name, p in named if slow and name.startswith("output.")]
    body = [p for name, p in named if not (slow and name.startswith("output."))]
    yield {"params": body, "pace": 1.0}
    if output:
        yield {"params": output, "pace": _OUTPUT_PACE}


@torch.no_grad()
def _start_at_mean_shape(
    network: LandmarkNetwork, faces: Sequence[LabelledFace], card: LandmarkCard
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
    output = network.get_submodule("output")
    assert isinstance(output, nn.Linear)
    output.bias.copy_(torch.from_numpy(mean.reshape(-1)))
    output.weight.mul_(0.05)
