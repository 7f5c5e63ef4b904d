"""`facetracks evaluate stabilizers`: error, stability, lag and cost of every stabilizer."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from models.stabilization.bayesian_filter import BayesianFilter
from models.stabilization.fitting.baseline_smoothers import (
    BASELINES,
    BaselineKind,
    baseline_grid,
    run_baseline,
)
from models.stabilization.fitting.filter_fitting import fit_by_gradient, run_filter, start_from
from models.stabilization.fitting.loss import LossWeights, StabilizerLoss
from models.stabilization.fitting.metrics import score_tracks
from models.stabilization.fitting.mode_tuning import run_mode_smoother, run_stabilizer
from models.stabilization.fitting.track_batch import TrackBatch
from models.stabilization.stabilizers import Sta, Stabilizer, stabilize_track, stabilizers_of
from models.stabilization.weights import (
    DEFAULT_STABILIZER_WEIGHTS,
    StabilizerWeights,
    load_stabilizer_weights,
)
from models.synthesis.motion_tracks import MotionTrack
from pipeline.commands.command_parser import settings_of
from pipeline.data.annotated_tracks import rest_table
from pipeline.data.data_settings import TrackSettings
from pipeline.data.stabilizer_tracks import make_tracks
from pipeline.reports.stabilizer_plots import check_plots, draw_plots
from pipeline.text_files import text_table

Array = npt.NDArray[np.float64]

#: The ablations of the paper's Table 3, and the lambda_1 of its Figure 6.
_ABLATIONS: Final = {
    "sta (as trained here)": LossWeights(),
    "sta, lambda2 = 0": LossWeights(delay=0.0),
    "sta, lambda3 = inf": LossWeights(midpoint=float("inf")),
    "sta, lambda2 = 0, lambda3 = inf": LossWeights(delay=0.0, midpoint=float("inf")),
    "sta, evenness = 0.5": LossWeights(evenness=0.5),
}
_SWEEP: Final = (0.2, 0.5, 2.0, 5.0)
_SETTINGS_PER_AXIS: Final = 7
_COST_FRAMES: Final = 300
_COST_FPS: Final = 25.0
_COST_STEP: Final = np.array([1 / _COST_FPS])
_SIDE_BY_SIDE: Final = 50


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0."""
    fitted = load_stabilizer_weights(
        (args.stabilizer_weights or DEFAULT_STABILIZER_WEIGHTS).absolute()
    )
    if args.annotated:
        print(f"stabilizer weights {fitted.sha256[:12]}")
        print(rest_table(args.annotated, stabilizers_of(fitted)))
        return 0
    if args.plots:
        check_plots()
    settings = settings_of(TrackSettings, args)
    tracks = [
        track
        for seed in range(args.seed, args.seed + args.draws)
        for track in make_tracks(dataclasses.replace(settings, seed=seed), "test")
    ]
    batch = TrackBatch.of(tracks)
    steadied = stabilize_batch(batch, fitted)
    if args.full:
        steadied["sta (full covariance)"] = run_filter(batch, fitted.filter, "full")
    if args.ablations:
        to_fit = dataclasses.replace(settings, tracks=args.fit_tracks)
        training = TrackBatch.of(make_tracks(to_fit, "fit")).without_bias()
        steadied |= dict(_ablations(training, batch, args.steps))
    costs = _costs(tracks, fitted, args.full)
    rows = [_row(name, batch, x, costs.get(name)) for name, x in steadied.items()]
    swept = list(_settings(batch)) if args.settings else []
    if args.json:
        results = {"weights_sha256": fitted.sha256, "results": rows, "settings": swept}
        print(json.dumps(results, indent=2))
    else:
        print(f"{batch!r}, stabilizer weights {fitted.sha256[:12]}")
        print(_table(rows))
        frames = np.repeat(_cost_track(tracks)[:, None], _SIDE_BY_SIDE, axis=1)
        new = functools.partial(BayesianFilter, fitted.filter, _SIDE_BY_SIDE)
        batched = _cost_us(lambda: _Stepwise(new().step), frames) / _SIDE_BY_SIDE
        print(f"sta, {_SIDE_BY_SIDE} tracks side by side: {batched:.1f} us per frame")
        if swept:
            print(_compare_settings(rows, swept))
    if args.plots:
        for path in draw_plots(args.plots, batch, steadied, rows, swept):
            print(path)
    return 0


def stabilize_batch(batch: TrackBatch, fitted: StabilizerWeights) -> dict[str, Array]:
    """The tracks as they are and through every stabilizer, (B, T, 68, 2) each, by its name."""
    return {
        "raw": batch.raw,
        **{n: run_baseline(batch, k, fitted.baselines[n]) for n, k in BASELINES.items()},
        "sta": run_filter(batch, fitted.filter, fitted.covariance),
        "sta-offline": run_stabilizer(batch, stabilizers_of(fitted)["sta-offline"]),
        "rts": run_mode_smoother(batch, fitted.smoother),
    }


