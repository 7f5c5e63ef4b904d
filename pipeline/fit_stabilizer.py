"""`facetracks fit-stabilizer`: fits the Bayesian filter, the offline smoother and the rivals."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from models.landmarks.model import load_landmark_model
from models.stabilization.baseline_smoothers import BASELINES, run_baseline, tune_baseline
from models.stabilization.loss import LossWeights, StabilizerLoss
from models.stabilization.metrics import score_tracks
from models.stabilization.mode_tuning import run_mode_smoother, tune_mode_smoother
from models.stabilization.stabilizers import STABILIZERS
from models.stabilization.track_batch import TrackBatch
from models.stabilization.training import (
    FitResult,
    fit_by_gradient,
    fit_by_nelder_mead,
    run_filter,
    start_from,
)
from models.stabilization.weights import (
    StabilizerWeights,
    load_stabilizer_weights,
    save_stabilizer_weights,
)
from pipeline.stabilizer_tracks import add_track_options, make_tracks

__all__ = ["add_parser", "run"]

Array = npt.NDArray[np.float64]

_LICENCE: Final = (
    "research use only: fitted on tracks of weights and on motion of labels that are, too"
)


def add_parser(subparsers: Any) -> None:
    """Adds the command to the `facetracks` parser."""
    parser = subparsers.add_parser(
        "fit-stabilizer",
        help="fit the stabilizers on tracks with truth",
        description="Fits the Bayesian filter of fractional heatmap regression (loss: Eq. 11-15 "
        "of the paper) by gradient through its recursion, tunes the offline smoother and the "
        "simpler filters by the same loss, and writes them to one file.",
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FILE", help="weights file to write")
    add_track_options(parser, tracks=50)
    add("--labelled", type=Path, metavar="DIR", help="videos in the layout of 300VW, to train on")
    add("--steps", type=int, default=150, help="gradient steps (default: %(default)s)")
    add("--components", type=int, default=2, metavar="K", help="Gaussians of the prior")
    add("--lambda1", type=float, default=1.0, help="weight of smoothness (default: 1)")
    add("--lambda2", type=float, default=10.0, help="weight of the time delay (default: 10)")
    add("--lambda3", type=float, default=1.0, help="weight of the midpoint; inf is Eq. 15")
    add(
        "--covariance",
        choices=("diagonal", "full"),
        default="diagonal",
        help="reading of Eq. 9 when the filter runs (default: %(default)s)",
    )
    add(
        "--default",
        choices=STABILIZERS[1:],
        default="rts",
        metavar="NAME",
        help="what --stabilizer FILE stands for (default: %(default)s)",
    )
    add(
        "--compare-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="also fit by Nelder-Mead for so long, as the paper does, and print both",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fits, prints what came of it, writes the file; returns 0."""
    tracks = make_tracks(args, "training", args.labelled)
    batch = TrackBatch.of(tracks).without_bias()
    weights = LossWeights(args.lambda1, args.lambda2, args.lambda3)
    start = start_from(batch, args.components)
    with tqdm(total=args.steps, desc="Bayesian filter", unit="step") as bar:

        def report(step: int, loss: float) -> None:
            bar.update(step > 0)
            bar.set_postfix(loss=f"{loss:.2f}")

        fit = fit_by_gradient(batch, start, weights, steps=args.steps, report=report)
    loss_of = StabilizerLoss(batch, weights)
    print(f"{batch!r}; raw loss {float(loss_of(batch.raw)):.2f}")
    _print_fit("gradient", fit)
    if args.compare_seconds > 0:
        simplex = fit_by_nelder_mead(batch, start, weights, seconds=args.compare_seconds)
        _print_fit("Nelder-Mead", simplex)
    began = time.perf_counter()
    smoother = tune_mode_smoother(batch, start.eigenvectors, loss_of)
    offline = run_mode_smoother(batch, smoother)
    print(
        f"{'offline smoother':22} loss {float(loss_of(offline)):9.2f}  "
        f"{time.perf_counter() - began:6.1f} s"
    )
    baselines = {
        name: tune_baseline(kind, batch, loss_of)
        for name, kind in tqdm(BASELINES.items(), "simpler filters", unit="filter")
    }
    landmark_sha256 = load_landmark_model(args.weights).weights_sha256
    training = (
        f"facetracks fit-stabilizer, {len(batch)} tracks, {int(batch.lengths.sum())} frames, "
        f"seed {args.seed}, {args.steps} steps, K = {args.components}, lambda {args.lambda1:g} "
        f"{args.lambda2:g} {args.lambda3:g}, loss {fit.loss:.3f}; landmark weights "
        f"{landmark_sha256}"
    )
    save_stabilizer_weights(
        args.output,
        StabilizerWeights(
            filter=fit.parameters,
            smoother=smoother,
            baselines=baselines,
            covariance=args.covariance,
            stabilizer=args.default,
            licence=_LICENCE,
            training=training,
        ),
    )
    steadied = {
        "raw": batch.raw,
        **{name: run_baseline(batch, BASELINES[name].new(**p)) for name, p in baselines.items()},
        "sta": run_filter(batch, fit.parameters),
        "rts": offline,
    }
    table = _table(batch, steadied, loss_of)
    print(table)
    _write_card(args.output, training, table)
    print(f"weights: {args.output}")
    return 0


def _print_fit(name: str, fit: FitResult) -> None:
    print(
        f"{name:22} loss {fit.loss:9.2f}  {fit.seconds:6.1f} s  {fit.evaluations} evaluations "
        f"(gamma {fit.parameters.gamma:.3f}, alpha "
        + ", ".join(f"{share:.3f}" for share in fit.parameters.weights)
        + ")"
    )


def _table(batch: TrackBatch, steadied: Mapping[str, Array], loss_of: StabilizerLoss) -> str:
    lines = [f"{'training tracks':22} {'loss':>8} {'NRMSE':>7} {'stability':>9} {'lag':>7}"]
    for name, steady in steadied.items():
        scores = score_tracks(batch, steady)
        lines.append(
            f"{name:22} {float(loss_of(steady)):8.2f} {scores.nrmse_percent:7.3f} "
            f"{scores.stability_percent:9.3f} {scores.lag_frames:+7.3f}"
        )
    return "\n".join(lines)


def _write_card(weights: Path, training: str, table: str) -> None:
    """Says beside the file what it is and where it comes from."""
    fitted = load_stabilizer_weights(weights.absolute())
    weights.with_suffix(".md").write_text(
        f"# {weights.name}\n\n"
        "Parameters of the stabilizers of `models/stabilization/stabilizers.py`: the Bayesian "
        "filter (`sta`, `sta-offline`), the offline smoother (`rts`), One-Euro (`one-euro`), and "
        "the simpler filters that `facetracks evaluate-stabilizers` compares with.\n\n"
        f"- sha256 {fitted.sha256}\n"
        f"- stands for: {fitted.stabilizer}; covariance of Eq. 9: {fitted.covariance}\n"
        f"- licence: {fitted.licence}\n"
        f"- made by: {training}\n\n"
        "On the training tracks, without each track's constant error (percent of the distance "
        f"of the outer eye corners; frames):\n\n```\n{table}\n```\n"
    )
