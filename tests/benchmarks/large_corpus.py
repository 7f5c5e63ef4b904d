"""Cost of a corpus of N inputs without its frames, on a store with a latency of 20 ms.

    python -m tests.benchmarks.large_corpus account --inputs 100000
    python -m tests.benchmarks.large_corpus find --inputs 10000 --keep FOLDER

`account` reads a manifest and runs AccountVideos and SumVideos on its inputs, in the waves of
`annotate`. A store that answers every request after 20 ms has the status rows. It prints seconds,
CPU seconds, requests and the peak memory of this process. `find` writes tracks of N videos,
compacts them, and times the lookup of one video by read_tracks, and by DuckDB if it is installed.
"""

from __future__ import annotations

import argparse
import io
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.inputs import Inputs, find_inputs
from pipeline.outputs.compact_output import compact
from pipeline.waves import RunTotals, RunWave, WaveInputs, run_in_waves
from schemas.records import Video, VideoFailure
from schemas.tracks import TRACK_SCHEMA, TrackFormat
from transforms.account_videos import AccountVideos
from transforms.storage.output_tables import OutputFolder, read_tracks
from transforms.storage.run_output import RunOutput
from transforms.storage.track_files import merge_track_parts, write_track_part
from transforms.sum_videos import SumVideos, read_totals
from transforms.write_tracks import failure_row

_REQUEST_SECONDS: Final = 0.02
_ROWS: Final = 20
_TRIES: Final = 9


class SlowStore(MemoryFileSystem):
    """A store that returns the same status row for every name, 20 ms after a request."""

    protocol = "slow"
    content = b""
    requests = 0
    _lock = threading.Lock()

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> bytes:
        self._wait()
        if "/videos/" not in path:
            return bytes(super().cat_file(path, start, end, **kwargs))
        return self.content

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._wait()
        return super().ls(path, detail, **kwargs)

    def _wait(self) -> None:
        with self._lock:
            type(self).requests += 1
        time.sleep(_REQUEST_SECONDS)


def account(inputs: int) -> str:
    """Measures the accounting of a run, in the waves of `annotate`."""
    fsspec.register_implementation("slow", SlowStore, clobber=True)
    with tempfile.TemporaryDirectory() as folder:
        local = RunOutput(folder, {})
        failure = VideoFailure(Video("video", "/in/video"), "empty", "no bytes")
        local.write_status(failure.video, failure_row(failure, ""))
        SlowStore.content = Path(str(local.folder.status_of("video"))).read_bytes()
        listed = Path(folder) / "corpus.csv"
        with listed.open("w") as manifest:
            manifest.write("uri\n")
            manifest.writelines(f"slow://in/{n:07d}.mp4\n" for n in range(inputs))
        before = _memory_mb()
        start, cpu = time.monotonic(), time.process_time()
        found = find_inputs([str(listed)], allowed_protocols=["slow"])
        planned, planned_mb = time.monotonic() - start, _memory_mb()
        totals = RunTotals()
        run_in_waves(found, _accounted_wave(f"{folder}/totals.json", totals), totals)
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
        assert totals.videos.videos == inputs
    waited = SlowStore.requests * _REQUEST_SECONDS
    return (
        f"{inputs} inputs: {seconds:.1f} s, {planned:.1f} of them to find the inputs, {cpu:.1f} s "
        f"of CPU, {totals.waves} waves, {SlowStore.requests} requests, one after the other "
        f"{waited:.0f} s; memory {before:.0f} MB before, {planned_mb:.0f} with the inputs found, "
        f"{_memory_mb():.0f} at most"
    )


def _accounted_wave(url: str, totals: RunTotals) -> RunWave:
    """A function that accounts for a wave of inputs; all waves share one pipeline."""
    options = PipelineOptions(["--runner=FnApiRunner", "--direct_num_workers=1"])
    pipeline, inputs = beam.Pipeline(options=options), WaveInputs(Video)
    videos = pipeline | "Videos" >> inputs
    none = pipeline | "None" >> beam.Create([])
    ended = videos | beam.Map(lambda video: video.video_id)
    rows = ((videos, none), videos, ended) | AccountVideos(RunOutput("slow://out", {}))
    _ = rows | SumVideos(url)

    def run(wave: Inputs) -> Counter[str]:
        inputs.give(wave.videos)
        pipeline.run().wait_until_finish()
        totals.videos.merge(read_totals(url))
        return Counter()

    return run


