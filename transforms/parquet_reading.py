"""Whole Parquet tables from files and bytes, read in the calling thread.

Never `pyarrow.parquet.read_table`: it goes through Arrow's datasets, whose worker threads may
still hold the Python file as the interpreter ends, and then abort the process ("terminate
called without an active exception") after all of its work is done. Ruff holds us to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["read_parquet"]


def read_parquet(source: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of an open file or a `pyarrow.Buffer`; all of it, or of those `columns`.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: it is no Parquet, is damaged, or lacks a
            column.
    """
    file = pq.ParquetFile(source)
    if columns is None:
        return file.read(use_threads=False)
    names = file.schema_arrow.names
    if missing := [name for name in columns if name not in names]:
        raise pa.ArrowInvalid(f"got columns {', '.join(names)}; missing {', '.join(missing)}")
    return file.read(columns=list(columns), use_threads=False)