def _ablations(training: TrackBatch, batch: TrackBatch, steps: int) -> Iterator[tuple[str, Array]]:
    kinds = _ABLATIONS | {f"sta, lambda1 = {x:g}": LossWeights(smooth=x) for x in _SWEEP}
    start, fixed = (start_from(training, follow_noise=follow) for follow in (True, False))
    fits = [(name, start, weights) for name, weights in kinds.items()]
    fits.append(("sta, one noise for all tracks", fixed, LossWeights()))
    for name, first, weights in tqdm(fits, "fitting", unit="loss"):
        fit = fit_by_gradient(training, first, weights, steps=steps)
        yield name, run_filter(batch, fit.parameters)


def _settings(batch: TrackBatch) -> Iterator[dict[str, Any]]:
    """The simpler filters at every point of a grid over their parameters."""
    unbiased = batch.without_bias()
    for name, kind in tqdm(BASELINES.items(), "settings", unit="filter"):
        for parameters in baseline_grid(kind, per_axis=_SETTINGS_PER_AXIS):
            steady = run_baseline(batch, kind, parameters)
            scores = score_tracks(batch, steady)
            yield {
                "stabilizer": name,
                "parameters": parameters,
                "nrmse_percent": scores.nrmse_percent,
                "nrmse_unbiased_percent": score_tracks(unbiased, steady).nrmse_percent,
                "stability_percent": scores.stability_percent,
            }


def _compare_settings(rows: list[dict[str, Any]], settings: list[dict[str, Any]]) -> str:
    """How many settings of the simpler filters do better than `sta`, without tuning in between."""
    sta = next(row for row in rows if row["stabilizer"] == "sta")
    lines = []
    for name in ("nrmse_percent", "nrmse_unbiased_percent"):
        exact = [row for row in settings if row[name] <= sta[name]]
        steadier = [row for row in settings if row["stability_percent"] <= sta["stability_percent"]]
        both = [row for row in exact if row in steadier]
        lines.append(
            f"of {len(settings)} settings of simpler filters {len(exact)} match sta in {name}, "
            f"{len(steadier)} in stability, {len(both)} in both"
            + "".join(f"\n  {row['stabilizer']} {row['parameters']}" for row in both)
        )
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Stepwise:
    """A filter without delay as a stabilizer, to time it."""

    step: Callable[[Array], Array]

    def push(self, seconds: float, landmarks: Array) -> list[Array]:
        return [self.step(landmarks)]

    def flush(self) -> list[Array]:
        return []


def _baseline(kind: BaselineKind, parameters: Mapping[str, float]) -> Stabilizer:
    given: deque[Array] = deque()
    frames = (given.popleft() for _ in itertools.count())
    smoothed = kind.smooth(frames, _COST_STEP, **parameters)

    def step(landmarks: Array) -> Array:
        given.append(landmarks[None])
        filtered: Array = next(smoothed)[0]
        return filtered

    return _Stepwise(step)


def _cost_us(new: Callable[[], Stabilizer], frames: Array, repeats: int = 5) -> float:
    """Microseconds of processor time a frame: the best of several runs over all of them."""
    times = []
    for _ in range(repeats):
        steady, seconds = new(), np.arange(len(frames)) / _COST_FPS
        began = time.process_time()
        stabilize_track(steady, seconds, frames)
        times.append(time.process_time() - began)
    return 1e6 * min(times) / len(frames)


def _cost_track(tracks: list[MotionTrack]) -> Array:
    longest = max(tracks, key=len)
    return np.resize(longest.raw_px, (_COST_FRAMES, *longest.raw_px.shape[1:]))


def _costs(tracks: list[MotionTrack], fitted: StabilizerWeights, full: bool) -> dict[str, float]:
    track = _cost_track(tracks)
    kinds: dict[str, Callable[[], Stabilizer]] = {
        name: functools.partial(_baseline, kind, fitted.baselines[name])
        for name, kind in BASELINES.items()
    }
    shipped = stabilizers_of(fitted)
    kinds |= {name: shipped[name] for name in ("sta", "sta-offline", "rts")}
    costs = {name: _cost_us(new, track) for name, new in kinds.items()}
    if full:
        whole = functools.partial(Sta, fitted.filter, "full")
        costs["sta (full covariance)"] = _cost_us(whole, track, repeats=1)
    return costs


def _row(name: str, batch: TrackBatch, x: Array, cost: float | None) -> dict[str, Any]:
    scores = dataclasses.asdict(score_tracks(batch, x))
    unbiased = batch.without_bias()
    return {
        "stabilizer": name,
        **scores,
        "nrmse_unbiased_percent": score_tracks(unbiased, x).nrmse_percent,
        "loss": StabilizerLoss(unbiased)(x),
        "cost_us": cost,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    columns = {
        "NRMSE": "nrmse_percent",
        "unbiased": "nrmse_unbiased_percent",
        "stability": "stability_percent",
        "jitter": "jitter_percent",
        "lag": "lag_frames",
        "loss": "loss",
    }
    cells = [
        [row["stabilizer"], *(f"{row[key]:.4f}" for key in columns.values())]
        + ["" if row["cost_us"] is None else f"{row['cost_us']:.1f}"]
        for row in rows
    ]
    return text_table(["stabilizer", *columns, "us/frame"], cells)
