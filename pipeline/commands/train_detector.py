"""`facetracks train detector`: trains the package's face detector on YuNet's detections.

DIR/videos, DIR/ytf68, DIR/images68
    |   YuNet labels them once                  OUTPUT/labels/*.npz, *.npy
    v
random canvases -> network -> loss -> step      OUTPUT/checkpoint.pt, log.csv
    v
running mean of the weights                     OUTPUT/face_detector.safetensors
ranges of activations, for 8-bit inference      in the same file
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from models.detection.face_detector import image_planes
from models.detection.network import save_detector_network
from models.detection.training.labelled_images import (
    VALIDATION_VIDEOS,
    YUNET_UNDER_DATA,
    LabelledImages,
    label_images,
    read_stills,
    read_video_frames,
    source_weights,
    still_sources,
    video_sources,
)
from models.detection.training.trainer import DetectorTrainer, StepLosses, TrainingSettings
from models.detection.yunet import YuNetDetector
from schemas.errors import UsageError

_TEACHER_DOUBT = 0.3  # boxes from here to the teacher's threshold are taught neither way
_FRAMES_PER_VIDEO = 80
_DEFAULT_MINUTES = 60.0
_STEPS_PER_EPOCH = 256
_CALIBRATION_IMAGES = 8  # of each source
_LOG_STEPS = 20
_SAVE_SECONDS = 60.0


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
    images = _calibration_images(pools, max(trainer.average.config.strides_px))
    save_detector_network(trainer.average, weights, licence=args.licence, images=images)
    print(f"{weights}: {trainer.step_number} steps, {trainer.seconds_spent / 60:.1f} minutes")
    return 0


def _labelled_sources(data: Path, labels: Path) -> list[LabelledImages]:
    """Every training source with the teacher's boxes, detected once and cached."""
    sources: list[tuple[str, Iterable[npt.NDArray[np.uint8]]]] = [
        (path.name, read_video_frames(path, limit=_FRAMES_PER_VIDEO))
        for path in video_sources(data)
        if path.name not in VALIDATION_VIDEOS
    ]
    sources += [(name, read_stills(paths)) for name, paths in still_sources(data).items()]
    teacher = YuNetDetector(data / YUNET_UNDER_DATA, score_threshold=_TEACHER_DOUBT)
    labelled = []
    for name, images in tqdm(sources, desc="labels", unit="source"):
        path = labels / f"{name}.npz"
        done = path.exists() and path.with_suffix(".npy").exists()
        labelled.append(LabelledImages(path) if done else label_images(images, teacher, path))
    return [source for source in labelled if len(source)]


def _calibration_images(
    pools: Sequence[LabelledImages], multiple_px: int
) -> Iterator[npt.NDArray[np.float32]]:
    """Images evenly from every source, as the network takes them."""
    for pool in pools:
        step = -(-len(pool) // _CALIBRATION_IMAGES)
        for i in range(0, len(pool), step):
            yield image_planes(pool[i].image, multiple_px)


def _train(trainer: DetectorTrainer, args: argparse.Namespace, checkpoint: Path) -> None:
    """Steps until the budget is used up, with a log, a bar and a checkpoint every minute."""
    if args.epochs is None:
        total, unit = args.minutes or _DEFAULT_MINUTES, "min"
    else:
        total, unit = round(args.epochs * _STEPS_PER_EPOCH), "step"

    def spent() -> float:
        return trainer.seconds_spent / 60 if unit == "min" else trainer.step_number

    before, start = trainer.seconds_spent, time.monotonic()
    saved = start
    log = args.output / "log.csv"
    recent: list[StepLosses] = []
    with tqdm(total=total, desc="training", unit=unit, mininterval=2) as bar:
        while spent() < total:
            losses = trainer.step(spent() / total)
            trainer.seconds_spent = before + time.monotonic() - start
            bar.n = round(spent(), 1)
            bar.set_postfix(loss=f"{losses.total:.3f}", step=trainer.step_number, refresh=False)
            bar.update(0)
            recent.append(losses)
            if len(recent) == _LOG_STEPS:
                _log(log, trainer, recent)
                recent.clear()
            if time.monotonic() - saved > _SAVE_SECONDS:
                trainer.save(checkpoint)
                interim = args.output / "interim.safetensors"
                save_detector_network(trainer.average, interim, licence=args.licence)
                saved = time.monotonic()
    if recent:
        _log(log, trainer, recent)
    trainer.save(checkpoint)


def _log(path: Path, trainer: DetectorTrainer, losses: Sequence[StepLosses]) -> None:
    """Appends the mean losses of the last steps to a CSV file."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        table = csv.writer(file)
        if is_new:
            table.writerow(["step", "seconds", "total", "score", "box", "relative", "cells"])
        means = np.mean([astuple(step) for step in losses], 0).round(5).tolist()
        table.writerow([trainer.step_number, round(trainer.seconds_spent, 1), *means])
