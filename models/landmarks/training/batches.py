"""Batches of augmented training windows, reproducible by step.

Every random number is derived from (seed, step), so batches may be made by any number of
processes, and a resumed run gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.training.augmentation import augment
from models.landmarks.training.recipes import Recipe

#: Keeps the random numbers of a pass's order apart from those of a batch.
_ORDER: Final = 1


class WindowBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches by (step, progress through the run from 0 to 1).

    A batch is (B, T, S, S, 3) uint8 crops and the (B, 68, 2) float32 landmarks of the last
    frames, in crop units: -0.5 and 0.5 are the outer edges of the crop.

    Args:
        faces: labelled faces, best cut to patches first (`cut_patch`).
        face_weights: (N,) how often each is drawn, in proportion, where the recipe draws.
        card: how crops are cut, as in production.
        recipe: batch size, augmentation, and whether faces are drawn or taken in passes.
        seed: of every random choice.
        frames: of a window.

    Raises:
        ValueError: there is not one weight a face.
    """

    def __init__(
        self,
        faces: Sequence[LabelledFace],
        face_weights: npt.ArrayLike,
        card: LandmarkCard,
        recipe: Recipe,
        *,
        seed: int,
        frames: int,
    ) -> None:
        weights = np.asarray(face_weights, np.float64)
        if not faces or weights.shape != (len(faces),):
            raise ValueError(
                f"face_weights: got shape {weights.shape} for {len(faces)} faces, "
                "expected one weight for each of at least one face"
            )
        self._faces = faces
        self._share = weights / weights.sum()
        self._card = card
        self._recipe = recipe
        self._seed = seed
        self._frames = frames
        self._pass: tuple[int, npt.NDArray[np.intp]] = (-1, np.empty(0, np.intp))

    def __getitem__(self, place: tuple[int, float]) -> tuple[Tensor, Tensor]:
        step, progress = place
        size, recipe = self._card.crop_size_px, self._recipe
        rng = np.random.default_rng([self._seed, step])
        appearance = recipe.strength.appearance * (1 - recipe.fade * progress)
        strength = dataclasses.replace(recipe.strength, appearance=appearance)
        if recipe.passes is None:
            drawn = rng.choice(len(self._faces), recipe.batch_size, p=self._share).tolist()
        else:
            first = step * recipe.batch_size
            drawn = [self._in_pass(place) for place in range(first, first + recipe.batch_size)]
        samples = [
            augment(self._faces[index], rng, self._card, strength, self._frames) for index in drawn
        ]
        crops = torch.from_numpy(np.stack([crops for crops, _ in samples]))
        landmarks = torch.from_numpy(np.stack([points for _, points in samples]))
        return crops, (landmarks + 0.5) / size - 0.5

    def _in_pass(self, place: int) -> int:
        """The face at a place in the sequence of all passes."""
        number, index = divmod(place, len(self._faces))
        if self._pass[0] != number:
            rng = np.random.default_rng([self._seed, number, _ORDER])
            self._pass = number, rng.permutation(len(self._faces))
        return int(self._pass[1][index])


class BatchLoader:
    """Makes batches, here or in processes that stay for the whole run.

    The processes are spawned, never forked: OpenCV and CUDA do not survive a fork.
    """

    def __init__(self, batches: WindowBatches, *, workers: int = 0) -> None:
        self._places: list[tuple[int, float]] = []
        self._loader = DataLoader(
            batches,
            batch_size=None,
            sampler=self._places,  # indices of any kind will do
            num_workers=workers,
            worker_init_fn=_start_worker,
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def load(self, places: Sequence[tuple[int, float]]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches at those (step, progress), in order."""
        self._places[:] = places
        yield from self._loader


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
