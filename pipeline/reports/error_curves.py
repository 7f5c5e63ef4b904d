"""Curves of cumulated errors (CED), as in Figure 5 of FHR: a PNG for each normalization."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.landmarks.evaluation.face_errors import labelled_groups
from models.landmarks.metrics import NORMALIZATIONS, Normalization
from pipeline.reports.landmark_report import Measurement
from schemas.landmarks import COMMON_LANDMARKS, LANDMARK_COUNT

_SHOWN_PERCENT: Final = 10.0
_LIMITS_PERCENT: Final = (4, 8)
_LINES: Final = ("-", "--", ":")


def draw_error_curves(folder: Path, measured: Sequence[Measurement]) -> list[Path]:
    """Draws a curve for each data set, and each of its categories, into the folder; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _draw(folder / f"ced-{normalization}.png", normalization, measured)
        for normalization in NORMALIZATIONS
    ]


def _draw(path: Path, normalization: Normalization, measured: Sequence[Measurement]) -> Path:
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
