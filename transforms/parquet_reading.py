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
    """The table of an open file or a `pyarrow.Buffer`; of `columns`, those that it has.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: it is no Parquet, or damaged.
    """
    file = pq.ParquetFile(source)
    return file.read(columns=None if columns is None else list(columns), use_threads=False)
