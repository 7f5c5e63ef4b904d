"""Parquet from files and bytes, read in the calling thread.

Never use `pyarrow.parquet.read_table` or a `ParquetFile` that reads ahead: both read in Arrow's own
threads. A thread that still holds the Python file when the interpreter exits aborts the process
("terminate called without an active exception").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(source: Any, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """An open file or a `pyarrow.Buffer` as Parquet; read it with `use_threads=False`.

    footer: its metadata, if known; it is not read again.
    """
    return pq.ParquetFile(source, metadata=footer, pre_buffer=False)


def read_parquet(source: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of an open file or a `pyarrow.Buffer`; all of it, or of those `columns`.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: it is not Parquet, is damaged, or lacks a
            column.
    """
    return read_columns(open_parquet(source), columns)


def read_columns(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a file that `open_parquet` opened, as `read_parquet` reads it."""
    names = file.schema_arrow.names
    if missing := [name for name in columns or () if name not in names]:
        raise pa.ArrowInvalid(f"got columns {', '.join(names)}; missing {', '.join(missing)}")
    return file.read(columns=None if columns is None else list(columns), use_threads=False)
