"""`facetracks evaluate landmarks`: errors of a landmark model on labelled faces."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from models.detection.face_detector import load_face_detector
from models.landmarks.evaluation import errors_on_detections, errors_on_jittered_boxes
from models.landmarks.metrics import summarize_errors
from models.landmarks.model import LandmarkModel, load_landmark_model
from models.landmarks.sets import EVALUATION_SETS, read_evaluation_set
from schemas.errors import UsageError

__all__ = ["add_parser", "run"]

_STILLS = ("dlib_faces", "helen_train8")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `landmarks` to the group of `facetracks evaluate`."""
    parser = subparsers.add_parser(
        "landmarks",
        help="measure the landmark network on labelled faces",
        description="NRMSE (percent of the distance of the outer eye corners), AUC and failure "
        "rate at 8 percent, on ytf68/val, dlib_faces and helen_train8. Boxes are those of the "
        "labelled landmarks, jittered as the detector scatters, or the detector's own.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument("--weights", type=Path, help="weights file (default: the package's)")
    parser.add_argument(
        "--detector",
        metavar="SPEC",
        help="also measure on detected boxes: 'default', 'yunet:PATH' or a weights file",
    )
    parser.add_argument(
        "--draws", type=int, default=8, help="jittered boxes for each face (default: 8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the jitter (default: 0)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0."""
    if args.draws < 1:
        raise UsageError(f"--draws: got {args.draws}, expected 1 or more")
    torch.set_num_threads(args.threads)
    model = load_landmark_model(args.weights, args.device)
    rows = _measure(args, model)
    if args.json:
        report = {
            "weights_sha256": model.weights_sha256,
            "network": model.card.network,
            "crop_scale": model.card.crop_scale,
            "draws": args.draws,
            "seed": args.seed,
            "results": rows,
        }
        print(json.dumps(report, indent=2))
    else:
        print(_table(model, rows))
    return 0


def _measure(args: argparse.Namespace, model: LandmarkModel) -> list[dict[str, Any]]:
    detector = load_face_detector(args.detector) if args.detector else None
    jittered: dict[str, npt.NDArray[np.float64]] = {}
    detected: dict[str, npt.NDArray[np.float64]] = {}
    for name in tqdm(EVALUATION_SETS, "evaluating", unit="set"):
        faces = read_evaluation_set(args.data, name)
        jittered[name] = errors_on_jittered_boxes(model, faces, draws=args.draws, seed=args.seed)
        if detector is not None:
            detected[name] = errors_on_detections(model, faces, detector)
    sources = {f"labels, jittered x{args.draws}": jittered}
    if detector is not None:
        sources[f"detector {detector.name}"] = detected
    rows = []
    for source, errors in sources.items():
        errors["both stills"] = np.concatenate([errors[name] for name in _STILLS])
        for name, of_faces in errors.items():
            summary = dataclasses.asdict(summarize_errors(of_faces.ravel()))
            rows.append({"set": name, "boxes": source, "faces": len(of_faces), **summary})
    return rows


def _table(model: LandmarkModel, rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        repr(model),
        f"{'set':14} {'boxes':22} {'faces':>5} {'missed':>6} "
        f"{'NRMSE':>6} {'median':>6} {'AUC@8':>6} {'FR@8':>6}   (percent)",
    ]
    for row in rows:
        lines.append(
            f"{row['set']:14} {row['boxes']:22} {row['faces']:5d} {row['missed']:6d} "
            f"{row['nrmse_mean']:6.2f} {row['nrmse_median']:6.2f} "
            f"{row['auc8_percent']:6.1f} {row['fr8_percent']:6.1f}"
        )
    return "\n".join(lines)
