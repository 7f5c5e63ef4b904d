"""`facetracks train landmarks`: trains the 2D landmark network, shows how well it does.

OUTPUT holds log.csv (a row an epoch), checkpoint.pt (to go on from) and
landmarks_2d.safetensors (the averaged weights of the epoch with the least error on
ytf68/val so far). Everything is written atomically, after each epoch.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models.landmarks.augmentation import cut_patch
from models.landmarks.data import LabelledFace
from models.landmarks.evaluation import errors_on_jittered_boxes
from models.landmarks.model import LandmarkCard, read_landmark_weights, save_landmark_weights
from models.landmarks.sets import read_evaluation_set, read_training_sets
from models.landmarks.training import LandmarkTrainer, TrainingOptions
from schemas.errors import UsageError

__all__ = ["add_parser", "run"]

_LICENCE = (
    "research use only: trained partly on labels of dlib's model, which excludes commercial use"
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `landmarks` to the group of `facetracks train`."""
    parser = subparsers.add_parser(
        "landmarks",
        help="train the 2D landmark network on labelled faces",
        description="Trains the 2D coordinate regression network. Needs a data folder with "
        "ytf68, pseudo68, videos and images68. Can be stopped at any time and resumed.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument("--output", type=Path, required=True, help="folder for weights and logs")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=float, help="train for this long, all sessions together (default: 60)"
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
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
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
        help="start from the weights of an earlier run instead of from nothing",
    )
    parser.add_argument("--resume", action="store_true", help="go on from OUTPUT/checkpoint.pt")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0."""
    if not 0.5 <= args.crop_scale <= 4:
        raise UsageError(f"--crop-scale: got {args.crop_scale}, expected 0.5 to 4")
    checkpoint = args.output / "checkpoint.pt"
    if args.resume and not checkpoint.is_file():
        raise UsageError(f"--resume: no such file: {checkpoint}")
    if not args.resume and checkpoint.exists():
        raise UsageError(f"{checkpoint} exists: add --resume to go on, or choose another OUTPUT")
    args.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    faces, weights = _load_training_faces(args.data)
    validation = [
        cut_patch(face)
        for face in tqdm(read_evaluation_set(args.data, "ytf68/val"), "ytf68/val", unit="face")
    ]
    card = LandmarkCard(
        crop_scale=args.crop_scale,
        licence=_LICENCE,
        training=f"facetracks train landmarks, {len(faces)} faces, seed {args.seed}"
        + (f", from {args.initial.name}" if args.initial else ""),
    )
    options = TrainingOptions(
        seed=args.seed,
        learning_rate=args.learning_rate,
        samples_per_epoch=args.samples_per_epoch,
    )
    initial = read_landmark_weights(args.initial)[0] if args.initial else None
    trainer = LandmarkTrainer(faces, weights, card, options, initial)
    elapsed, best = 0.0, np.inf
    if args.resume:
        kept = trainer.load_checkpoint(checkpoint)
        elapsed, best = kept["elapsed_s"], kept["best"]
    _train(trainer, validation, args, elapsed, best)
    return 0


def _load_training_faces(data: Path) -> tuple[list[LabelledFace], list[float]]:
    faces: list[LabelledFace] = []
    weights: list[float] = []
    for _, share, found in tqdm(read_training_sets(data), "labelled faces", unit="set"):
        faces.extend(cut_patch(face) for face in found)
        weights.extend(share / len(found) for _ in found)
    return faces, weights


def _train(
    trainer: LandmarkTrainer,
    validation: list[LabelledFace],
    args: argparse.Namespace,
    elapsed_s: float,
    best: float,
) -> None:
    log, weights = args.output / "log.csv", args.output / "landmarks_2d.safetensors"
    limit_s = 60 * (args.minutes or 60)
    epoch_s = elapsed_s / trainer.epoch if trainer.epoch else 30.0
    bar = tqdm(total=args.epochs, initial=trainer.epoch, desc="training", unit="epoch")
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
        trainer.save_checkpoint(args.output / "checkpoint.pt", elapsed_s=elapsed_s, best=best)
        _append(log, trainer.epoch, elapsed_s, loss, error)
        bar.update()
        bar.set_postfix(loss=f"{loss:.2f}", val=f"{error:.2f}", best=f"{best:.2f}")
    bar.close()
    print(f"{trainer.epoch} epochs in {elapsed_s / 60:.1f} min; ytf68/val NRMSE {best:.2f} %")
    print(f"weights: {weights}")


def _append(log: Path, epoch: int, elapsed_s: float, loss: float, error: float) -> None:
    new = not log.exists()
    with log.open("a", newline="") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["epoch", "elapsed_s", "loss_percent", "ytf68_val_nrmse_percent"])
        rows.writerow([epoch, f"{elapsed_s:.1f}", f"{loss:.4f}", f"{error:.4f}"])
