"""The files that a run writes for each video, and which videos are done.

The parts of a video are in staging/{stem}.{key}. `key` hashes everything the tracks depend on:
the video's bytes (fingerprint), its range and boxes, and the configuration. A changed video or
configuration never reads old parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.records import Video
from schemas.tracks import TrackFormat
from schemas.videos import VIDEO_SCHEMA
from transforms.storage.atomic_files import Folder, file_stem, write_bytes
from transforms.storage.output_tables import OutputFolder
from transforms.storage.table_reading import open_parquet, read_columns
from transforms.storage.track_files import METADATA_KEY

_ONE_ROW: Final[Mapping[str, Any]] = {
    "use_dictionary": False,
    "write_statistics": False,
    "compression": "none",
}
_ROW_TYPE: Final = pa.struct(list(VIDEO_SCHEMA))
#: Transient reasons: videos that failed for them are annotated again.
_TRANSIENT: Final = frozenset({"unreadable", "not_found", "segment_lost"})
#: Part of the message of a decoding process that failed before it opened a video.
_FAILED_START: Final = "(exit status 1"


@dataclass(frozen=True)
class RunOutput:
    """An output location together with the configuration that fills it.

    config: everything the tracks depend on. provenance: further metadata of track files.
    track_format: how much of a row the track files keep.
    """

    output: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    track_format: TrackFormat = field(default_factory=TrackFormat)

    @cached_property
    def config_hash(self) -> str:
        """The hash of the configuration, 16 hex digits, as written in every row and file."""
        return sha256(json.dumps(dict(self.config), sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def folder(self) -> OutputFolder:
        """The layout of the output location."""
        return OutputFolder(self.output)

    @cached_property
    def is_remote(self) -> bool:
        """Whether the output is not on this machine's disk."""
        return self.folder.videos.local_path() is None

    def staging(self, video: Video) -> Folder:
        """The folder of a video's parts."""
        return self.folder.staging / f"{file_stem(video.video_id)}.{self.work_key(video)}"

    def clear_staging(self) -> None:
        """Removes the parts of finished videos; all parts on a local output, which is locked."""
        staging = self.folder.staging
        if staging.local_path() is not None:
            staging.remove()
            return
        for name in staging.names():
            status = self._read_status(self.folder.videos.table(name.rpartition(".")[0]))
            if status is not None and status[0]["config_hash"] == self.config_hash:
                (staging / name).remove()

    def work_key(self, video: Video) -> str:
        """Identifies the work on these bytes with this configuration.

        It does not depend on the location, so that a corpus may move; only a video without a
        fingerprint is identified by its URI.
        """
        place = repr((video.uri, video.boxes_uri))
        parts = [
            self.config_hash,
            video.video_id,
            repr((video.start_seconds, video.stop_seconds)),
            video.fingerprint or place,
        ]
        return sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def remove_tracks(self, video: Video) -> None:
        """Removes the track file of an earlier run after the video has failed."""
        self.folder.tracks_of(video.video_id).remove()

    def write_status(self, video: Video, row: Mapping[str, Any]) -> None:
        """Publishes the video's status row; from then on it counts as done."""
        row = _printable(row)
        # The footer has the row too: reading it takes a third of the time of reading 33 columns.
        note = json.dumps({"work_key": self.work_key(video), "row": row}).encode()
        record = pa.RecordBatch.from_struct_array(pa.array([row], _ROW_TYPE))
        # To memory first: Arrow writes each column in calls of its own, and accepts only paths in
        # UTF-8. One row gains nothing from dictionaries, statistics or compression; a batch takes
        # 0.8 of the time of a table.
        content = pa.BufferOutputStream()
        schema = VIDEO_SCHEMA.with_metadata({METADATA_KEY: note})
        with pq.ParquetWriter(content, schema, **_ONE_ROW) as file:
            file.write_batch(record)
        status = self.folder.status_of(video.video_id)
        write_bytes(str(status), content.getvalue().to_pybytes())

    def forget(self, video: Video) -> None:
        """Removes the video's status row and parts, so that it is annotated again."""
        self.folder.status_of(video.video_id).remove()
        self.staging(video).remove()

    def is_done(self, video: Video, retry: frozenset[str] = frozenset()) -> bool:
        """Whether a run has finished this work, with a reason that is not in `retry`.

        Videos with transient errors (a source that could not be read) are never done.
        """
        status = self.read_status(video)
        if status is None:
            return False
        row, key = status
        if row["reason"] == "decoder_crashed" and _FAILED_START in (row["message"] or ""):
            return False  # Python exited with an exception: a fault of the machine
        return key == self.work_key(video) and row["reason"] not in retry | _TRANSIENT

    def is_finished(self, video: Video) -> bool:
        """Whether this work has a status row, of any status."""
        status = self.read_status(video)
        return status is not None and status[1] == self.work_key(video)

    def has_tracks(self, video: Video) -> bool:
        """Whether there are tracks of this video and configuration, of any fingerprint."""
        status = self.read_status(video)
        if status is None:
            return False
        row = status[0]
        same = row["uri"] == video.uri and row["config_hash"] == self.config_hash
        return same and row["status"] in ("ok", "partial")

    def read_status(self, video: Video) -> tuple[dict[str, Any], str] | None:
        """The status row and its work key; None where there is none."""
        own = self._read_status(self.folder.status_of(video.video_id))
        if own is not None:
            return own
        found = self.folder.compacted.find(video.video_id)
        return None if found is None else (found.status, found.row["work_key"])

    def _read_status(self, file: Folder) -> tuple[dict[str, Any], str] | None:
        try:
            content = file.read_bytes()  # one request, even if it does not exist
        except FileNotFoundError:
            return None
        parquet = open_parquet(pa.BufferReader(content))
        note = json.loads((parquet.metadata.metadata or {}).get(METADATA_KEY, b"{}"))
        row = note.get("row") or read_columns(parquet).to_pylist()[0]
        return row, str(note.get("work_key", ""))


def _printable(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with text that is not UTF-8 escaped; file names may hold such text."""
    return {
        name: cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
        for name, cell in row.items()
    }
