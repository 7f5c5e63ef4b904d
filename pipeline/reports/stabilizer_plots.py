"""The figures of `facetracks evaluate stabilizers`, after Figures 3, 6 and 7 of FHR+STA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.landmarks.metrics import interocular_px
from models.stabilization.fitting.track_batch import TrackBatch
from pipeline.reports.training_log import can_draw
from schemas.errors import UsageError

Array = npt.NDArray[np.float64]

_COLOURS: Final = {
    "raw": "tab:green",
    "second order (Holt)": "tab:orange",
    "One-Euro": "tab:purple",
    "sta": "tab:red",
    "rts": "tab:blue",
}
_TRAJECTORY_FRAMES: Final = 60


def check_plots() -> None:
    """Raises UsageError where there is no matplotlib."""
    if not can_draw():
        raise UsageError(
            "--plots needs matplotlib; install it with pip install 'facetracks[plots]'"
        )


def draw_plots(
    folder: Path,
    batch: TrackBatch,
    steadied: Mapping[str, Array],
    rows: Sequence[Mapping[str, Any]],
    settings: Sequence[Mapping[str, Any]] = (),
) -> list[Path]:
    """Draws every figure into the folder; returns the files.

    Args:
        folder: where to; made if need be.
        batch: the tracks.
        steadied: (B, T, 68, 2) by name of the stabilizer.
        rows: its scores.
        settings: scores of the simpler filters over the whole range of their parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _draw_landmarks(folder / "stability-by-landmark.png", batch, steadied),
        _draw_trade_off(folder / "error-against-stability.png", rows, settings),
        _draw_trajectories(folder / "trajectories.png", batch, steadied),
    ]


def _draw_landmarks(path: Path, batch: TrackBatch, steadied: Mapping[str, Array]) -> Path:
    """Figure 3b, c: mean |dx - dp|^2, and mean angle between dx and dp, of each landmark."""
    eyes = interocular_px(batch.truth)[:, 1:]
    valid, true_change = batch.frames[:, 1:, None], np.diff(batch.truth, axis=1)
    figure = _figure(11, 4)
    magnitude, orientation = figure.subplots(1, 2)
    for name in ("raw", "sta", "rts"):
        change = np.diff(steadied[name], axis=1)
        off = 100 * np.linalg.norm(change - true_change, axis=-1) / eyes[..., None]
        squares = (off**2 * valid).sum((0, 1)) / valid.sum()
        angle = np.angle(_complex(change) * _complex(true_change).conj())
        moving = valid * (np.linalg.norm(true_change, axis=-1) > 0.2)
        turned = np.degrees((np.abs(angle) * moving).sum((0, 1)) / moving.sum((0, 1)))
        magnitude.plot(squares, ".-", color=_COLOURS[name], label=name)
        orientation.plot(turned, ".-", color=_COLOURS[name], label=name)
    magnitude.set(xlabel="landmark", ylabel="mean |dx - dp|^2, (percent of eye distance)^2")
    orientation.set(xlabel="landmark", ylabel="mean angle of dx and dp, degrees")
    magnitude.set_yscale("log")
    magnitude.legend()
    return _save(figure, path)


def _draw_trade_off(
    path: Path, rows: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]
) -> Path:
    """Figure 6: every stabilizer in the plane of NRMSE and stability, and the lambda_1 sweep.

    Small marks are what the simpler filters reach with other parameters.
    """
    figure = _figure(7, 5)
    axes = figure.subplots()
    right = 1.5 * max(row["nrmse_unbiased_percent"] for row in rows)
    for number, name in enumerate(dict.fromkeys(row["stabilizer"] for row in settings)):
        points = [
            (row["nrmse_unbiased_percent"], row["stability_percent"])
            for row in settings
            if row["stabilizer"] == name and row["nrmse_unbiased_percent"] < right
        ]
        axes.plot(*zip(*points, strict=True), "1234+x"[number], ms=6, alpha=0.6, label=name)
    for row in rows:
        name = row["stabilizer"]
        x, y = row["nrmse_unbiased_percent"], row["stability_percent"]
        sweep = "lambda1" in name
        axes.plot(x, y, "*" if sweep else "o", color="black" if sweep else _COLOURS.get(name))
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, 3), fontsize=7)
    if settings:
        axes.legend(fontsize=7, title="other parameters", title_fontsize=7)
    axes.set(xlabel="NRMSE without constant error, percent", ylabel="stability, percent")
    return _save(figure, path)


def _draw_trajectories(path: Path, batch: TrackBatch, steadied: Mapping[str, Array]) -> Path:
    """Figure 7: the lower lip (x and y) where the truth moves fastest, and where it rests."""
    landmark, length = 57, min(_TRAJECTORY_FRAMES, int(batch.lengths.max()) - 1)
    unbiased = batch.without_bias().truth
    speed = np.linalg.norm(np.diff(batch.truth[:, :, landmark], axis=1), axis=-1)
    speed = np.where(batch.frames[:, 1:], speed, np.nan)
    means = np.stack(
        [speed[:, i : i + length].mean(1) for i in range(speed.shape[1] - length + 1)], axis=1
    )
    figure = _figure(12, 7)
    panels = figure.subplots(2, 2)
    for row, (title, place) in enumerate(
        (("fastest", np.nanargmax(means)), ("stillest", np.nanargmin(means)))
    ):
        track, start = np.unravel_index(int(place), means.shape)
        part = slice(int(start), int(start) + length)
        for axis, panel in enumerate(panels[row]):
            panel.plot(unbiased[track, part, landmark, axis], color="black", lw=2, label="truth")
            for name, colour in _COLOURS.items():
                values = steadied[name][track, part, landmark, axis]
                panel.plot(values, color=colour, lw=1, label=name)
            panel.set(title=f"{title}: lower lip, {'xy'[axis]}", xlabel="frame", ylabel="percent")
    panels[0, 0].legend(fontsize=7)
    return _save(figure, path)


def _complex(vectors: Array) -> npt.NDArray[np.complex128]:
    return np.asarray(vectors[..., 0] + 1j * vectors[..., 1])


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path
