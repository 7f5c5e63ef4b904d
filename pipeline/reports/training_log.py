"""log.csv of a training, a row per epoch in order, also after a kill and a resume; its curves."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.atomic_write import atomic_write
from schemas.errors import UsageError

_COLUMNS: Final = ("epoch", "elapsed_s", "learning_rate", "loss_percent")
#: What the columns of validation errors end in; they begin with what was validated on.
ERROR_SUFFIX: Final = "_nrmse_percent"
_DOTTED_EPOCHS: Final = 30


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows by column; none where there is no log yet.

    Raises:
        UsageError: the file is not a log.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not all((row.get("epoch") or "").isdecimal() for row in rows):
        raise UsageError(f"{path}: got a row without an epoch, expected the log of a training")
    return rows


def add_epoch(path: Path, values: Mapping[str, str]) -> list[dict[str, str]]:
    """Puts an epoch at the end of the log, and returns its rows.

    Rows of that epoch and later ones, of a run that was killed before its checkpoint, give way.
    Columns that earlier rows lack (logs had no learning rate once) stay empty there.

    Args:
        path: the log.
        values: epoch and the other columns; one of them ends in ERROR_SUFFIX.

    Raises:
        UsageError: the file is not a log.
    """
    before = [row for row in read_log(path) if int(row["epoch"]) < int(values["epoch"])]
    rows = [*before, dict(values)]
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(
            file, [*_COLUMNS, *_error_columns(rows)], restval="", extrasaction="ignore"
        )
        table.writeheader()
        table.writerows(rows)
    return rows


def _error_columns(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """The columns of validation errors in some rows, each once, in their order."""
    names = (name for row in rows for name in row if name.endswith(ERROR_SUFFIX))
    return list(dict.fromkeys(names))


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_training_curves(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Draws the rows of a log (`read_log`); values that a row lacks are left out."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    errors = _error_columns(rows)
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
