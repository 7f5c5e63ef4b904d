"""`facetracks train stabilizer`: fits the Bayesian filter, offline smoother and simpler filters."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from models.landmarks.model import load_landmark_model
from models.stabilization.bayesian_filter import Covariance, FilterParameters
from models.stabilization.fitting.baseline_smoothers import BASELINES, tune_baseline
from models.stabilization.fitting.filter_fitting import (
    FitResult,
    fit_by_gradient,
    fit_by_nelder_mead,
    run_filter,
    start_from,
)
from models.stabilization.fitting.loss import LossWeights, StabilizerLoss
from models.stabilization.fitting.metrics import score_tracks, tuning_cost
from models.stabilization.fitting.mode_tuning import measured_jitter, tune_mode_smoother
from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.weights import (
    StabilizerWeights,
    load_stabilizer_weights,
    save_stabilizer_weights,
)
from models.synthesis.motion_tracks import MotionTrack
from pipeline.commands.command_parser import settings_of
from pipeline.commands.evaluate_stabilizers import stabilize_batch
from pipeline.data.data_settings import TrackSettings
from pipeline.data.stabilizer_tracks import make_tracks
from pipeline.text_files import text_table
from schemas.choices import STABILIZERS

Array = npt.NDArray[np.float64]

#: What both readings of Eq. 9 are compared on: the full one takes three seconds a step.
_COMPARED_TRACKS, _COMPARED_FRAMES, _COMPARED_STEPS = 12, 60, 40
#: Of the fitted noise, what is tried on the held-out tracks. Squared errors are for the most part
#: those of the noisiest tracks, so a fit takes others to be noisier than they are.
_NOISE_SHARES: Final = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15)
_LICENCE: Final = (
    "research use only, like the landmark weights and the labels that it was fitted with"
)


def run(args: argparse.Namespace) -> int:
    """Fits, prints the result, writes the file; returns 0."""
    settings = settings_of(TrackSettings, args)
    tracks = make_tracks(settings, "fit", args.labelled)
    held_out_tracks = make_tracks(settings, "held-out")
    batch, held_out = TrackBatch.of(tracks).without_bias(), TrackBatch.of(held_out_tracks)
    cost_of = tuning_cost(held_out)
    print(f"fit on {batch!r}; held out {held_out!r}")
    if args.compare_covariances:
        print(_compare_covariances(tracks, held_out, cost_of, _weights(args, args.lambda1[0])))
    lambda1, share, fit = _fit_filter(batch, held_out, cost_of, args)
    baselines = {
        name: tune_baseline(kind, held_out, cost_of)
        for name, kind in tqdm(BASELINES.items(), "simpler filters", unit="filter")
    }
    modes = fit.parameters.eigenvectors
    smoother = tune_mode_smoother(held_out, modes, measured_jitter(batch, modes), cost_of)
    fitted = StabilizerWeights(fit.parameters, smoother, baselines, args.covariance)
    steadied = stabilize_batch(held_out, fitted)
    costs = {name: cost_of(steady) for name, steady in steadied.items()}
    costs["one-euro"] = costs["One-Euro"]
    default = args.default or min(STABILIZERS[1:], key=costs.__getitem__)
    training = (
        f"facetracks train stabilizer, {len(batch)} tracks, {int(batch.lengths.sum())} frames, "
        f"seed {args.seed}, {args.steps} steps, K = {args.components}, lambda {lambda1:g} "
        f"{args.lambda2:g} {args.lambda3:g}, evenness {args.evenness:g}, "
        f"noise of each track, loss {fit.loss:.3f}, noise x {share:g}; held out "
        f"{len(held_out)} tracks, {int(held_out.lengths.sum())} frames; landmark weights "
        f"{load_landmark_model(args.weights).weights_sha256}"
    )
    licence = args.licence or _LICENCE
    fitted = replace(fitted, stabilizer=default, licence=licence, training=training)
    save_stabilizer_weights(args.output, fitted)
    table = _table(held_out, steadied, costs)
    print(table)
    _write_card(args.output, training, table)
    print(f"weights: {args.output} ({default})")
    return 0


def _weights(args: argparse.Namespace, lambda1: float) -> LossWeights:
    return LossWeights(lambda1, args.lambda2, args.lambda3, args.evenness)


def _fit_filter(
    batch: TrackBatch,
    held_out: TrackBatch,
    cost_of: Callable[[Array], float],
    args: argparse.Namespace,
) -> tuple[float, float, FitResult]:
    """The lambda1, the share of the noise and the fit that cost least on the held-out tracks."""
    start = start_from(batch, args.components)
    found = []
    for lambda1 in args.lambda1:
        weights = _weights(args, lambda1)
        fit = _with_bar(
            f"lambda1 = {lambda1:g}", batch, start, weights, args.steps, args.covariance
        )
        raw_loss = StabilizerLoss(batch, weights)(batch.raw)
        print(f"lambda1 = {lambda1:g}: raw loss {raw_loss:.3f}")
        _print_fit("gradient", fit)
        for share in _NOISE_SHARES:
            theta = replace(fit.parameters, noise=share * fit.parameters.noise)
            cost = cost_of(run_filter(held_out, theta, args.covariance))
            print(f"    noise x {share:g}: held out {cost:.4f}")
            found.append((cost, lambda1, share, replace(fit, parameters=theta)))
        if args.compare_seconds > 0:
            simplex = fit_by_nelder_mead(batch, start, weights, seconds=args.compare_seconds)
            _print_fit("Nelder-Mead", simplex)
    return min(found, key=lambda one: one[0])[1:]


def _with_bar(
    title: str,
    batch: TrackBatch,
    start: FilterParameters,
    weights: LossWeights,
    steps: int,
    covariance: Covariance,
) -> FitResult:
    """`fit_by_gradient` with a progress bar."""
    with tqdm(total=steps, desc=title, unit="step") as bar:

        def report(step: int, loss: float) -> None:
            bar.update(step > 0)
            bar.set_postfix(loss=f"{loss:.2f}")

        return fit_by_gradient(
            batch, start, weights, steps=steps, covariance=covariance, report=report
        )


def _compare_covariances(
    tracks: Sequence[MotionTrack],
    held_out: TrackBatch,
    cost_of: Callable[[Array], float],
    weights: LossWeights,
) -> str:
    """Both readings of Eq. 9, fitted on the beginnings of a few tracks, on the held-out ones."""
    few = tracks[:: max(1, len(tracks) // _COMPARED_TRACKS)]
    batch = TrackBatch.of([track.part(0, _COMPARED_FRAMES) for track in few]).without_bias()
    start, loss_of = start_from(batch), StabilizerLoss(held_out.without_bias(), weights)
    lines = []
    readings: tuple[Covariance, ...] = ("diagonal", "full")
    for covariance in readings:
        title = f"{covariance} covariance"
        fit = _with_bar(title, batch, start, weights, _COMPARED_STEPS, covariance)
        steadied = run_filter(held_out, fit.parameters, covariance)
        lines.append(
            f"{covariance:8} covariance, {batch!r}: loss {fit.loss:.2f}, held out "
            f"{loss_of(steadied):.2f}, cost {cost_of(steadied):.4f}; "
            f"{fit.seconds:.0f} s of processor time"
        )
    return "\n".join(lines)


def _print_fit(name: str, fit: FitResult) -> None:
    print(
        f"{name:12} loss {fit.loss:8.3f}  {fit.seconds:6.1f} s of processor time, "
        f"{fit.evaluations} evaluations "
        f"(gamma {fit.parameters.gamma:.3f}, alpha "
        + ", ".join(f"{share:.3f}" for share in fit.parameters.weights)
        + ")"
    )


def _table(batch: TrackBatch, steadied: Mapping[str, Array], costs: Mapping[str, float]) -> str:
    unbiased = batch.without_bias()
    rows = []
    for name, steady in steadied.items():
        scores, exact = score_tracks(batch, steady), score_tracks(unbiased, steady).nrmse_percent
        cost, lag = costs[name], scores.lag_frames
        figures = (scores.nrmse_percent, exact, scores.stability_percent, cost, lag)
        rows.append([name, *(f"{figure:.4f}" for figure in figures)])
    return text_table(["held-out tracks", "NRMSE", "unbiased", "stability", "cost", "lag"], rows)


def _write_card(weights: Path, training: str, table: str) -> None:
    """Writes the card beside the weights file: data, recipe and figures."""
    fitted = load_stabilizer_weights(weights.absolute())
    weights.with_suffix(".md").write_text(
        f"# {weights.name}\n\n"
        "Parameters of the stabilizers of `models/stabilization/stabilizers.py`: the Bayesian "
        "filter (`sta`, `sta-offline`), the offline smoother (`rts`), One-Euro (`one-euro`), and "
        "the simpler filters that `facetracks evaluate stabilizers` compares with.\n\n"
        f"- sha256 {fitted.sha256}\n"
        f"- stabilizer: {fitted.stabilizer}; covariance of Eq. 9: {fitted.covariance}\n"
        f"- licence: {fitted.licence}\n"
        f"- made by: {training}\n\n"
        "On the held-out tracks, in percent of the distance of the outer eye corners (unbiased: "
        f"without each track's constant error; lag in frames):\n\n```\n{table}\n```\n"
    )
