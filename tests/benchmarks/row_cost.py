"""CPU time per row of joining, numbering, filtering, head pose and writing.

    python -m tests.benchmarks.row_cost OUT --turns 3

Makes a segment from the raw landmarks of each track file in OUT, stabilizes it by `rts`,
and writes parts and track files into a temporary folder. Prints microseconds of CPU per row, the
least of all turns: the filter alone, all of TrackAssembler without it, parts, track files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.stabilization.stabilizers import stabilizer_factory
from schemas.records import SegmentLandmarks, SegmentRows, SegmentStats
from schemas.tracks import TrackFormat
from tests.transforms.segments import GEOMETRY, make_segment
from transforms.storage.track_files import merge_track_parts, write_track_part
from transforms.track_assembler import TrackAssembler


def main() -> None:
    """Processes all videos of an output, `--turns` times; prints a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="output of annotate, with raw landmarks")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    tables = map(_read, sorted((args.output / "tracks").glob("*.parquet")))
    videos = [_segment(table) for table in tables if table.num_rows]
    turns = [_turn(videos) for _ in range(args.turns)]
    rows = sum(len(video.rows.frame) for video in videos)
    least = {name: 1e6 * min(turn[name] for turn in turns) / rows for name in turns[0]}
    told = ", ".join(f"{name} {us:.1f}" for name, us in least.items())
    sys.stdout.write(f"{rows} rows, us of CPU per row: {told}, all {sum(least.values()):.1f}\n")


def _turn(videos: list[SegmentLandmarks]) -> dict[str, float]:
    """CPU seconds of each step."""
    used: dict[str, float] = defaultdict(float)
    new_stabilizer, kept = stabilizer_factory("rts"), TrackFormat()

    def timed(name: str, action: Any, *args: Any) -> Any:
        start = time.process_time()
        result = action(*args)
        used[name] += time.process_time() - start
        return result

    class Timed:
        """A stabilizer whose time is counted on its own."""

        def __init__(self) -> None:
            self._filter = timed("filter", new_stabilizer)

        def push(self, *frame: Any) -> Any:
            return timed("filter", self._filter.push, *frame)

        def flush(self) -> Any:
            return timed("filter", self._filter.flush)

    with tempfile.TemporaryDirectory() as folder:
        for number, video in enumerate(videos):
            walk = TrackAssembler(f"v{number}", video.segment.metadata.time_base)
            tables = timed("join", walk.add, video, Timed), timed("join", walk.skip)
            urls: list[str] = []
            for table in tables:
                if table.num_rows:
                    urls.append(f"{folder}/{number}-{len(urls)}.parquet")
                    timed("parts", write_track_part, urls[-1], table, kept)
            file = f"{folder}/{number}.parquet"
            timed("track files", merge_track_parts, file, tuple(urls), {}, walk.sure_faces(), kept)
    used["join"] -= used["filter"]
    return dict(used)


def _read(path: Path) -> pa.Table:
    table = pq.ParquetFile(path, pre_buffer=False).read(use_threads=False)
    return table.sort_by([("frame_index", "ascending"), ("face_id", "ascending")])


def _segment(table: pa.Table) -> SegmentLandmarks:
    """The rows of a video as one segment, one pts per frame."""

    def column(name: str) -> Any:
        return np.array(table[name].to_pylist(), np.float32)

    frame = column("frame_index").astype(np.int32)
    rows = SegmentRows(
        frame_pts=np.arange(frame[-1] + 1),
        frame=frame,
        track=column("face_id").astype(np.int32),
        boxes_xyxy_px=column("box_xyxy_px"),
        box_source=np.zeros(len(frame), np.uint8),
        scores=column("score"),
        blur=column("blur"),
        cut_off=column("cut_off"),
        cuts_pts=np.empty(0, np.int64),
    )
    points = np.stack([column("x_raw"), column("y_raw")], -1)
    stats = SegmentStats()
    return SegmentLandmarks(
        make_segment(), GEOMETRY, rows, None, points, column("spread_px"), stats
    )


if __name__ == "__main__":
    main()
