"""Tables of many videos in few files, as `compact` writes them, and lookup of one video.

    OUTPUT/compacted/tracks/{name}.parquet     rows sorted by video_id, face_id, frame_index
    OUTPUT/compacted/videos/{name}.parquet     status rows of the same videos; written last

A name begins with a number. Of two rows of one video, the one with the higher number is valid; a
video's own status file (`OUTPUT/videos/`) supersedes both. A tracks file without its videos file is
ignored. Files are immutable. A row group holds whole videos or part of one, so the statistics of
`video_id` select the groups to read.
"""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.columns import Column, to_schema
from schemas.errors import OutputError
from schemas.videos import VIDEO_COLUMNS, VIDEO_SCHEMA
from transforms.storage.atomic_files import Folder
from transforms.storage.table_reading import open_parquet
from transforms.storage.track_files import METADATA_KEY

#: Status rows, with the metadata of the files that were compacted.
COMPACTED_SCHEMA: Final = to_schema(
    [
        *VIDEO_COLUMNS,
        Column("stem", pa.string(), "", "the name of its own files"),
        Column("work_key", pa.string(), "", "hash of the video's bytes and the configuration"),
        Column("track_metadata", pa.string(), "", "JSON of its track file; null: none", True),
        Column("track_fingerprint", pa.string(), "", "of its track file before", True),
    ]
)
_ID: Final = "video_id"
#: How long a listing of an object store is reused.
_LISTING_SECONDS: Final = 5.0
_SPILL_BYTES: Final = 32 << 20
_LISTINGS: dict[str, tuple[float, list[str]]] = {}


class CompactedTables:
    """The compacted tables below a folder; `root` is OUTPUT/compacted."""

    def __init__(self, root: Folder) -> None:
        self.tracks, self.videos = root / "tracks", root / "videos"

    def names(self) -> list[str]:
        """The names of the files that are complete, the newest first."""
        names = sorted(self.videos.stems(), reverse=True)
        _LISTINGS[str(self.videos)] = (time.monotonic(), names)
        return names

    def _lately(self) -> list[str]:
        """The names from a recent listing: saves a request per video."""
        if self.videos.local_path():
            return self.names()
        listed, names = _LISTINGS.get(str(self.videos), (-math.inf, []))
        return names if time.monotonic() - listed < _LISTING_SECONDS else self.names()

    def find(self, video_id: str) -> CompactedVideo | None:
        """A video, from the newest file that has it; None if there is none.

        Raises OutputError if a file cannot be read.
        """
        try:
            return self._find(video_id, self._lately())
        except FileNotFoundError:  # another `compact` has moved it to a newer file
            return self._find(video_id, self.names())

    def _find(self, video_id: str, names: list[str]) -> CompactedVideo | None:
        for name in names:
            file = self.videos.table(name)
            try:
                for group in _groups_of(file, video_id):
                    table = _row_group(str(file), group)
                    for row in table.filter(pc.equal(table[_ID], video_id)).to_pylist():
                        return CompactedVideo(self, name, row)
            except FileNotFoundError:
                raise
            except (OSError, ValueError, pa.ArrowException) as error:
                raise OutputError(f"{file}: cannot be read: {error}") from error
        return None

    def rows(self, name: str) -> int:
        """Number of videos in a file."""
        return int(_footer(str(self.videos.table(name))).num_rows)

    def status_tables(self, superseded: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
        """(name, status rows in COMPACTED_SCHEMA) in pieces, each video once, by video_id.

        superseded: stems of videos that have newer files of their own.
        """
        names = self.names()
        seen: set[int] | None = set() if len(names) > 1 else None
        for name in names:
            file = self.videos.table(name)
            try:
                groups = range(_footer(str(file)).num_row_groups)
                for group in groups:
                    table = _row_group(str(file), group)
                    ids, stems = table[_ID].to_pylist(), table["stem"].to_pylist()
                    kept = [
                        stem not in superseded and (not seen or hash(i) not in seen)
                        for i, stem in zip(ids, stems, strict=True)
                    ]
                    if seen is not None:
                        seen.update(map(hash, ids))
                    yield name, table.filter(pa.array(kept, pa.bool_()))
            except (OSError, ValueError, pa.ArrowException) as error:
                raise OutputError(f"{file}: cannot be read: {error}") from error


@dataclass(frozen=True)
class CompactedVideo:
    """One video of a compacted file; `open` reads it like a track file of its own."""

    tables: CompactedTables
    name: str
    row: dict[str, Any]  # in COMPACTED_SCHEMA

    def __str__(self) -> str:
        return f"{self.tables.tracks.table(self.name)} ({self.video_id})"

    def __repr__(self) -> str:
        return f"CompactedVideo({str(self)!r})"

    @property
    def video_id(self) -> str:
        """As in the videos table."""
        return str(self.row[_ID])

    @property
    def status(self) -> dict[str, Any]:
        """The status row, with the columns of the videos table."""
        return {column: self.row[column] for column in VIDEO_SCHEMA.names}

    def open(self) -> Any:
        """A track file of this video alone, open for reading; large ones on disk.

        Raises FileNotFoundError if it has no tracks.
        """
        if not self.exists():
            raise FileNotFoundError(str(self))
        tracks = self.tables.tracks.table(self.name)
        schema = _footer(str(tracks)).schema.to_arrow_schema()
        own = {METADATA_KEY: self.row["track_metadata"].encode()}
        schema = schema.with_metadata({**(schema.metadata or {}), **own})
        file = tempfile.SpooledTemporaryFile(_SPILL_BYTES)  # noqa: SIM115 - the caller closes it
        with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False) as out:
            for group in _groups_of(tracks, self.video_id):
                table = _row_group(str(tracks), group)
                mine = table.filter(pc.equal(table[_ID], self.video_id))
                if mine.num_rows:
                    out.write_table(mine.cast(schema))
        file.seek(0)
        return file

    def read_bytes(self) -> bytes:
        """The content of `open`."""
        with self.open() as file:
            return bytes(file.read())

    def exists(self) -> bool:
        """Whether it has tracks to open."""
        return self.row["track_metadata"] is not None


@functools.lru_cache(maxsize=1024)
def _footer(url: str) -> pq.FileMetaData:
    with Folder(url).open() as file:
        return open_parquet(file).metadata


def _groups_of(file: Folder, video_id: str) -> list[int]:
    """The row groups that may hold a video."""
    footer = _footer(str(file))
    column = footer.schema.to_arrow_schema().get_field_index(_ID)
    found = []
    for group in range(footer.num_row_groups):
        limits = footer.row_group(group).column(column).statistics
        if limits is None or not limits.has_min_max or limits.min <= video_id <= limits.max:
            found.append(group)
    return found


@functools.lru_cache(maxsize=8)
def _row_group(url: str, group: int) -> pa.Table:
    """A row group; neighbours are asked for one after the other."""
    with Folder(url).open() as file:
        return open_parquet(file, _footer(url)).read_row_group(group, use_threads=False)
