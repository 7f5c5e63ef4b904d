"""Boxes of a dense detector: cells and codes to boxes.

Each level of the network lays a grid of cells over the image, `stride_px` apart. A cell's
code (dx, dy, log w, log h) is the face's box relative to the cell:

        |<- stride ->|
        +------------+------------+     centre = cell centre + stride * (dx, dy)
        |            |     x <----------(dx, dy) reaches the box's centre
        |     o      |            |     width  = 4 * stride * exp(log w)
        |            |            |     height = 4 * stride * exp(log h)
        +------------+------------+     o: the cell's centre
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

#: A log size of 0 is a box of this many strides.
BASE_STRIDES: Final = 4.0
#: Log sizes are clipped to this magnitude.
LOG_SIZE_LIMIT: Final = 4.0


def cell_centres(rows: int, columns: int, stride_px: int) -> npt.NDArray[np.float32]:
    """(rows * columns, 2) float32 cell centres (x, y) in pixels, row by row."""
    y = (np.arange(rows, dtype=np.float32) + 0.5) * stride_px - 0.5
    x = (np.arange(columns, dtype=np.float32) + 0.5) * stride_px - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)


def decode_boxes(
    codes: npt.NDArray[np.float32], centres_px: npt.NDArray[np.float32], stride_px: float
) -> npt.NDArray[np.float32]:
    """Boxes (N, 4) xyxy in pixels from codes (N, 4) at cell centres (N, 2)."""
    centre = centres_px + codes[:, :2] * stride_px
    log_size = codes[:, 2:].clip(-LOG_SIZE_LIMIT, LOG_SIZE_LIMIT)
    half = np.exp(log_size) * (BASE_STRIDES / 2 * stride_px)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
