"""Training of a landmark network on labelled faces by a recipe.

Random numbers are derived from (seed, step), and the learning rate from the progress and the
validation errors so far, so a resumed run gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.checkpoints import opened_checkpoint, save_checkpoint, update_average
from models.crops import image_to_crop, square_affine
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.networks.inflation import inflate
from models.landmarks.networks.landmark_network import LandmarkNetwork
from models.landmarks.torch_model import TorchLandmarkModel
from models.landmarks.training.batches import BatchLoader, WindowBatches
from models.landmarks.training.losses import landmark_loss
from models.landmarks.training.recipes import MODERN, Recipe

#: The recipe of checkpoints that do not name theirs.
_EARLIER_RECIPE: Final = MODERN.name
_CALIBRATION_CROPS: Final = 256


class LandmarkTrainer:
    """Trains on faces by a recipe; equal arguments give equal weights.

    Args:
        faces: labelled faces; cutting them to patches first (`cut_patch`) saves time and memory.
        face_weights: (N,) how often each is drawn, in proportion, where the recipe draws.
        card: the network, and how crops are cut and normalized.
        recipe: how it is trained.
        initial: tensors of another network to start from, and its name (`inflate`).
        seed: of every random choice.
        samples_per_epoch: in place of the recipe's passes or samples_per_epoch.
        device: where the network is trained.
        workers: processes that make batches, 0: this one. The result does not depend on it.
        bfloat16: compute forward passes in bfloat16; None: as the recipe says.

    Attributes:
        network: the network being trained.
        average: the moving average of its weights: the one to keep.
        epoch: number of completed epochs.
        validation_errors: of the completed epochs, appended by the caller; schedules use them.

    Raises:
        UsageError: the network cannot start from the initial one.
    """

    def __init__(
        self,
        faces: Sequence[LabelledFace],
        face_weights: npt.ArrayLike,
        card: LandmarkCard,
        recipe: Recipe,
        initial: tuple[Mapping[str, Tensor], str] | None = None,
        *,
        seed: int = 0,
        samples_per_epoch: int | None = None,
        device: str | torch.device = "cpu",
        workers: int = 0,
        bfloat16: bool | None = None,
    ) -> None:
        self.faces = faces
        self.card = card
        self.recipe = recipe
        self.epoch = 0
        self.validation_errors: list[float] = []
        self._seed = seed
        self._device = torch.device(device)
        shorter = self._device.type in recipe.autocast_devices
        self._bfloat16 = shorter if bfloat16 is None else bfloat16
        samples = samples_per_epoch or (
            recipe.samples_per_epoch if recipe.passes is None else recipe.passes * len(faces)
        )
        self._steps = max(1, samples // recipe.batch_size)
        torch.manual_seed(seed)
        dropped = {} if card.network in ("hourglass", "unet") else {"dropout": recipe.dropout}
        start = card.build_network(**dropped)
        batches = WindowBatches(
            faces, face_weights, card, recipe, seed=seed, frames=start.frames_seen
        )
        self._loader = BatchLoader(batches, workers=workers)
        self._mean = torch.tensor(card.pixel_mean_rgb, device=device).view(1, 1, 3, 1, 1)
        self._std = torch.tensor(card.pixel_std_rgb, device=device).view(1, 1, 3, 1, 1)
        taken = inflate(start, card.network, *initial) if initial else None
        new_output = taken is None or "output" in taken.fresh
        if recipe.mean_shape_start and start.heatmap_stride is None and new_output:
            _start_at_mean_shape(start, faces, card)
        self.network = _placed(start, self._device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._loss = landmark_loss(
            self.network, card.codec, card.sigma_px, recipe.coordinate_loss, recipe.heatmap_centres
        )
        self._optimizer = recipe.optimizer(
            _parameter_groups(self.network, recipe.output_pace), lr=recipe.learning_rate
        )

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step; the output layer may have a lower one."""
        return float(self._optimizer.param_groups[0]["lr"])

    def model(self) -> LandmarkModel:
        """The averaged weights, ready to predict."""
        return TorchLandmarkModel(self.average, self.card, self._device)

    def calibration_crops(self) -> npt.NDArray[np.uint8]:
        """(N, S, S, 3) RGB crops that the run ends with, to measure ranges of activations on."""
        batches = -(-_CALIBRATION_CROPS // self.recipe.batch_size)
        drawn = self._loader.load([(step, 1.0) for step in range(batches)])
        return np.concatenate([crops[:, -1].numpy() for crops, _ in drawn])

    def train_epoch(self, progress: float, progress_after: float) -> float:
        """One epoch, from `progress` through the run, 0 to 1, to `progress_after`.

        Returns: the mean loss, times 100: where the distance is compared, in percent of the
            interocular distance.
        """
        first = self.epoch * self._steps
        places = [
            (first + step, progress + (progress_after - progress) * step / self._steps)
            for step in range(self._steps)
        ]
        losses = []
        self.network.train()
        loaded = self._loader.load(places)
        for (step, at), (crops, landmarks) in zip(places, loaded, strict=True):
            factor = self.recipe.schedule(at, self.validation_errors)
            for group in self._optimizer.param_groups:
                group["lr"] = group["pace"] * self.recipe.learning_rate * factor
            losses.append(self._train_step(step, crops, landmarks))
        self.epoch += 1
        return 100 * float(torch.stack(losses).mean())

    def _train_step(self, step: int, crops: Tensor, landmarks: Tensor) -> Tensor:
        torch.manual_seed(self._seed * 1_000_003 + step)  # dropout
        self._optimizer.zero_grad()
        windows = self._normalized(crops.to(self._device, non_blocking=True))
        truth = landmarks.to(self._device, non_blocking=True)
        loss = self._loss(windows, truth, bfloat16=self._bfloat16)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_limit)
        self._optimizer.step()
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        update_average(self.average, self.network, decay)
        return loss.detach()

    def _normalized(self, crops: Tensor) -> Tensor:
        return (crops.permute(0, 1, 4, 2, 3).to(torch.float32) - self._mean) / self._std  # BTCHW

    def save_checkpoint(self, path: Path, **extra: float) -> None:
        """Writes everything that resuming needs, atomically; `extra` are figures to keep."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "recipe": self.recipe.name,
            "validation_errors": self.validation_errors,
            "extra": dict(extra),
        }
        save_checkpoint(path, state)

    def load_checkpoint(self, path: Path) -> dict[str, float]:
        """Goes on from a checkpoint; returns the figures that were kept with it.

        Raises:
            WeightsError: the file is not a checkpoint of such a run.
        """
        with opened_checkpoint(path, self._device) as state:
            recipe = state.get("recipe", _EARLIER_RECIPE)
            if recipe != self.recipe.name:
                raise ValueError(f"its recipe is {recipe}, this one's {self.recipe.name}")
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.epoch = int(state["epoch"])
            self.validation_errors = [float(e) for e in state.get("validation_errors", [])]
            return {str(name): float(value) for name, value in state["extra"].items()}


def _placed(network: LandmarkNetwork, device: torch.device) -> LandmarkNetwork:
    has_3d = any(isinstance(module, nn.Conv3d) for module in network.modules())
    layout = torch.contiguous_format if has_3d else torch.channels_last
    return network.to(device, memory_format=layout)  # type: ignore[call-overload,no-any-return]


def _parameter_groups(network: LandmarkNetwork, output_pace: float) -> Iterator[dict[str, Any]]:
    """The output layer of coordinate networks has its own learning rate."""
    slow = network.heatmap_stride is None and output_pace != 1
    named = list(network.named_parameters())
    output = [p for name, p in named if slow and name.startswith("output.")]
    body = [p for name, p in named if not (slow and name.startswith("output."))]
    yield {"params": body, "pace": 1.0}
    if output:
        yield {"params": output, "pace": output_pace}


@torch.no_grad()
def _start_at_mean_shape(
    network: LandmarkNetwork, faces: Sequence[LabelledFace], card: LandmarkCard
) -> None:
    """Initializes the output to predict about the mean face, which saves the first epochs."""
    size = card.crop_size_px
    shapes = [
        image_to_crop(
            face.landmarks_px, square_affine(face.box_xyxy_px, scale=card.crop_scale, size_px=size)
        )
        for face in faces
    ]
    units = (np.asarray(shapes) + 0.5) / size - 0.5
    mean = np.ma.masked_invalid(units).mean(axis=0).filled(0.0)  # unlabelled: the middle
    output = network.get_submodule("output")
    assert isinstance(output, nn.Linear)
    output.bias.copy_(torch.from_numpy(np.asarray(mean).reshape(-1)))
    output.weight.mul_(0.05)
