"""Shot-cut detection between two neighbouring frames."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_HISTOGRAM_BINS: Final = 32
#: Mean change of a pixel, 0..255, that motion inside a shot does not reach at 25 fps ...
_SURE_CHANGE: Final = 48.0
#: ... or a smaller one when the distribution of brightness changes with it.
_LIKELY_CHANGE: Final = 22.0
_HISTOGRAM_CHANGE: Final = 0.35


def is_cut(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> bool:
    """Whether two luma thumbnails, (h, w) float32 0..255, belong to different shots.

    Depends on the two frames alone. A change of frame size is a cut.
    """
    if before.shape != after.shape:
        return True
    change = float(np.abs(after - before).mean())
    if change < _LIKELY_CHANGE:
        return False
    return change > _SURE_CHANGE or _histogram_change(before, after) > _HISTOGRAM_CHANGE


def _histogram_change(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Distance of two histograms: the share of pixels that change bins, 0..1."""
    edges = np.linspace(0, 256, _HISTOGRAM_BINS + 1)
    ha, hb = (np.histogram(x, bins=edges)[0] / x.size for x in (a, b))
    return float(np.abs(ha - hb).sum() / 2)
