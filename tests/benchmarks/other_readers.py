"""Whether Spark and fastparquet read track files, and what byte-stream-split would save.

    python3 -m venv readers && readers/bin/pip install 'pyspark==3.5.*' fastparquet pyarrow pandas
    readers/bin/python tests/benchmarks/other_readers.py OUT/tracks/*.parquet

It needs Java, but not facetracks. Prints a line per reader: rows, and the largest difference of
any landmark from pyarrow's values; then the sizes of both encodings.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEYS = ["video_id", "face_id", "frame_index"]
COLUMNS = [*KEYS, "x", "y"]


def spark_rows(files: list[str]) -> list[tuple[Any, ...]]:
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[1]").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        return [tuple(row) for row in session.read.parquet(*files).select(COLUMNS).collect()]
    finally:
        session.stop()


def fastparquet_rows(files: list[str]) -> list[tuple[Any, ...]]:
    import fastparquet

    rows: list[tuple[Any, ...]] = []
    for file in files:
        table = fastparquet.ParquetFile(file).to_pandas(columns=COLUMNS)
        rows += table[COLUMNS].itertuples(index=False, name=None)
    return rows


def pyarrow_rows(files: list[str]) -> list[tuple[Any, ...]]:
    tables = [pq.ParquetFile(file).read(COLUMNS) for file in files]
    return list(zip(*(pa.concat_tables(tables)[c].to_pylist() for c in COLUMNS), strict=True))


def largest_difference(rows: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> float:
    """The largest difference in px; raises ValueError if the rows differ."""
    places = [{row[:3]: row[3:] for row in table} for table in (rows, expected)]
    if places[0].keys() != places[1].keys() or len(rows) != len(expected):
        raise ValueError(f"got {len(rows)} rows, expected the {len(expected)} that pyarrow reads")
    ours, theirs = (np.array([table[key] for key in places[1]], float) for table in places)
    return float(np.abs(ours - theirs).max())


def split_bytes(file: str, folder: Path) -> int:
    """Bytes of the same rows with byte-stream-split floats."""
    parquet = pq.ParquetFile(file)
    table = parquet.read()
    floats = [
        path
        for i in range(parquet.metadata.num_columns)
        for column in [parquet.schema.column(i)]
        for path in [column.path]
        if column.physical_type in ("FLOAT", "DOUBLE")
    ]
    to = folder / "split.parquet"
    pq.write_table(
        table, to, compression="zstd", compression_level=16,
        use_dictionary=["video_id", "box_source"], use_byte_stream_split=floats,
    )  # fmt: skip
    return to.stat().st_size


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(files: list[str]) -> None:
    expected = pyarrow_rows(files)
    readers: dict[str, Callable[[list[str]], list[tuple[Any, ...]]]] = {
        "spark": spark_rows,
        "fastparquet": fastparquet_rows,
    }
    for name, read in readers.items():
        try:
            rows = read(files)
            apart = largest_difference(rows, expected)
        except Exception as error:
            say(f"{name:12} fails: {type(error).__name__}: {str(error)[:300]}")
            continue
        say(f"{name:12} {len(rows)} rows, largest difference {apart:g} px")
    with tempfile.TemporaryDirectory() as folder:
        ours = sum(Path(file).stat().st_size for file in files)
        split = sum(split_bytes(file, Path(folder)) for file in files)
    say(f"as written   {ours} bytes, {ours / len(expected):.0f} a row")
    say(f"split        {split} bytes, {split / len(expected):.0f} a row")


if __name__ == "__main__":
    main(sys.argv[1:])
