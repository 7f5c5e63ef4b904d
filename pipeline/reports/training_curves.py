"""curves.png of a training: loss, validation error and learning rate over its epochs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from models.atomic_write import atomic_write
from pipeline.reports.training_log import ERROR_SUFFIX, error_columns

_DOTTED_EPOCHS: Final = 30


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_training_curves(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Draws the rows of a log (`read_log`); values that a row lacks are left out."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    errors = error_columns(rows)
    panels = {
        "loss x 100": ["loss_percent"],
        "validation NRMSE, percent": errors,
        "learning rate": ["learning_rate"],
    }
    figure = Figure(figsize=(8, 9), layout="constrained")
    for axes, (title, columns) in zip(
        figure.subplots(len(panels), sharex=True), panels.items(), strict=True
    ):
        for column in columns:
            points = [(int(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
            if points:
                marker = "." if len(points) <= _DOTTED_EPOCHS else ""
                label = column.removesuffix(ERROR_SUFFIX)
                axes.plot(*zip(*points, strict=True), marker=marker, label=label)
        axes.set(ylabel=title)
        axes.grid(alpha=0.3)
        if len(columns) > 1 or columns[0] in errors:
            axes.legend(fontsize=8)
    loss, _, rate = figure.axes
    loss.set_yscale("log")
    rate.set_yscale("log")
    rate.set(xlabel="epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)
