"""OUTPUT's layout, in one place, and its tables read back.

    OUTPUT/tracks/{stem}.parquet          a video's tracks, sorted by face_id, frame_index
    OUTPUT/videos/{stem}.parquet          its status row; written last: marks it done
    OUTPUT/compacted/                     both of many videos in few files (`compacted_tables`)
    OUTPUT/run.json                       the run
    OUTPUT/probe.json                     estimates of `probe -o OUTPUT`
    OUTPUT/.lock                          held by a run on a local disk
    OUTPUT/.staging/{stem}.{key}/         parts in progress, removed when it is done
    OUTPUT/derived/**/{stem}.{suffix}     what commands derive from its tracks; or a folder {stem}
    OUTPUT/report.html                    pictures and figures of all videos

`stem` is the video_id as a file name (`file_stem`). A video with a status file of its own is not
looked up in the compacted tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from schemas.errors import OutputError
from schemas.tracks import OPTIONAL_COLUMNS, TRACK_SCHEMA
from schemas.videos import VIDEO_SCHEMA
from transforms.storage.atomic_files import Folder, file_stem, write_bytes
from transforms.storage.compacted_tables import CompactedTables, CompactedVideo
from transforms.storage.table_reading import open_parquet, read_columns

#: Concurrent requests: object stores have high latency.
_READERS: Final = 16
_READ_AHEAD: Final = 64
_WORK_KEY: Final = re.compile("[0-9a-f]{16}")

#: Where a video's tracks are read: a file of their own, or one that is made of compacted rows.
TrackSource: TypeAlias = Folder | CompactedVideo

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class OutputFolder:
    """The layout of OUTPUT, a path or any fsspec URL: its files and folders by name."""

    def __init__(self, output: str | Path) -> None:
        root = Folder(str(output))
        self.url = root.url
        self.tracks, self.videos = root / "tracks", root / "videos"
        self.compacted = CompactedTables(root / "compacted")
        self.derived = root / "derived"
        self.staging = root / ".staging"
        self.run_record, self.probe_record = root / "run.json", root / "probe.json"
        self.report = root / "report.html"
        self.lock = root / ".lock"

    def check_writable(self) -> None:
        """Writes and removes a file; raises OutputError where that fails."""
        probe = Folder(self.url) / ".writable"
        try:
            write_bytes(str(probe), b"")
            probe.remove()
        except Exception as error:  # each file system raises its own kinds
            raise OutputError(
                f"output {self.url} cannot be written: {type(error).__name__}: {error}"
            ) from error

    def stored_tracks(self, video_id: str) -> TrackSource:
        """A video's tracks to read, wherever they are; `exists` is false if it has none."""
        file = self.tracks_of(video_id)
        if file.exists() or not self.compacted.names() or self.status_of(video_id).exists():
            return file
        return self.compacted.find(video_id) or file

    def all_tracks(self) -> Iterator[TrackSource]:
        """The tracks of all videos, those with a file of their own first, by its name."""
        own = self.tracks.stems()
        yield from map(self.tracks.table, own)
        if self.compacted.names():
            # An interrupted `compact` may have left a track file without a status file.
            superseded = {*own, *self.videos.stems()}
            for name, table in self.compacted.status_tables(superseded):
                videos = (CompactedVideo(self.compacted, name, row) for row in table.to_pylist())
                yield from (video for video in videos if video.exists())

    def require_tracks(self) -> None:
        """Raises OutputError if there are no tracks."""
        if next(self.all_tracks(), None) is None:
            raise self._without("tracks")

    def count_videos(self) -> int:
        """Number of status rows; videos annotated again since `compact` count twice.

        Raises OutputError if there are none.
        """
        compacted = self.compacted
        count = len(self.videos.stems()) + sum(map(compacted.rows, compacted.names()))
        if not count:
            raise self._without("videos")
        return count

    def _without(self, table: str) -> OutputError:
        return OutputError(f"{self.url}: got no {table}/*.parquet, expected the output of annotate")

    def tracks_of(self, video_id: str) -> Folder:
        """A video's track file, as a run writes it."""
        return self.tracks.table(file_stem(video_id))

    def status_of(self, video_id: str) -> Folder:
        """The file of a video's status row."""
        return self.videos.table(file_stem(video_id))

    def files_of(self, video_id: str) -> list[Folder]:
        """All files and folders of a video, the status row first.

        Removed in this order, no status row is left for a video whose tracks are gone.
        """
        stem = file_stem(video_id)
        known = [self.status_of(video_id), self.tracks_of(video_id)]
        found = [file for file in known if file.exists()]
        found += [
            self.staging / name
            for name in self.staging.names()
            if name.rpartition(".")[0] == stem and _WORK_KEY.fullmatch(name.rpartition(".")[2])
        ]
        return found + _named(self.derived, stem)

    def track_tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The tracks table in pieces, a video each; raises OutputError as `status_tables`."""
        read = partial(_read_table, columns=columns, schema=TRACK_SCHEMA)
        return in_parallel(read, self.all_tracks())

    def track_groups(self, video_id: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """A video's track file in pieces, in file order; memory does not grow with its length.

        Yields those of `columns` that the file has, in its types; nothing if there is no file.

        Raises OutputError if the file cannot be read.
        """
        file = self.stored_tracks(video_id)
        try:
            with file.open() as source:
                parquet = open_parquet(source)
                names = [name for name in columns if name in parquet.schema_arrow.names]
                for group in range(parquet.metadata.num_row_groups):
                    yield parquet.read_row_group(group, columns=names, use_threads=False)
        except FileNotFoundError:
            return
        except (OSError, ValueError, pa.ArrowException) as error:
            raise OutputError(f"{file}: cannot be read as a table of annotate: {error}") from error

    def status_tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The videos table in pieces, sorted by video name; memory does not grow with it.

        Raises OutputError if there is none, or if a file cannot be read or lacks a column.
        """
        files, compacted = list(map(self.videos.table, self.videos.stems())), self.compacted
        is_compacted = bool(compacted.names())
        if not files and not is_compacted:
            raise self._without("videos")
        read = partial(_read_table, columns=columns, schema=VIDEO_SCHEMA)
        yield from in_parallel(read, files)
        if is_compacted:
            names = _known(columns, VIDEO_SCHEMA)
            schema = pa.schema([VIDEO_SCHEMA.field(name) for name in names])
            for _, table in compacted.status_tables(set(self.videos.stems())):
                yield table.select(names).cast(schema)


