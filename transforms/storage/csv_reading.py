"""CSV tables, parsed from memory that Arrow owns.

Arrow parses CSV in its own threads, whatever it is told. One that still holds a Python file or
`bytes` as the interpreter ends aborts the process after all of its work is done.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.csv

__all__ = ["read_csv"]


def read_csv(content: bytes, column_types: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """The table of a CSV file with a header; types that are not given are inferred.

    Raises:
        pyarrow.ArrowException: it is no CSV.
    """
    copy = pa.BufferOutputStream()  # in Arrow's own memory
    copy.write(content)
    convert = pa.csv.ConvertOptions(column_types=dict(column_types or {}))
    return pa.csv.read_csv(pa.BufferReader(copy.getvalue()), convert_options=convert)