def find(inputs: int, keep: Path | None) -> str:
    """Measures the lookup of one video in the compacted tables."""
    with tempfile.TemporaryDirectory() as temporary:
        output = keep or Path(temporary)
        if not OutputFolder(str(output)).videos.exists():
            _write_corpus(output, inputs)
        start, cpu = time.monotonic(), time.process_time()
        done = compact(output)
        lines = [
            f"compact: {done.videos} videos in {done.files} files of {done.bytes / 1e6:.0f} MB, "
            f"{time.monotonic() - start:.1f} s, {time.process_time() - cpu:.1f} s of CPU"
        ]
        wanted = [f"video-{n:07d}" for n in np.linspace(0, inputs - 1, _TRIES, dtype=int)]
        lines.append(_told("read_tracks", [_seconds(lambda v=v: _ours(output, v)) for v in wanted]))
        try:
            import duckdb
        except ImportError:
            lines.append("duckdb is not installed: pip install duckdb")
        else:
            files = f"{output}/compacted/tracks/*.parquet"
            query = f"select count(*), max(x[1]) from read_parquet('{files}') where video_id = ?"
            times = [_seconds(lambda v=v: _duckdb(duckdb, query, v)) for v in wanted]
            lines.append(_told(f"DuckDB {duckdb.__version__}", times))
        return "\n".join(lines)


def _write_corpus(output: Path, inputs: int) -> None:
    """Writes videos of 20 rows each, with random coordinates in steps of 1/64."""
    run_output = RunOutput(str(output), {"full_precision": False})
    rng = np.random.default_rng(0)
    plain = {"int32": 0, "int64": 0, "double": 0.0, "float": 0.5, "string": "detected"}
    columns: dict[str, Any] = {f.name: [plain.get(str(f.type))] * _ROWS for f in TRACK_SCHEMA}
    columns["frame_index"] = list(range(_ROWS))
    lists = [f.name for f in TRACK_SCHEMA if pa.types.is_fixed_size_list(f.type)]
    part = str(output / ".staging" / "part.parquet")
    for number in range(inputs):
        video = Video(f"video-{number:07d}", f"/in/{number}")
        file = str(run_output.folder.tracks_of(video.video_id))
        columns["video_id"] = [video.video_id] * _ROWS
        for name in lists:
            size = TRACK_SCHEMA.field(name).type.list_size
            drawn = rng.integers(100 * 64, 400 * 64, _ROWS * size) / np.float32(64)
            flat = pa.array(drawn.astype(np.float32))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, size)
        table = pa.table(columns, schema=TRACK_SCHEMA)
        if number == 0:
            write_track_part(part, table, TrackFormat())
            merge_track_parts(file, (part,), {"config": {}}, (), TrackFormat())
            metadata = pq.read_schema(file).metadata
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(metadata), buffer)
        Path(file).write_bytes(buffer.getvalue())
        row = failure_row(VideoFailure(video, "empty", ""), run_output.config_hash)
        run_output.write_status(video, row | {"status": "ok", "face_frames": _ROWS})
    OutputFolder(str(output)).staging.remove()


def _ours(output: Path, video_id: str) -> None:
    assert read_tracks(output, [video_id], ["video_id", "x"]).num_rows == _ROWS


def _duckdb(duckdb: Any, query: str, video_id: str) -> None:
    with duckdb.connect(config={"threads": 1}) as connection:
        assert connection.execute(query, [video_id]).fetchone()[0] == _ROWS


def _seconds(action: Any) -> tuple[float, float]:
    start, cpu = time.monotonic(), time.process_time()
    action()
    return time.monotonic() - start, time.process_time() - cpu


def _told(what: str, times: list[tuple[float, float]]) -> str:
    wall, cpu = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    worst = max(wall for wall, _ in times) * 1000
    return (
        f"one video by {what}: {wall:.0f} ms, {cpu:.0f} ms of CPU, median of {len(times)}; "
        f"worst {worst:.0f} ms"
    )


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Runs the benchmark and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["account", "find"])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument(
        "--keep", type=Path, help="folder for the corpus of `find`; an existing one is reused"
    )
    args = parser.parse_args()
    told = account(args.inputs) if args.what == "account" else find(args.inputs, args.keep)
    sys.stdout.write(f"{told}\n")


if __name__ == "__main__":
    main()
