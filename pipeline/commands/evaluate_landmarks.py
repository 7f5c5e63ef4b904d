"""`facetracks evaluate landmarks`: errors of landmark networks on labelled faces."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from models.detection.detections import FaceDetector
from models.detection.face_detector import load_face_detector
from models.landmarks.datasets.labelled_video import LabelledSet
from models.landmarks.datasets.sets import read_evaluation_set
from models.landmarks.evaluation.measurement import (
    BoxesOfFace,
    detected_boxes,
    jittered_boxes,
    label_boxes,
    measure_faces,
)
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.metrics import PrecisionCheck
from models.landmarks.model import load_landmark_model
from pipeline.data.labelled_sets import read_labelled_sets
from pipeline.reports.landmark_report import (
    MISSED_NOTE,
    Measurement,
    draw_error_curves,
    format_tables,
    report_rows,
    without_nan,
)
from pipeline.reports.stabilizer_plots import check_plots
from schemas.choices import EVALUATION_SETS
from schemas.errors import UsageError

_DRAWS_STILL, _DRAWS_VIDEO = 8, 1


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0."""
    if args.plots:
        check_plots()
    torch.set_num_threads(args.threads)
    skipped: list[str] | None = [] if args.skip_broken else None
    sets = [
        LabelledSet(name, stills=read_evaluation_set(args.data, name))
        for name in (EVALUATION_SETS if args.data else ())
    ]
    sets += read_labelled_sets(args.set, skipped=skipped)
    detector = load_face_detector(args.detector) if args.detector else None
    models = _named_models(args)
    measured = [
        one
        for name, model in models.items()
        for one in _measure(args, name, model, detector, sets, skipped)
    ]
    rows = report_rows(measured)
    checks = _precision_checks(rows["results"], args.precision)
    left_out = None if skipped is None else list(dict.fromkeys(skipped))
    if args.json:
        _print_json(args, models, rows, checks, left_out)
    else:
        for model in models.values():
            print(repr(model))
        print(format_tables(rows))
        for (network, data_set, boxes), check in checks.items():
            print(f"{args.precision}, {network}, {data_set}, {boxes}: {check}")
        if left_out is not None:
            print("\n".join([f"skipped: {len(left_out)} broken annotations", *left_out]))
    if args.plots:
        for path in draw_error_curves(args.plots, measured):
            print(path, file=sys.stderr)
    return 0


def _named_models(args: argparse.Namespace) -> dict[str, LandmarkModel]:
    """By the networks' names, with a digest of the weights where two are of one network."""
    models = [load_landmark_model(path, args.device) for path in args.weights or [None]]
    networks = [model.card.network for model in models]
    named: dict[str, LandmarkModel] = {}
    for path, model in zip(args.weights or [None], models, strict=True):
        name = model.card.network
        if networks.count(name) > 1:
            name += f" {model.weights_sha256[:8]}"
        named |= _read_in_each_way(name, model, args.codec)
        if args.precision != "float32":
            shorter = load_landmark_model(path, args.device, precision=args.precision)
            read = _read_in_each_way(name, shorter, args.codec)
            named |= {f"{way}, {args.precision}": model for way, model in read.items()}
    return named


def _read_in_each_way(
    name: str, model: LandmarkModel, codecs: Sequence[str] | None
) -> dict[str, LandmarkModel]:
    if not codecs or not model.makes_heatmaps:
        return {name: model}
    return {f"{name}, {codec}": model.read_by(codec) for codec in codecs}


def _precision_checks(
    rows: Sequence[Mapping[str, Any]], precision: str
) -> dict[tuple[str, str, str], PrecisionCheck]:
    """Of each network, set and kind of boxes that was measured in both precisions.

    By 68 landmarks, where the labels have them.
    """
    means: dict[tuple[str, str, str], float] = {}
    for row in rows:
        if (row["normalization"], row["group"]) == ("interocular", "all"):
            means.setdefault((row["network"], row["set"], row["boxes"]), row["nrmse_mean"])
    return {
        (network, data_set, boxes): PrecisionCheck(mean, shorter)
        for (network, data_set, boxes), mean in means.items()
        if (shorter := means.get((f"{network}, {precision}", data_set, boxes))) is not None
    }


def _measure(
    args: argparse.Namespace,
    network: str,
    model: LandmarkModel,
    detector: FaceDetector | None,
    sets: Sequence[LabelledSet],
    skipped: list[str] | None,
) -> list[Measurement]:
    measured: list[Measurement] = []
    wanted = [(data, *_boxes_of_labels(args, data)) for data in sets]
    if detector is not None:
        detected = f"detector {detector.name}", detected_boxes(detector)
        wanted += [(data, *detected) for data in sets]
    for data, source, boxes in wanted:
        faces = data.faces(window_frames=model.card.window_frames, skipped=skipped)
        shown = tqdm(faces, f"{network}, {data.name}, {source}", unit="face")
        errors = measure_faces(model, shown, boxes, skipped=skipped)
        if not len(errors):
            raise UsageError(f"{data.name}: got no face to measure, expected some")
        measured.append(Measurement(network, data.name, source, errors))
    return measured


def _boxes_of_labels(args: argparse.Namespace, data: LabelledSet) -> tuple[str, BoxesOfFace]:
    draws = args.draws
    if draws is None:
        draws = _DRAWS_VIDEO if data.videos else _DRAWS_STILL
    if draws == 0:
        return "labels", label_boxes
    return f"labels, jittered x{draws}", jittered_boxes(draws=draws, seed=args.seed)


def _print_json(
    args: argparse.Namespace,
    models: Mapping[str, LandmarkModel],
    rows: Mapping[str, Sequence[dict[str, Any]]],
    checks: Mapping[tuple[str, str, str], PrecisionCheck],
    left_out: list[str] | None,
) -> None:
    networks = [
        {
            "network": name,
            "weights_sha256": model.weights_sha256,
            "crop_scale": model.card.crop_scale,
        }
        for name, model in models.items()
    ]
    report = {
        "networks": networks,
        "seed": args.seed,
        "missed": MISSED_NOTE,
        "left_out": left_out,
        **{kind: without_nan(found) for kind, found in rows.items()},
        "precision_checks": [
            dict(zip(("network", "set", "boxes"), key, strict=True))
            | dataclasses.asdict(check)
            | {"accepted": check.accepted}
            for key, check in checks.items()
        ],
    }
    print(json.dumps(report, indent=2))
