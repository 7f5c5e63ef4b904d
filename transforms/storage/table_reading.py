"""Parquet and CSV tables, read so that no thread of Arrow holds Python's memory.

A thread of Arrow that still holds a Python file or `bytes` when the interpreter exits aborts the
process ("terminate called without an active exception"). So Parquet is read in the calling thread:
never by `pyarrow.parquet.read_table` or a `ParquetFile` that reads ahead. CSV, which Arrow always
parses in its own threads, is read from memory that Arrow owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

#: A row must fit into a block; Arrow's sizes have 32 bits.
_MAX_BLOCK_BYTES: Final = 2**31 - 1
_MIN_BLOCK_BYTES: Final = 1 << 20
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
#: Text in UTF-16 without a mark has a zero in every other byte.
_HEAD_BYTES: Final = 1024


def open_parquet(source: Any, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """An open file or a `pyarrow.Buffer` as Parquet; read it with `use_threads=False`.

    footer: its metadata, if known; it is not read again.
    """
    return pq.ParquetFile(source, metadata=footer, pre_buffer=False)


def read_parquet(source: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of an open file or a `pyarrow.Buffer`; all of it, or of those `columns`.

    Raises ArrowException, OSError or ValueError if it is no Parquet, damaged, or lacks a column.
    """
    return read_columns(open_parquet(source), columns)


def read_columns(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a file that `open_parquet` opened, as `read_parquet` reads it."""
    names = file.schema_arrow.names
    if missing := [name for name in columns or () if name not in names]:
        raise pa.ArrowInvalid(f"got columns {', '.join(names)}; missing {', '.join(missing)}")
    return file.read(columns=None if columns is None else list(columns), use_threads=False)


def read_csv(content: bytes) -> pa.Table:
    """The table of a CSV file with a header; types are inferred.

    Values in quotes may have line breaks, however long the file and its rows are.

    Raises ArrowException if it is not CSV, ValueError if it is not UTF-8.
    """
    check_utf8(content)
    copy = pa.BufferOutputStream()  # in Arrow's own memory
    copy.write(content)
    block_bytes = min(max(len(content) + 1, _MIN_BLOCK_BYTES), _MAX_BLOCK_BYTES)
    return pa.csv.read_csv(
        pa.BufferReader(copy.getvalue()),
        read_options=pa.csv.ReadOptions(block_size=block_bytes),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
    )


def check_utf8(content: bytes) -> None:
    """ValueError for text in UTF-16 or UTF-32, as spreadsheets and PowerShell write it."""
    head = content[:_HEAD_BYTES]
    if head.startswith(_UTF16_MARKS) or b"\0" in head:
        raise ValueError("got UTF-16 or UTF-32, expected UTF-8")
