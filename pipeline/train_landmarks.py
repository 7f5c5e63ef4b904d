"""`facetracks train landmarks`: trains landmark networks, shows how well they do.

Each network gets a folder of OUTPUT, which holds log.csv (a row an epoch), checkpoint.pt (to
go on from) and landmarks.safetensors (the averaged weights of the epoch with the least error
on ytf68/val so far). Everything is written atomically, after each epoch.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models.landmarks.augmentation import cut_patch
from models.landmarks.card import LandmarkCard
from models.landmarks.data import LabelledFace
from models.landmarks.evaluation import errors_on_jittered_boxes
from models.landmarks.model import read_landmark_weights, save_landmark_weights
from models.landmarks.sets import read_evaluation_set, read_training_sets
from models.landmarks.training import LandmarkTrainer, TrainingOptions
from models.networks.construction import NETWORK_NAMES, build_network
from models.networks.heatmap_codecs import CODECS, SIGMA_PX
from schemas.errors import UsageError

__all__ = ["add_parser", "run"]

#: Heatmap pixels; a softmax that is wider than it must be loses detail.
_SOFT_ARGMAX_SIGMA_PX: Final = 1.0
_LICENCE = (
    "research use only: trained partly on labels of dlib's model, which excludes commercial use"
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `landmarks` to the group of `facetracks train`."""
    parser = subparsers.add_parser(
        "landmarks",
        help="train landmark networks on labelled faces",
        description="Trains landmark networks one after the other, each on the same budget and "
        "samples. Needs a data folder with ytf68, pseudo68, videos and images68. Can be stopped "
        "at any time and resumed.",
    )
    parser.add_argument(
        "--network",
        nargs="+",
        choices=NETWORK_NAMES,
        default=["2d"],
        metavar="NAME",
        help=f"networks to train, of {', '.join(NETWORK_NAMES)} (default: 2d)",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder, with one for each network in it"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=float,
        help="train each network for this long, all sessions together (default: 60)",
    )
    length.add_argument(
        "--epochs", type=int, help="train for this many epochs (see --samples-per-epoch)"
    )
    parser.add_argument(
        "--samples-per-epoch",
        type=int,
        default=TrainingOptions().samples_per_epoch,
        help="samples between two checkpoints (default: %(default)s)",
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
    parser.add_argument("--stacks", type=int, help="hourglass: how many (default: 4)")
    parser.add_argument("--features", type=int, help="hourglass: its channels (default: 256)")
    parser.add_argument(
        "--codec",
        choices=CODECS,
        default=LandmarkCard().codec,
        help="how heatmaps become landmarks; soft_argmax is trained by the distance itself, the "
        "others by the squares of heatmaps (default: %(default)s)",
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
        default=TrainingOptions().learning_rate,
        help="highest learning rate (default: %(default)s)",
    )
    parser.add_argument(
        "--initial",
        type=Path,
        metavar="WEIGHTS",
        help="start from the weights of an earlier run of the network instead of from nothing",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoints in OUTPUT"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0."""
    if not 0.5 <= args.crop_scale <= 4:
        raise UsageError(f"--crop-scale: got {args.crop_scale}, expected 0.5 to 4")
    if (args.stacks or args.features) and "hourglass" not in args.network:
        raise UsageError("--stacks, --features: got them without --network hourglass")
    checkpoints = [args.output / network / "checkpoint.pt" for network in args.network]
    there = [path for path in checkpoints if path.is_file()]
    if args.resume and not there:
        raise UsageError(f"--resume: no such file: {checkpoints[0]}")
    if there and not args.resume:
        raise UsageError(f"{there[0]} exists: add --resume to go on, or choose another OUTPUT")
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    cards = {name: _card(name, args) for name in args.network}
    faces, weights = _load_training_faces(args.data, cards.values())
    validation = [
        cut_patch(face)
        for face in tqdm(read_evaluation_set(args.data, "ytf68/val"), "ytf68/val", unit="face")
    ]
    for name, card in cards.items():
        card = dataclasses.replace(
            card, training=f"{card.training}, {len(faces)} faces, seed {args.seed}"
        )
        output = args.output / name
        output.mkdir(parents=True, exist_ok=True)
        options = TrainingOptions(
            seed=args.seed,
            learning_rate=args.learning_rate,
            samples_per_epoch=args.samples_per_epoch,
        )
        initial = read_landmark_weights(args.initial)[0] if args.initial else None
        trainer = LandmarkTrainer(
            faces, weights, card, options, initial, device=args.device, workers=args.workers
        )
        _train(trainer, validation, output, args)
    return 0


def _card(name: str, args: argparse.Namespace) -> LandmarkCard:
    given = {"stacks": args.stacks, "features": args.features} if name == "hourglass" else {}
    settings = {key: value for key, value in given.items() if value is not None}
    try:
        size = args.crop_size or build_network(name).crop_size_px
        network = build_network(name, crop_size_px=size, **settings)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return LandmarkCard(
        network=name,
        settings=settings,
        crop_size_px=network.crop_size_px,
        crop_scale=args.crop_scale,
        codec=args.codec,
        sigma_px=_SOFT_ARGMAX_SIGMA_PX if args.codec == "soft_argmax" else SIGMA_PX,
        licence=_LICENCE,
        training="facetracks train landmarks"
        + (f" from {args.initial.name}" if args.initial else ""),
    )


def _load_training_faces(
    data: Path, cards: Collection[LandmarkCard]
) -> tuple[list[LabelledFace], list[float]]:
    """Patches that hold enough pixels, and earlier frames, for the most demanding network."""
    largest = max(card.crop_size_px for card in cards)
    frames = max(card.build_network().frames_seen for card in cards)
    faces: list[LabelledFace] = []
    weights: list[float] = []
    sets = read_training_sets(data, earlier_frames=frames - 1)
    for _, share, found in tqdm(sets, "labelled faces", unit="set"):
        faces.extend(cut_patch(face, crop_size_px=largest) for face in found)
        weights.extend(share / len(found) for _ in found)
    return faces, weights


def _train(
    trainer: LandmarkTrainer,
    validation: list[LabelledFace],
    output: Path,
    args: argparse.Namespace,
) -> None:
    log, weights = output / "log.csv", output / "landmarks.safetensors"
    checkpoint = output / "checkpoint.pt"
    elapsed_s, best = 0.0, np.inf
    if args.resume and checkpoint.exists():
        kept = trainer.load_checkpoint(checkpoint)
        elapsed_s, best = kept["elapsed_s"], kept["best"]
    limit_s = 60 * (args.minutes or 60)
    epoch_s = elapsed_s / trainer.epoch if trainer.epoch else 30.0
    bar = tqdm(total=args.epochs, initial=trainer.epoch, desc=output.name, unit="epoch")
    while True:
        if args.epochs:
            progress, after = trainer.epoch / args.epochs, (trainer.epoch + 1) / args.epochs
        else:
            progress, after = elapsed_s / limit_s, (elapsed_s + epoch_s) / limit_s
        if progress >= 1:
            break
        start = time.monotonic()
        loss = trainer.train_epoch(progress, min(after, 1.0))
        error = float(errors_on_jittered_boxes(trainer.model(), validation).mean())
        epoch_s = time.monotonic() - start
        elapsed_s += epoch_s
        if error < best:
            best = error
            save_landmark_weights(weights, trainer.average, trainer.card)
        trainer.save_checkpoint(checkpoint, elapsed_s=elapsed_s, best=best)
        _append(log, trainer.epoch, elapsed_s, loss, error)
        bar.update()
        bar.set_postfix(loss=f"{loss:.2f}", val=f"{error:.2f}", best=f"{best:.2f}")
    bar.close()
    print(f"{output.name}: {trainer.epoch} epochs in {elapsed_s / 60:.1f} min")
    print(f"ytf68/val NRMSE {best:.2f} %; weights: {weights}")


def _append(log: Path, epoch: int, elapsed_s: float, loss: float, error: float) -> None:
    new = not log.exists()
    with log.open("a", newline="") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["epoch", "elapsed_s", "loss_percent", "ytf68_val_nrmse_percent"])
        rows.writerow([epoch, f"{elapsed_s:.1f}", f"{loss:.4f}", f"{error:.4f}"])
