"""`facetracks train landmarks`: trains landmark networks and logs their validation errors.

Each network gets a folder of OUTPUT, which holds log.csv (a row an epoch), curves.png (the same,
drawn), checkpoint.pt (for --resume) and landmarks.safetensors (the weights of the epoch with
the least validation error so far). Everything is written atomically, after each epoch.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from models.checkpoints import float_arrays
from models.landmarks.card import LandmarkCard
from models.landmarks.evaluation.spread_errors import spread_scale
from models.landmarks.networks.construction import build_network
from models.landmarks.networks.inflation import inflate
from models.landmarks.onnx_model import unet_ranges
from models.landmarks.torch_model import read_landmark_weights, save_landmark_weights
from models.landmarks.training.recipes import Recipe, recipe_for
from models.landmarks.training.trainer import LandmarkTrainer
from pipeline.commands.command_parser import settings_of
from pipeline.data.data_settings import TrainingSources
from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.reports.training_log import add_epoch, can_draw, draw_training_curves, read_log
from schemas.choices import NETWORK_SETTINGS, SIGMA_PX
from schemas.errors import UsageError

#: Heatmap pixels; a softmax that is wider than it must be loses detail.
_SOFT_ARGMAX_SIGMA_PX: Final = 1.0
_DEFAULT_MINUTES: Final = 60.0
_LOG: Final = "log.csv"


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0."""
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    cards = {name: _card(name, args) for name in args.network}
    initial = _initial(args.initial, cards) if args.initial else None
    data = read_training_data(settings_of(TrainingSources, args), cards.values())
    if data.skipped:
        print("\n".join([f"skipped: {len(data.skipped)} broken annotations", *data.skipped]))
    if not can_draw():
        print("no curves.png: needs matplotlib (pip install 'facetracks[plots]')", file=sys.stderr)
    for name, card in cards.items():
        trainer = LandmarkTrainer(
            data.faces,
            data.weights,
            dataclasses.replace(
                card,
                licence=args.licence or data.licence,
                training=f"{card.training}, {len(data.faces)} faces, seed {args.seed}",
            ),
            _recipe(name, args),
            initial,
            seed=args.seed,
            samples_per_epoch=args.samples_per_epoch,
            device=args.device,
            workers=args.workers,
            bfloat16=args.bfloat16,
        )
        _train(trainer, data, args.output / name, args)
    return 0


def _recipe(network: str, args: argparse.Namespace) -> Recipe:
    recipe = recipe_for(args.recipe, network)
    return dataclasses.replace(
        recipe,
        learning_rate=args.learning_rate or recipe.learning_rate,
        heatmap_centres=args.heatmap_centres,
    )


def _card(name: str, args: argparse.Namespace) -> LandmarkCard:
    given = {key: getattr(args, key) for key in NETWORK_SETTINGS.get(name, ())}
    settings = {key: value for key, value in given.items() if value is not None}
    try:
        size = args.crop_size or build_network(name).crop_size_px
        network = build_network(name, crop_size_px=size, **settings)
    except ValueError as error:
        raise UsageError(str(error)) from error
    codec = "soft_argmax" if network.makes_spread else args.codec
    sigma_px = _SOFT_ARGMAX_SIGMA_PX if codec == "soft_argmax" else SIGMA_PX
    return LandmarkCard(
        network=name,
        settings=settings,
        crop_size_px=network.crop_size_px,
        crop_scale=args.crop_scale,
        codec=codec,
        sigma_px=args.sigma or sigma_px,
        training=f"facetracks train landmarks --recipe {args.recipe}"
        + (f" from {args.initial.name}" if args.initial else "")
        + (" with integer heatmap centres" if args.heatmap_centres == "integer" else "")
        + (f" with {args.animated_windows} animated windows" if args.animated_windows else "")
        + (f" with {args.expressive_stills} expressive stills" if args.expressive_stills else ""),
    )


def _initial(path: Path, cards: Mapping[str, LandmarkCard]) -> tuple[Mapping[str, Tensor], str]:
    """Initial tensors and their network's name; prints how each network uses them."""
    tensors, given = read_landmark_weights(path)
    for name, card in cards.items():
        print(f"{name} from {path}: {inflate(card.build_network(), name, tensors, given.network)}")
    return tensors, given.network


def _train(
    trainer: LandmarkTrainer, data: TrainingData, output: Path, args: argparse.Namespace
) -> None:
    checkpoint, weights = output / "checkpoint.pt", output / "landmarks.safetensors"
    crops = trainer.calibration_crops() if trainer.card.network == "unet" else None
    elapsed_s, best = 0.0, math.inf
    if args.resume and checkpoint.exists():
        kept = trainer.load_checkpoint(checkpoint)
        elapsed_s, best = kept["elapsed_s"], kept["best"]
    read_log(output / _LOG)  # a broken log fails before an epoch is spent
    epochs = args.epochs or (None if args.minutes else trainer.recipe.epochs)
    limit_s = 60 * (args.minutes or _DEFAULT_MINUTES)
    epoch_s = elapsed_s / trainer.epoch if trainer.epoch else 30.0
    bar = tqdm(total=epochs, initial=trainer.epoch, desc=output.name, unit="epoch")
    while True:
        if epochs:
            progress, after = trainer.epoch / epochs, (trainer.epoch + 1) / epochs
        else:
            progress, after = elapsed_s / limit_s, (elapsed_s + epoch_s) / limit_s
        if progress >= 1:
            break
        start = time.monotonic()
        loss = trainer.train_epoch(progress, min(after, 1.0))
        error = data.validation_error(trainer.model())
        trainer.validation_errors.append(error)
        epoch_s = time.monotonic() - start
        elapsed_s += epoch_s
        if error < best:
            best = error
            _save(weights, trainer, trainer.card, crops)
        _log_epoch(output, trainer, elapsed_s, loss, {data.validated_on: f"{error:.4f}"})
        trainer.save_checkpoint(checkpoint, elapsed_s=elapsed_s, best=best)
        bar.update()
        bar.set_postfix(loss=f"{loss:.2f}", val=f"{error:.2f}", best=f"{best:.2f}")
    bar.close()
    last = output / "last.safetensors"
    scale = spread_scale(data.validation_errors(trainer.model()))
    card = dataclasses.replace(trainer.card, spread_scale=scale)
    _save(last, trainer, card, crops)
    if trainer.network.makes_spread:
        print(f"{output.name}: predicted spreads are multiplied by {scale:.3f} (last.safetensors)")
    print(f"{output.name}: {trainer.epoch} epochs in {elapsed_s / 60:.1f} min; the last: {last}")
    print(f"{data.validated_on.replace('_', ' ')} {best:.2f}; weights: {weights}")


def _save(
    path: Path, trainer: LandmarkTrainer, card: LandmarkCard, crops: npt.NDArray[np.uint8] | None
) -> None:
    """Writes the averaged weights, those of a U-net with the ranges that int8 needs."""
    ranges = None
    if crops is not None:
        ranges = unet_ranges(float_arrays(trainer.average), card, crops)
    save_landmark_weights(path, trainer.average, card, ranges)


def _log_epoch(
    output: Path, trainer: LandmarkTrainer, elapsed_s: float, loss: float, error: Mapping[str, str]
) -> None:
    values = {
        "epoch": str(trainer.epoch),
        "elapsed_s": f"{elapsed_s:.1f}",
        "learning_rate": f"{trainer.learning_rate:.6g}",
        "loss_percent": f"{loss:.4f}",
    }
    rows = add_epoch(output / _LOG, {**values, **error})
    if can_draw():
        draw_training_curves(output / "curves.png", rows)
