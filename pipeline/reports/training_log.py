"""log.csv of a training: a row an epoch, in order, also after a kill and a resume."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from models.atomic_write import atomic_write
from schemas.errors import UsageError

_COLUMNS: Final = ("epoch", "elapsed_s", "learning_rate", "loss_percent")
#: What the columns of validation errors end in; they begin with what was validated on.
ERROR_SUFFIX: Final = "_nrmse_percent"


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
            file, [*_COLUMNS, *error_columns(rows)], restval="", extrasaction="ignore"
        )
        table.writeheader()
        table.writerows(rows)
    return rows


def error_columns(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """The columns of validation errors in some rows, each once, in their order."""
    names = (name for row in rows for name in row if name.endswith(ERROR_SUFFIX))
    return list(dict.fromkeys(names))
