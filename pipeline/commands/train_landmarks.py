"""`facetracks train landmarks`: trains landmark networks, shows how well they do.

Each network gets a folder of OUTPUT, which holds log.csv (a row an epoch), curves.png (the same,
drawn), checkpoint.pt (to go on from) and landmarks.safetensors (the weights of the epoch with
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
import torch
from torch import Tensor
from tqdm import tqdm

from models.landmarks.card import LandmarkCard
from models.landmarks.model import read_landmark_weights, save_landmark_weights
from models.landmarks.networks.construction import NETWORK_NAMES, build_network
from models.landmarks.networks.heatmap_codecs import CODECS, SIGMA_PX
from models.landmarks.networks.inflation import inflate
from models.landmarks.networks.unet import UNET_CHANNELS
from models.landmarks.training.recipes import RECIPES, Recipe, recipe_for
from models.landmarks.training.trainer import LandmarkTrainer
from pipeline.data.training_data import TrainingData, add_data_options, read_training_data
from pipeline.reports.training_curves import can_draw, draw_training_curves
from pipeline.reports.training_log import add_epoch, read_log
from schemas.errors import UsageError

__all__ = ["add_parser", "run"]

#: Heatmap pixels; a softmax that is wider than it must be loses detail.
_SOFT_ARGMAX_SIGMA_PX: Final = 1.0
_DEFAULT_MINUTES: Final = 60.0
#: Options of one network only.
_NETWORK_SETTINGS: Final = {"hourglass": ("stacks", "features"), "unet": ("channels", "blocks")}
_LOG: Final = "log.csv"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `landmarks` to the group of `facetracks train`."""
    parser = subparsers.add_parser(
        "landmarks",
        help="train landmark networks on labelled faces",
        description="Trains landmark networks one after the other, on the same labelled faces: of "
        "a data folder (--data), of data sets in their published layouts (--set), or of both. Can "
        "be stopped at any time and resumed. In OUTPUT, for each network: landmarks.safetensors, "
        "the best epoch by validation; last.safetensors, the last; log.csv, curves.png.",
    )
    parser.add_argument(
        "--network",
        nargs="+",
        choices=NETWORK_NAMES,
        default=["2d"],
        metavar="NAME",
        help=f"networks to train, of {', '.join(NETWORK_NAMES)} (default: 2d)",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="paper: the papers' protocols (Adam 1e-4, for the hourglass RMSprop 2.5e-4; squares; "
        "reduced on plateaus; 100 epochs). modern: stronger (AdamW, cosine, distance, averaged "
        "weights, varied boxes, shapes and colours; on a GPU bfloat16) (default: %(default)s)",
    )
    add_data_options(parser)
    parser.add_argument(
        "--output", type=Path, required=True, help="folder, with one for each network in it"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=float,
        help="train each network for this long, all sessions together (default of --recipe "
        f"modern: {_DEFAULT_MINUTES:g})",
    )
    length.add_argument(
        "--epochs",
        type=int,
        help="train for this many epochs, see --samples-per-epoch (default of --recipe paper: 100)",
    )
    parser.add_argument(
        "--samples-per-epoch",
        type=int,
        metavar="N",
        help="samples between two checkpoints (default of --recipe paper: 4 times the windows, for "
        "the hourglass once; of modern: 4096)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="processes that make samples, 0: the one that trains (default: 0)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    parser.add_argument(
        "--crop-size", type=int, metavar="PX", help="side of the crop (default: the network's own)"
    )
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        default=None,
        help="compute forward passes in half the precision: 1.6 to 1.9 times as fast on CPUs with "
        "AVX-512 BF16, slower on others (default: with --recipe modern on a GPU)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        nargs=5,
        metavar="C",
        help=f"unet: widths of its maps, from half of the crop down "
        f"(default: {' '.join(map(str, UNET_CHANNELS))})",
    )
    parser.add_argument("--blocks", type=int, help="unet: residual blocks at a size (default: 1)")
    parser.add_argument("--stacks", type=int, help="hourglass: how many (default: 4)")
    parser.add_argument("--features", type=int, help="hourglass: its channels (default: 256)")
    parser.add_argument(
        "--codec",
        choices=CODECS,
        default=LandmarkCard().codec,
        help="how heatmaps become landmarks; soft_argmax is trained by the distance itself, with "
        "--recipe modern, the others by the squares of heatmaps; the unet has no other "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--crop-scale",
        type=float,
        default=LandmarkCard().crop_scale,
        help="side of the crop over the longer side of the face box",
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        help="highest learning rate (default: the recipe's)",
    )
    parser.add_argument(
        "--initial",
        type=Path,
        metavar="WEIGHTS",
        help="start from these weights instead of from nothing: of the network itself, or of one "
        "that it extends (2d for 3d, 2drnn and 3drnn; 2dfcn for 3dfcn, ...), whose layers are "
        "taken or inflated as far as they have counterparts",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoints in OUTPUT"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0."""
    _check(args)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    cards = {name: _card(name, args) for name in args.network}
    initial = _initial(args.initial, cards) if args.initial else None
    data = read_training_data(args, cards.values())
    if data.skipped:
        print("\n".join([f"left out: {len(data.skipped)} broken annotations", *data.skipped]))
    if not can_draw():
        print("no curves.png: needs matplotlib (pip install 'facetracks[plots]')", file=sys.stderr)
    for name, card in cards.items():
        trainer = LandmarkTrainer(
            data.faces,
            data.weights,
            dataclasses.replace(
                card,
                licence=data.licence,
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


def _check(args: argparse.Namespace) -> None:
    if not 0.5 <= args.crop_scale <= 4:
        raise UsageError(f"--crop-scale: got {args.crop_scale}, expected 0.5 to 4")
    for network, options in _NETWORK_SETTINGS.items():
        if network not in args.network and any(getattr(args, name) for name in options):
            given = ", ".join(f"--{name}" for name in options)
            raise UsageError(f"{given}: got them without --network {network}")
    if "unet" in args.network and args.recipe == "paper":
        raise UsageError("--network unet: got it with --recipe paper, expected modern")
    if args.codec == "soft_argmax" and args.recipe == "paper":
        raise UsageError("--codec soft_argmax: got it with --recipe paper, expected modern")
    checkpoints = [args.output / network / "checkpoint.pt" for network in args.network]
    there = [path for path in checkpoints if path.is_file()]
    if args.resume and not there:
        raise UsageError(f"--resume: no such file: {checkpoints[0]}")
    if there and not args.resume:
        raise UsageError(f"{there[0]} exists: add --resume to go on, or choose another OUTPUT")


def _recipe(network: str, args: argparse.Namespace) -> Recipe:
    recipe = recipe_for(args.recipe, network)
    if args.learning_rate is None:
        return recipe
    return dataclasses.replace(recipe, learning_rate=args.learning_rate)


def _card(name: str, args: argparse.Namespace) -> LandmarkCard:
    given = {key: getattr(args, key) for key in _NETWORK_SETTINGS.get(name, ())}
    settings = {key: value for key, value in given.items() if value is not None}
    try:
        size = args.crop_size or build_network(name).crop_size_px
        network = build_network(name, crop_size_px=size, **settings)
    except ValueError as error:
        raise UsageError(str(error)) from error
    codec = "soft_argmax" if network.makes_spread else args.codec
    return LandmarkCard(
        network=name,
        settings=settings,
        crop_size_px=network.crop_size_px,
        crop_scale=args.crop_scale,
        codec=codec,
        sigma_px=_SOFT_ARGMAX_SIGMA_PX if codec == "soft_argmax" else SIGMA_PX,
        training=f"facetracks train landmarks --recipe {args.recipe}"
        + (f" from {args.initial.name}" if args.initial else "")
        + (f" with {args.animated_windows} animated windows" if args.animated_windows else "")
        + (f" with {args.expressive_stills} expressive stills" if args.expressive_stills else ""),
    )


def _initial(path: Path, cards: Mapping[str, LandmarkCard]) -> tuple[Mapping[str, Tensor], str]:
    """Tensors to start from and their network's name; says what becomes of them."""
    tensors, given = read_landmark_weights(path)
    for name, card in cards.items():
        print(f"{name} from {path}: {inflate(card.build_network(), name, tensors, given.network)}")
    return tensors, given.network


def _train(
    trainer: LandmarkTrainer, data: TrainingData, output: Path, args: argparse.Namespace
) -> None:
    checkpoint, weights = output / "checkpoint.pt", output / "landmarks.safetensors"
    elapsed_s, best = 0.0, math.inf
    if args.resume and checkpoint.exists():
        kept = trainer.load_checkpoint(checkpoint)
        elapsed_s, best = kept["elapsed_s"], kept["best"]
    read_log(output / _LOG)  # what is no log shall be told before an epoch is spent
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
        trainer.validated(error)
        epoch_s = time.monotonic() - start
        elapsed_s += epoch_s
        if error < best:
            best = error
            save_landmark_weights(weights, trainer.average, trainer.card)
        _log_epoch(output, trainer, elapsed_s, loss, {data.validated_on: f"{error:.4f}"})
        trainer.save_checkpoint(checkpoint, elapsed_s=elapsed_s, best=best)
        bar.update()
        bar.set_postfix(loss=f"{loss:.2f}", val=f"{error:.2f}", best=f"{best:.2f}")
    bar.close()
    last = output / "last.safetensors"
    save_landmark_weights(last, trainer.average, trainer.card)
    print(f"{output.name}: {trainer.epoch} epochs in {elapsed_s / 60:.1f} min; the last: {last}")
    print(f"{data.validated_on.replace('_', ' ')} {best:.2f}; weights: {weights}")


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
