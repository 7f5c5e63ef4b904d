"""The report of `facetracks evaluate landmarks`: rows of figures, tables and curves of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.landmarks.evaluation.face_errors import (
    LANDMARK_SUBSETS,
    FaceErrors,
    errors_by_scale,
    labelled_groups,
)
from models.landmarks.evaluation.spread_errors import spread_errors
from models.landmarks.metrics import NORMALIZATIONS, Normalization, summarize_errors
from schemas.landmarks import COMMON_LANDMARKS, LANDMARK_COUNT

MISSED_NOTE: Final = (
    "A missed face counts: as a failure in FR, as 0 in AUC; NRMSE and median are over the "
    "faces with a prediction"
)
_LENGTHS: Final[Mapping[Normalization, str]] = {
    "interocular": "distance of the outer eye corners (interocular)",
    "box-diagonal": "diagonal of the ground-truth box (box-diagonal)",
}
#: Of the curves.
_SHOWN_PERCENT: Final = 10.0
_LIMITS_PERCENT: Final = (4, 8)
_LINES: Final = ("-", "--", ":")


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """Errors of one network, or of tracks, on one data set; a face counts once for each box."""

    network: str
    data_set: str
    boxes: str
    errors: FaceErrors


def report_rows(measured: Sequence[Measurement]) -> dict[str, list[dict[str, Any]]]:
    """All rows of a report, by the kinds that its JSON has."""
    return {
        "results": list(figure_rows(measured)),
        "by_scale": scale_rows(measured),
        "openings": opening_rows(measured),
        "spread": spread_rows(measured),
    }


def figure_rows(measured: Iterable[Measurement]) -> Iterator[dict[str, Any]]:
    """A row for each measurement, each group of its labels, normalization, landmark subset.

    Left out where the labels lack landmarks of the subset. "faces" are different ones;
    "predictions" and "missed" count a face once for each box that it was measured on.
    """
    for one in measured:
        groups = [("all", one.errors), *labelled_groups(one.errors)]
        for normalization in NORMALIZATIONS:
            for landmarks in LANDMARK_SUBSETS:
                for group, errors in groups:
                    percent = errors.percent(normalization, landmarks)
                    if not len(percent) or np.isnan(percent).any():
                        continue
                    yield {
                        "network": one.network,
                        "set": one.data_set,
                        "group": group,
                        "boxes": one.boxes,
                        "normalization": normalization,
                        "landmarks": landmarks,
                        "faces": len(set(errors.origins)),
                        **dataclasses.asdict(summarize_errors(percent)),
                    }


def scale_rows(measured: Iterable[Measurement]) -> list[dict[str, Any]]:
    """A row for each measurement and fifth of its faces by size."""
    return [
        _named(one) | {"scale": number} | dataclasses.asdict(scale)
        for one in measured
        for number, scale in enumerate(errors_by_scale(one.errors), 1)
    ]


def opening_rows(measured: Iterable[Measurement]) -> list[dict[str, Any]]:
    """A row for each measurement whose labels know eyes and lips: their openings' mean errors.

    Heights over widths; over the faces with a prediction.
    """
    rows = []
    for one in measured:
        means = {
            name: float(error[np.isfinite(error)].mean()) if np.isfinite(error).any() else math.nan
            for name, error in one.errors.opening_errors().items()
        }
        if not all(math.isnan(mean) for mean in means.values()):
            rows.append(_named(one) | means)
    return rows


def spread_rows(measured: Iterable[Measurement]) -> list[dict[str, Any]]:
    """A row for each measurement of a network with a spread."""
    return [
        _named(one) | dataclasses.asdict(found)
        for one in measured
        if (found := spread_errors(one.errors)) is not None
    ]


def _named(one: Measurement) -> dict[str, Any]:
    return {"network": one.network, "set": one.data_set, "boxes": one.boxes}


def format_tables(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """`report_rows` as text: a table for each normalization and landmark subset, and one by size.

    Then the errors of openings, and whether spreads are true, where there are some.
    """
    blocks = []
    for landmarks in LANDMARK_SUBSETS:
        for normalization in NORMALIZATIONS:
            chosen = [
                row
                for row in rows["results"]
                if (row["normalization"], row["landmarks"]) == (normalization, landmarks)
            ]
            if chosen:
                title = f"{landmarks} landmarks, percent of the {_LENGTHS[normalization]}"
                blocks.append("\n".join([title, *_figure_lines(chosen)]))
    others = {"by_scale": _scale_lines, "openings": _opening_lines, "spread": _spread_lines}
    blocks += ["\n".join(lines(rows[kind])) for kind, lines in others.items() if rows.get(kind)]
    return "\n\n".join([*blocks, MISSED_NOTE])


def _figure_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = ("network", "set", "group", "boxes")
    head, *texts = _names([{name: name for name in names}, *rows], names)
    columns = ("NRMSE", "median", "AUC@8", "FR@8", "AUC@4", "FR@4")
    keys = (
        "nrmse_mean", "nrmse_median", "auc8_percent", "fr8_percent", "auc4_percent", "fr4_percent",
    )  # fmt: skip
    yield " ".join([head, f"{'faces':>6} {'missed':>6}", *(f"{c:>6}" for c in columns)])
    for row, text in zip(rows, texts, strict=True):
        figures = [f"{row[key]:6.2f}" for key in keys]
        yield " ".join([text, f"{row['faces']:6d} {row['missed']:6d}", *figures])


def _scale_lines(scales: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "mean distance to the labels in px (the papers' RMSE), by size of the face (interocular)"
    rows: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for scale in scales:
        rows.setdefault((scale["network"], scale["set"], scale["boxes"]), []).append(scale)
    names = _names([fifths[0] for fifths in rows.values()])
    for text, fifths in zip(names, rows.values(), strict=True):
        figures = [f"{f['interocular_px']:6.1f} px {f['error_px']:6.2f}" for f in fifths]
        yield " ".join([text, " | ".join(figures)])


def _opening_lines(openings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "mean error of how far eyes and mouth are open (height over width)"
    for row, text in zip(openings, _names(openings), strict=True):
        yield f"{text} eyes {row['eyes']:.3f} mouth {row['mouth']:.3f}"


def _spread_lines(spreads: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "predicted spread and true error, percent (interocular), in each fifth of the spread; "
        "rank correlation"
    )
    for row, text in zip(spreads, _names(spreads), strict=True):
        pairs = zip(row["spread_percent"], row["error_percent"], strict=True)
        fifths = " | ".join(f"{spread:5.2f} {true:5.2f}" for spread, true in pairs)
        yield f"{text} {fifths}  {row['rank_correlation']:.2f}"


def _names(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ("network", "set", "boxes")
) -> list[str]:
    """The names of each row, in columns."""
    wide = [max(len(row[column]) for row in rows) for column in columns]
    return [
        " ".join(f"{row[column]:{width}}" for column, width in zip(columns, wide, strict=True))
        for row in rows
    ]


def without_nan(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows for JSON, which has no NaN: null in its place."""
    return [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]


