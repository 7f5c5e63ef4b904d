"""Restores eyelid motion that a smoother removed, as far as it exceeds noise.

A blink lasts 3 to 8 frames, with shut lids on one or two, and moves 8 of 68 landmarks. A smoother
with a window of a fifth of a second treats it almost as noise and leaves shut eyes open. So for
each eye

    r  = opening as seen - opening as smoothed      (2,) px, upper lid minus lower lid
    restored: r max(0, 1 - (TRUSTED_DEVIATIONS noise / |r|)^2)

distributed over both lids by their own differences, relative to the eye's corners. Noise alone
stays smooth, and the restored motion starts at zero, so lids do not jump.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

#: Differences of openings below this many standard deviations count as noise.
TRUSTED_DEVIATIONS: Final = 1.5
#: Upper lids, lower lids and corners of the right and the left eye, iBUG order.
_UPPER: Final = ((37, 38), (43, 44))
_LOWER: Final = ((40, 41), (46, 47))
_CORNERS: Final = ((36, 39), (42, 45))

Array = npt.NDArray[np.float64]


def lid_noise(eigenvectors: Array, variances: Array) -> float:
    """Deviation of an eye's opening along an axis, both eyes and axes alike.

    `eigenvectors`: (136, M), columns: modes of the landmarks' noise; `variances`: (M,) of each.
    """
    points = eigenvectors.reshape(-1, 2, len(variances))
    openings = [
        points[list(upper)].mean(0) - points[list(lower)].mean(0)  # (2, M)
        for upper, lower in zip(_UPPER, _LOWER, strict=True)
    ]
    return float(np.sqrt((np.square(openings) @ variances).mean()))


def restore_lids(smooth_px: Array, seen_px: Array, noise_px: Array) -> None:
    """Moves the lids of smoothed (T, 68, 2) landmarks, in place, as the module says.

    `noise_px` is the (T,) deviation of an opening along an axis.
    """
    apart = seen_px - smooth_px
    for upper, lower, corners in zip(_UPPER, _LOWER, _CORNERS, strict=True):
        eye = apart[:, corners].mean(1)  # (T, 2)
        lids = [apart[:, lid].mean(1) - eye for lid in (upper, lower)]
        length = np.linalg.norm(lids[0] - lids[1], axis=-1)
        trusted = TRUSTED_DEVIATIONS * noise_px
        share = np.maximum(0.0, 1.0 - (trusted / np.maximum(length, 1e-12)) ** 2)[:, None]
        for lid, moved in zip((upper, lower), lids, strict=True):
            smooth_px[:, lid] += (share * moved)[:, None]
