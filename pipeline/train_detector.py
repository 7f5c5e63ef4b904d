"""`facetracks train detector`: teaches the package's face detector what YuNet sees.

DIR/videos, DIR/ytf68, DIR/images68
    |   YuNet labels them once                  OUTPUT/labels/*.npz, *.npy
    v
random canvases -> network -> loss -> step      OUTPUT/checkpoint.pt, log.csv
    v
running mean of the weights                     OUTPUT/face_detector.safetensors
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from models.detector_data import (
    VALIDATION_VIDEOS,
    LabelledImages,
    label_images,
    read_stills,
    read_video_frames,
    source_weights,
    still_sources,
    video_sources,
)
from models.detector_network import save_detector_network
from models.detector_training import DetectorTrainer, TrainingSettings
from models.yunet import YuNetDetector
from schemas.errors import UsageError

__all__ = ["add_parser", "run"]

_YUNET_UNDER_DATA = Path("detectors") / "yunet" / "yunet_n_640_640.onnx"
_TEACHER_DOUBT = 0.3  # boxes from here to the teacher's threshold are taught neither way
_FRAMES_PER_VIDEO = 80
_CANVASES_PER_EPOCH = 4096
_LOG_STEPS = 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `detector` to the `train` group."""
    parser = subparsers.add_parser(
        "detector",
        help="train the face detector on what YuNet sees",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with videos/, detectors/yunet/ and, if there, ytf68/ and images68/",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="where labels, checkpoint, log and weights go",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=float, metavar="N", help="train for this long (default: 60)"
    )
    length.add_argument(
        "--epochs",
        type=float,
        metavar="N",
        help=f"train for this many times {_CANVASES_PER_EPOCH} canvases",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of all randomness (default: 0)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in --output"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains and writes the weights; 0 when done."""
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    checkpoint = args.output / "checkpoint.pt"
    if checkpoint.exists() and not args.resume:
        raise UsageError(f"{checkpoint} exists: add --resume to go on, or choose another --output")
    pools = _labelled_sources(args.data, args.output / "labels")
    settings = TrainingSettings(seed=args.seed)
    trainer = DetectorTrainer(pools, source_weights([p.name for p in pools]), settings)
    if args.resume and checkpoint.exists():
        trainer.load(checkpoint)
    _train(trainer, args, checkpoint)
    weights = args.output / "face_detector.safetensors"
    save_detector_network(trainer.average, weights)
    print(f"{weights}: {trainer.step_number} steps, {trainer.seconds_spent / 60:.1f} minutes")
    return 0


def _labelled_sources(data: Path, labels: Path) -> list[LabelledImages]:
    """Every training source with the teacher's boxes, looked up where they are not yet."""
    sources: list[tuple[str, Iterable[npt.NDArray[np.uint8]]]] = [
        (path.name, read_video_frames(path, limit=_FRAMES_PER_VIDEO))
        for path in video_sources(data)
        if path.name not in VALIDATION_VIDEOS
    ]
    sources += [(name, read_stills(paths)) for name, paths in still_sources(data).items()]
    teacher = YuNetDetector(data / _YUNET_UNDER_DATA, score_threshold=_TEACHER_DOUBT)
    labelled = []
    for name, images in tqdm(sources, desc="labels", unit="source"):
        path = labels / f"{name}.npz"
        done = path.exists() and path.with_suffix(".npy").exists()
        labelled.append(LabelledImages(path) if done else label_images(images, teacher, path))
    return [source for source in labelled if len(source)]


def _train(trainer: DetectorTrainer, args: argparse.Namespace, checkpoint: Path) -> None:
    """Steps until the budget is used up, with a log, a bar and a checkpoint every minute."""
    seconds = 60.0 * (60.0 if args.minutes is None else args.minutes)
    steps = None
    if args.epochs is not None:
        steps = round(args.epochs * _CANVASES_PER_EPOCH / trainer.settings.batch_size)
    log_path = args.output / "log.csv"
    fresh = not log_path.exists()
    before, saved = trainer.seconds_spent, time.monotonic()
    start = saved
    with log_path.open("a", newline="") as file, _bar(steps, seconds) as bar:
        log = csv.writer(file)
        if fresh:
            log.writerow(["step", "seconds", "total", "score", "box", "relative", "cells"])
        recent: list[tuple[float, ...]] = []
        while True:
            if steps is None:
                progress = trainer.seconds_spent / seconds if seconds > 0 else 1.0
            else:
                progress = trainer.step_number / steps if steps else 1.0
            bar.n = round(progress * bar.total, 1)
            if progress >= 1:
                break
            losses = trainer.step(progress)
            trainer.seconds_spent = before + time.monotonic() - start
            recent.append((losses.total, losses.score, losses.box, losses.relative, losses.cells))
            if len(recent) == _LOG_STEPS:
                means = np.mean(recent, 0)
                log.writerow(
                    [trainer.step_number, round(trainer.seconds_spent, 1)]
                    + [round(float(v), 5) for v in means]
                )
                file.flush()
                bar.set_postfix(loss=f"{means[0]:.3f}", step=trainer.step_number)
                recent.clear()
            if time.monotonic() - saved > 60:
                trainer.save(checkpoint)
                save_detector_network(trainer.average, args.output / "interim.safetensors")
                saved = time.monotonic()
    trainer.save(checkpoint)


def _bar(steps: int | None, seconds: float) -> Any:
    if steps is None:
        return tqdm(total=round(seconds / 60, 1), desc="training", unit="min", mininterval=5)
    return tqdm(total=steps, desc="training", unit="step", mininterval=5)