def draw_error_curves(folder: Path, measured: Sequence[Measurement]) -> list[Path]:
    """Draws curves of cumulated errors (CED), as in Figure 5 of FHR, into the folder; the files.

    A PNG for each normalization; a curve for each data set, and each of its categories.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _draw_curves(folder / f"ced-{normalization}.png", normalization, measured)
        for normalization in NORMALIZATIONS
    ]


def _draw_curves(path: Path, normalization: Normalization, measured: Sequence[Measurement]) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for one in measured:
        groups = [(n, e) for n, e in labelled_groups(one.errors) if n.startswith("category")]
        for group, errors in [("", one.errors), *groups]:
            percent, landmarks = errors.percent(normalization), LANDMARK_COUNT
            if np.isnan(percent).any():
                landmarks = len(COMMON_LANDMARKS)
                percent = errors.percent(normalization, landmarks)
            if np.isnan(percent).any():
                continue
            ordered = np.sort(percent)
            share = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
            label = " ".join(part for part in (one.network, one.data_set, group, one.boxes) if part)
            if landmarks != LANDMARK_COUNT:
                label += f" ({landmarks} landmarks)"
            style = _LINES[len(axes.lines) // 10 % len(_LINES)]  # colours repeat after ten
            x, y = np.append(0, ordered), np.append(0, share)
            axes.step(x, y, style, where="post", label=label)
    for limit in _LIMITS_PERCENT:
        axes.axvline(limit, color="grey", lw=0.5)
    axes.set(
        xlim=(0, _SHOWN_PERCENT),
        ylim=(0, 100),
        xlabel=f"error, percent ({normalization})",
        ylabel="faces with at most this error, percent",
        title="cumulated errors; missed faces never come in",
    )
    if len(axes.lines) > len(_LIMITS_PERCENT):
        axes.legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=100)
    return path
