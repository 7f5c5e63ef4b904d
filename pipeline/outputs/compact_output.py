"""Compaction: the files of many videos become few, which hold the same.

A pair of files, tracks and status rows, is written at a time; the second one, put in its place
whole, makes it part of the output. Only then are the videos' own files removed, the status first.
If it is interrupted, the output stays readable, and the next call processes the rest.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.output_lock import exclusive_run
from schemas.errors import OutputError, SourceError
from schemas.tracks import TRACK_SCHEMA, TrackFormat
from transforms.storage.atomic_files import Folder, atomic_file, write_bytes
from transforms.storage.compacted_tables import COMPACTED_SCHEMA, CompactedTables, CompactedVideo
from transforms.storage.output_tables import OutputFolder, in_parallel
from transforms.storage.source_files import fingerprint, look_up
from transforms.storage.table_reading import open_parquet
from transforms.storage.track_files import METADATA_KEY, track_write_options

_FILE_BYTES: Final = 256 << 20
#: Rows that are read to find one video: 2 MB or so. Longer videos have row groups of their own.
_GROUP_ROWS: Final = 4096
_FILE_VIDEOS: Final = 100_000
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CompactSummary:
    """What a call of `compact` did.

    Attributes:
        videos: how many it put into new files.
        files: how many pairs of files it wrote, of tracks and of status rows.
        bytes: how many bytes these have.
    """

    videos: int
    files: int
    bytes: int


def compact(
    output: str | Path,
    *,
    file_bytes: int = _FILE_BYTES,
    on_progress: Callable[[int], object] | None = None,
) -> CompactSummary:
    """Puts the tracks and status rows of an output into few files, sorted by video_id.

        compact("out")

    `read_tracks` and all commands take both layouts, mixed too; what is done stays done, and what
    is annotated later has files of its own until the next call. One call at a time writes to an
    output; on an object store, where nothing locks, no run may write there meanwhile.

    Args:
        output: the output location of a run, a path or any fsspec URL.
        file_bytes: how large files of tracks become, about.
        on_progress: called with the number of videos of each pair of files when it is complete.

    Raises:
        OutputError: there is no output, a file cannot be read or written, or a run is writing.
    """
    folder = OutputFolder(output)
    compacted = folder.compacted
    folder.count_videos()  # raises if there are none
    videos = files = written_bytes = 0
    with exclusive_run(folder):
        _remove_what_was_compacted(folder)
        # Listed once: on an object store another call may be removing them. A video must not be
        # superseded by its own file in one place and no longer have it in the next.
        stems = set(folder.videos.stems())
        old = _to_rewrite(compacted, stems, file_bytes)
        kept = _entries_in(old, compacted.status_tables(stems))
        own = list(in_parallel(partial(_own_entry, folder), sorted(stems)))
        if own or len(old) > 1 or len(kept) < sum(map(compacted.rows, old)):
            for pair in _written_pairs(folder, sorted([*own, *kept]), file_bytes):
                videos, files = videos + len(pair.rows), files + 1
                written_bytes += pair.bytes
                _remove_own(folder, pair.own)
                if on_progress is not None:
                    on_progress(len(pair.rows))
            for name in old:
                _remove_pair(folder, name)
    return CompactSummary(videos, files, written_bytes)


def _to_rewrite(compacted: CompactedTables, own: Collection[str], file_bytes: int) -> list[str]:
    """Files that are small, or hold rows that are no longer valid, as of videos of `own` stems."""
    valid = dict.fromkeys(compacted.names(), 0)
    for name, table in compacted.status_tables(own):
        valid[name] = valid.get(name, 0) + table.num_rows
    small = []
    for name, rows in valid.items():
        tracks = compacted.tracks.table(name)
        size = tracks.size_bytes() if tracks.exists() else 0
        full = size >= file_bytes // 2 or rows >= _FILE_VIDEOS // 2
        if rows < compacted.rows(name) or not full:
            small.append(name)
    return small


def rewrite_without(folder: OutputFolder, video_id: str) -> dict[Folder, int]:
    """Writes the compacted files that hold a video anew without it.

    Returns: the files that were removed, and their bytes. The same call resumes.
    """
    compacted, removed = folder.compacted, dict[Folder, int]()
    while (found := compacted.find(video_id)) is not None:
        entries = _entries_in([found.name], compacted.status_tables(frozenset()))
        others = sorted(entry for entry in entries if entry[0] != found.video_id)
        for _ in _written_pairs(folder, others, _FILE_BYTES):
            pass
        removed |= _remove_pair(folder, found.name)
    return removed


#: A video_id, and the stem of its own files; None where it is compacted already.
_Entry = tuple[str, str | None]


def _entries_in(names: Collection[str], tables: Iterable[tuple[str, pa.Table]]) -> list[_Entry]:
    """The videos of the compacted files of these names, among (name, status rows) of all."""
    found = (table["video_id"].to_pylist() for name, table in tables if name in names)
    return [(video_id, None) for ids in found for video_id in ids]


@dataclass(slots=True)
class _Pair:
    """A file of tracks and one of status rows, under one name: `start` and a hash of both."""

    folder: OutputFolder
    start: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    own: list[dict[str, Any]] = field(default_factory=list)  # of these, those that had own files
    bytes: int = 0
    _waiting: list[pa.Table] = field(default_factory=list)

    def write(self, left: deque[_Entry], file_bytes: int) -> None:
        """Takes entries from the left until the files are full."""
        with tempfile.TemporaryFile() as file:
            out: pq.ParquetWriter | None = None
            while left and len(self.rows) < _FILE_VIDEOS and file.tell() < file_bytes:
                row, source = _read_entry(self.folder, left[0])
                if source is not None:
                    with source as content:
                        parquet = open_parquet(content)
                        columns = [c for c in TRACK_SCHEMA.names if c in parquet.schema_arrow.names]
                        if out is None:
                            out = _track_writer(file, columns, row)
                        elif columns != out.schema.names:
                            break  # of another kind: a file of its own
                        self._add_tracks(parquet, out)
                self.rows.append(row)
                if left.popleft()[1] is not None:
                    self.own.append(row)
            if out is not None:
                self._flush(out)
                out.close()
            self._publish(file if out is not None else None)

    def _publish(self, tracks: Any) -> None:
        """Writes both files to the output, the status rows last."""
        compacted = self.folder.compacted
        content = pa.BufferOutputStream()
        table = pa.Table.from_pylist(self.rows, schema=COMPACTED_SCHEMA)
        pq.write_table(table, content, compression="zstd", row_group_size=_GROUP_ROWS)
        status = content.getvalue()
        digest = sha256(status)
        if tracks is not None:
            tracks.seek(0)
            digest.update(file_digest(tracks, "sha256").digest())
        name = f"{self.start}-{digest.hexdigest()[:16]}"
        if tracks is not None:
            self.bytes += tracks.tell()
            tracks.seek(0)
            with atomic_file(str(compacted.tracks.table(name))) as path, path.open("wb") as target:
                shutil.copyfileobj(tracks, target, _COPY_BYTES)
        write_bytes(str(compacted.videos.table(name)), status.to_pybytes())
        self.bytes += status.size
        compacted.names()  # lists them anew for this process

    def _add_tracks(self, parquet: Any, out: pq.ParquetWriter) -> None:
        """Whole videos to a row group; a long one has some of its own."""
        long = parquet.metadata.num_rows >= _GROUP_ROWS
        if long:
            self._flush(out)
        for group in range(parquet.metadata.num_row_groups):
            self._waiting.append(parquet.read_row_group(group, use_threads=False))
            if long:
                self._flush(out)
        if sum(table.num_rows for table in self._waiting) >= _GROUP_ROWS:
            self._flush(out)

    def _flush(self, out: pq.ParquetWriter) -> None:
        if self._waiting:
            tables = [table.select(out.schema.names).cast(out.schema) for table in self._waiting]
            table = pa.concat_tables(tables)
            out.write_table(table, row_group_size=max(1, table.num_rows))
            self._waiting = []


def _written_pairs(
    folder: OutputFolder, entries: Iterable[_Entry], file_bytes: int
) -> Iterator[_Pair]:
    """Pairs of files that hold all entries, each as it is in its place; newer than all others."""
    number = 1 + max((int(n.partition("-")[0]) for n in folder.compacted.names()), default=0)
    left, files = deque(entries), itertools.count()
    while left:
        pair = _Pair(folder, f"{number:06d}-{next(files):05d}")
        pair.write(left, file_bytes)
        yield pair


def _track_writer(file: Any, columns: list[str], row: dict[str, Any]) -> pq.ParquetWriter:
    config = json.loads(row["track_metadata"]).get("config", {})
    schema = pa.schema([TRACK_SCHEMA.field(name) for name in columns], TRACK_SCHEMA.metadata)
    options = track_write_options(TrackFormat(config.get("full_precision", True)))
    order = [pq.SortingColumn(columns.index(n)) for n in ("video_id", "face_id", "frame_index")]
    return pq.ParquetWriter(file, schema, sorting_columns=order, **options)


def _own_entry(folder: OutputFolder, stem: str) -> _Entry:
    """The video of a status file of its own."""
    try:
        content = folder.videos.table(stem).read_bytes()
    except FileNotFoundError as error:
        raise _is_gone(folder, stem) from error
    table = open_parquet(pa.BufferReader(content)).read(["video_id"], use_threads=False)
    return table["video_id"][0].as_py(), stem


def _is_gone(folder: OutputFolder, name: str) -> OutputError:
    return OutputError(f"{folder.url}: {name} is gone; is another `compact` running?")


def _read_entry(folder: OutputFolder, entry: _Entry) -> tuple[dict[str, Any], Any]:
    """The status row in COMPACTED_SCHEMA, and the opened tracks; None where there are none."""
    video_id, stem = entry
    if stem is None:
        found = folder.compacted.find(video_id)
        if not isinstance(found, CompactedVideo):
            raise _is_gone(folder, video_id)
        return found.row, found.open() if found.exists() else None
    try:
        status = open_parquet(pa.BufferReader(folder.videos.table(stem).read_bytes()))
        row = status.read(use_threads=False).to_pylist()[0]
        note = json.loads((status.schema_arrow.metadata or {}).get(METADATA_KEY, b"{}"))
        row |= {"stem": stem, "work_key": str(note.get("work_key", ""))}
        tracks = folder.tracks.table(stem)
        if not tracks.exists():
            return row, None
        row["track_fingerprint"] = _fingerprint(tracks)
        content = tracks.open()
        about = (open_parquet(content).schema_arrow.metadata or {}).get(METADATA_KEY, b"{}")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise OutputError(f"{folder.url}: {video_id} cannot be read: {error}") from error
    row["track_metadata"] = about.decode()
    return row, content


def _remove_own(folder: OutputFolder, own: list[dict[str, Any]]) -> None:
    """Removes files of compacted rows, the status first, unless they are others by now."""

    def remove(row: dict[str, Any]) -> None:
        tracks = folder.tracks.table(row["stem"])
        if _fingerprint(tracks) not in (row.get("track_fingerprint"), None):
            return
        folder.videos.table(row["stem"]).remove()
        tracks.remove()

    for _ in in_parallel(remove, own):
        pass


def _remove_what_was_compacted(folder: OutputFolder) -> None:
    """Removes track files whose status rows an interrupted call has removed already."""
    if not folder.compacted.names():
        return
    own = set(folder.videos.stems())
    for stem in folder.tracks.stems():
        if stem in own:
            continue
        file = folder.tracks.table(stem)
        try:
            with file.open() as content:
                ids = open_parquet(content).read(["video_id"], use_threads=False)["video_id"]
        except FileNotFoundError:  # another call was faster
            continue
        found = folder.compacted.find(ids[0].as_py()) if len(ids) else None
        if found is not None and found.row["track_fingerprint"] == _fingerprint(file):
            file.remove()


def _fingerprint(file: Folder) -> str | None:
    """Identifies this version of the file; None if another call has removed it."""
    try:
        return fingerprint(look_up(str(file))[2]) if file.exists() else None
    except SourceError:
        if file.exists():
            raise
        return None


def _remove_pair(folder: OutputFolder, name: str) -> dict[Folder, int]:
    files = [folder.compacted.videos.table(name), folder.compacted.tracks.table(name)]
    removed = {file: file.size_bytes() for file in files if file.exists()}
    for file in removed:
        file.remove()
    folder.compacted.names()  # lists them anew for this process
    return removed
