"""Columns of lists of one length as arrays and back, and tables as Parquet files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.landmarks import LANDMARK_COUNT
from transforms.storage.atomic_files import atomic_file


def list_rows(table: pa.Table, name: str, length: int) -> npt.NDArray[np.float64]:
    """(N, length): a column of lists; ValueError where some have another length."""
    flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if len(flat) != length * len(table):
        raise ValueError(f"{name}: got lists of other lengths, expected {length} numbers in each")
    return np.asarray(flat, np.float64).reshape(len(table), length)


def landmark_rows(table: pa.Table, suffix: str = "") -> npt.NDArray[np.float64]:
    """(N, 68, 2) landmarks: the columns x and y, or those with this suffix."""
    axes = [list_rows(table, f"{axis}{suffix}", LANDMARK_COUNT) for axis in "xy"]
    return np.stack(axes, axis=-1)


def fixed_lists(values: npt.NDArray[Any]) -> pa.Array:
    """(N, length) numbers as N lists of them."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def write_parquet(url: str, table: pa.Table) -> None:
    """Writes a table, whole or not at all; a path or any fsspec URL."""
    with atomic_file(url) as path, path.open("wb") as file:  # Arrow takes no path that is no UTF-8
        pq.write_table(table, file, compression="zstd")
