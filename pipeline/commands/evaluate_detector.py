"""`facetracks evaluate detector`: a face detector against YuNet on videos it never saw."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from models.crops import fit_affine
from models.detection.detections import Detections, FaceDetector
from models.detection.face_detector import load_face_detector
from models.detection.metrics import DetectionTally
from models.detection.training.labelled_images import (
    VALIDATION_VIDEOS,
    YUNET_UNDER_DATA,
    read_stills,
    read_video_frames,
    reduce_image,
    teach,
    video_sources,
)
from models.detection.yunet import YuNetDetector
from pipeline.text_files import text_table
from schemas.errors import UsageError

_STILLS = "ytf68/val"
_SPEED_RUNS = 60


def run(args: argparse.Namespace) -> int:
    """Prints the figures; 0 when done."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector = load_face_detector(args.detector)
    teacher = YuNetDetector(args.data / YUNET_UNDER_DATA)
    videos = [
        path
        for path in video_sources(args.data)
        if args.videos == "all" or path.name in VALIDATION_VIDEOS
    ]
    if not videos:
        raise UsageError(f"{args.data / 'videos'} has none of the validation videos")
    overall = DetectionTally()
    rows: dict[str, dict[str, float | int | None]] = {}
    for path in tqdm(videos, desc="videos", unit="video", disable=args.json):
        tally = judge_images(detector, teacher, read_video_frames(path))
        overall.merge(tally)
        rows[path.name] = tally.summary()
    rows["all videos"] = overall.summary()
    stills = sorted((args.data / _STILLS).rglob("*.jpg"))
    if stills:
        rows[_STILLS] = judge_images(detector, teacher, read_stills(stills)).summary()
    speed = frames_per_second(detector)
    if args.json:
        report = {
            "detector": detector.name,
            "weights_sha256": detector.weights_sha256,
            "frames_per_second_640x360_one_thread": speed,
            "rows": rows,
        }
        print(json.dumps(report, indent=2))
    else:
        columns = list(rows["all videos"])
        cells = ([name, *(_cell(c, row[c]) for c in columns)] for name, row in rows.items())
        print(text_table(["", *(c.removesuffix("_percent") for c in columns)], cells))
        print(f"{detector.name}: {speed:.0f} frames/s at 640x360 on one thread")
    return 0


def judge_images(
    detector: FaceDetector, teacher: FaceDetector, images: Iterable[npt.NDArray[np.uint8]]
) -> DetectionTally:
    """Compares two detectors on (H, W, 3) uint8 RGB images, each scaled to their input size."""
    tally = DetectionTally()
    for image in images:
        found = reduce_image(image, detector.input_longest_side_px)
        taught = reduce_image(image, teacher.input_longest_side_px)
        tally.add(
            _in_source(detector.detect(found), found, image),
            _in_source(teach(teacher, taught), taught, image),
        )
    return tally


def _in_source(
    faces: Detections, reduced: npt.NDArray[np.uint8], source: npt.NDArray[np.uint8]
) -> Detections:
    (height, width), (out_height, out_width) = source.shape[:2], reduced.shape[:2]
    affine = fit_affine(width, height, out_width_px=out_width, out_height_px=out_height)
    return faces.in_frame(affine)


def frames_per_second(detector: FaceDetector, width_px: int = 640, height_px: int = 360) -> float:
    """Noise frames a second on one CPU core; the median of single frames.

    Counts the seconds that the CPU worked, so that a busy machine does not change it much.
    """
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (height_px, width_px, 3), np.uint8)
    seconds = []
    for _ in range(_SPEED_RUNS):
        start = time.process_time()
        detector.detect(frame)
        seconds.append(time.process_time() - start)
    return 1 / max(float(np.median(seconds)), 1e-9)


def _cell(column: str, value: float | int | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}" if column.endswith("_percent") else f"{value:.4f}"
