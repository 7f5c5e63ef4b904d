"""Bytes and CPU time per row of track files, by zstd level, over the tracks of a run.

    python -m tests.benchmarks.track_bytes OUT

Each track file of 40 rows or more is written to memory, alternately with the shipped levels and
with another level for all columns. OUT must have raw landmarks.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tracks import TrackFormat
from transforms.storage.track_files import track_write_options

MIN_ROWS = 40


def main() -> None:
    """Writes all files with all levels; prints a line per level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="output of annotate")
    parser.add_argument("--levels", type=int, nargs="*", default=[16])
    args = parser.parse_args()
    sizes: dict[tuple[bool, int], list[tuple[int, int]]] = defaultdict(list)
    seconds: dict[tuple[bool, int], float] = defaultdict(float)
    for path in sorted((args.output / "tracks").glob("*.parquet")):
        whole = pq.ParquetFile(path, pre_buffer=False).read(use_threads=False)
        if whole.num_rows < MIN_ROWS:
            continue
        for raw in (True, False):
            kept = TrackFormat(raw=raw)
            table = whole.select(kept.schema.names)
            for level in [None, *args.levels]:
                other = {} if level is None else {"compression_level": level}
                options, file = track_write_options(kept) | other, pa.BufferOutputStream()
                start = time.process_time()
                with pq.ParquetWriter(file, table.schema, **options) as out:
                    out.write_table(table)
                seconds[raw, level] += time.process_time() - start
                sizes[raw, level].append((table.num_rows, file.tell()))
    for (raw, level), found in sizes.items():
        rows = sum(n for n, _ in found)
        sys.stdout.write(
            f"{'with' if raw else 'without'} raw, level {level or 'as shipped'}: {rows} rows, "
            f"{sum(size for _, size in found) / rows:.0f} bytes a row, "
            f"median file {statistics.median(size / n for n, size in found):.0f}, "
            f"{1e6 * seconds[raw, level] / rows:.0f} us of CPU a row\n"
        )


if __name__ == "__main__":
    main()
