"""CSV tables, parsed from memory that Arrow owns.

Arrow always parses CSV in its own threads. A thread that still holds a Python file or `bytes` when
the interpreter exits aborts the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.csv

#: A row must fit into a block; Arrow's sizes have 32 bits.
_MAX_BLOCK_BYTES: Final = 2**31 - 1
_MIN_BLOCK_BYTES: Final = 1 << 20
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
#: Text in UTF-16 without a mark has a zero in every other byte.
_HEAD_BYTES: Final = 1024


def read_csv(content: bytes, column_types: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """The table of a CSV file with a header; types that are not given are inferred.

    Values in quotes may have line breaks, however long the file and its rows are.

    Raises:
        pyarrow.ArrowException: it is not CSV.
        ValueError: it is not UTF-8.
    """
    check_utf8(content)
    copy = pa.BufferOutputStream()  # in Arrow's own memory
    copy.write(content)
    block_bytes = min(max(len(content) + 1, _MIN_BLOCK_BYTES), _MAX_BLOCK_BYTES)
    return pa.csv.read_csv(
        pa.BufferReader(copy.getvalue()),
        read_options=pa.csv.ReadOptions(block_size=block_bytes),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types=dict(column_types or {})),
    )


def check_utf8(content: bytes) -> None:
    """ValueError for text in UTF-16 or UTF-32, as spreadsheets and PowerShell write it."""
    head = content[:_HEAD_BYTES]
    if head.startswith(_UTF16_MARKS) or b"\0" in head:
        raise ValueError("got UTF-16 or UTF-32, expected UTF-8")