def read_videos(output: str | Path) -> pa.Table:
    """The videos table: one row per input, with its status.

    Args:
        output: the output location of a run, a path or any fsspec URL.

    Returns: a pyarrow.Table with the columns of the README; `.to_pandas()` or
        `polars.from_arrow` make it a data frame.

    Raises:
        OutputError: there is no videos table, or a file of it cannot be read.
    """
    return pa.concat_tables(OutputFolder(output).status_tables())


def read_tracks(
    output: str | Path,
    video_ids: Iterable[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """The tracks of a run's videos: one row per face per frame.

    Args:
        output: the output location of a run, a path or any fsspec URL.
        video_ids: only these videos, in this order, or one; None is all that have tracks.
        columns: only these columns; None is all.

    Returns: a pyarrow.Table with the columns of the README. `x`, `y`, `x_raw`, `y_raw` are
        lists of 68 float32 in pixels of the upright frame; pts are in the video's time_base.
        Columns that a file does not have, because it is older or was written with `--no-raw`,
        are null in its rows.

    Raises:
        OutputError: there are no tracks, none of a video that was asked for, or a file cannot
            be read.
    """
    folder = OutputFolder(output)
    if video_ids is None:
        folder.require_tracks()
        return pa.concat_tables(folder.track_tables(columns))
    video_ids = [video_ids] if isinstance(video_ids, str) else video_ids

    def read(video_id: str) -> pa.Table:
        return _read_table(folder.stored_tracks(video_id), columns, TRACK_SCHEMA)

    tables = list(in_parallel(read, video_ids))
    if not tables:
        return TRACK_SCHEMA.empty_table().select(list(columns or TRACK_SCHEMA.names))
    return pa.concat_tables(tables)


def _named(folder: Folder, stem: str) -> list[Folder]:
    """Files `{stem}.{suffix}` and folders `{stem}` at any depth below a folder."""
    found: list[Folder] = []
    for name, is_folder in folder.entries():
        if (name if is_folder else name.rpartition(".")[0]) == stem:
            found.append(folder / name)
        elif is_folder:
            found += _named(folder / name, stem)
    return found


def _known(columns: Sequence[str] | None, schema: pa.Schema) -> list[str]:
    """The requested columns; OutputError for an unknown one."""
    names = list(columns or schema.names)
    if unknown := [name for name in names if name not in schema.names]:
        raise OutputError(f"columns: got {', '.join(unknown)}, expected {', '.join(schema.names)}")
    return names


def _read_table(file: TrackSource, columns: Sequence[str] | None, schema: pa.Schema) -> pa.Table:
    """The table without the file's own metadata, so that tables of many runs concatenate."""
    names = _known(columns, schema)
    try:
        parquet = open_parquet(pa.BufferReader(file.read_bytes()))
        may_lack = OPTIONAL_COLUMNS if schema is TRACK_SCHEMA else frozenset[str]()
        absent = may_lack & set(names) - set(parquet.schema_arrow.names)
        table = read_columns(parquet, [name for name in names if name not in absent])
        for name in absent:
            nothing = _nulls(parquet.metadata.num_rows, schema.field(name).type)
            table = table.append_column(name, nothing)
        return table.select(names).cast(pa.schema([schema.field(name) for name in names]))
    except FileNotFoundError as error:
        raise OutputError(f"{file}: no such file; the video has no row there") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise OutputError(f"{file}: cannot be read as a table of annotate: {error}") from error


def _nulls(rows: int, kind: pa.DataType) -> pa.Array:
    """Nulls of a type; `pa.nulls` of lists with non-null items cannot be cast."""
    if not pa.types.is_fixed_size_list(kind):
        return pa.nulls(rows, kind)
    items = pa.array(np.zeros(rows * kind.list_size), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(items, type=kind, mask=pa.array(np.ones(rows, bool)))


def in_parallel(action: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
    """`action` of each item, in order, in parallel, with bounded read-ahead."""
    with ThreadPoolExecutor(_READERS, "facetracks-read") as pool:
        left = iter(items)
        waiting = [pool.submit(action, item) for item in islice(left, _READ_AHEAD)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(action, item) for item in islice(left, 1)]
