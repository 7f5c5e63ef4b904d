"""Reads track files: by their own name, or by video from an output folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.arrow_tables import landmark_rows, list_rows
from schemas.errors import OutputError, UsageError
from schemas.landmarks import LANDMARK_COUNT
from schemas.tracks import QUALITY_COLUMNS, RAW_COLUMNS, TRACK_SCHEMA
from transforms.storage.atomic_files import Folder
from transforms.storage.compacted_tables import CompactedVideo
from transforms.storage.output_tables import OutputFolder
from transforms.storage.table_reading import open_parquet, read_columns
from transforms.storage.track_files import METADATA_KEY

_COLUMNS: Final = (
    "face_id", "frame_index", "pts", "pts_seconds", "box_xyxy_px", "box_source", "x", "y",
)  # fmt: skip
#: Columns that files may lack: those of `--no-raw`, and older ones.
_OPTIONAL: Final = (*RAW_COLUMNS, "spread_px", *QUALITY_COLUMNS)
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class TrackRows:
    """The N rows of one video's tracks, one per face per frame."""

    pts: npt.NDArray[np.int64]  # (N,)
    pts_seconds: npt.NDArray[np.float64]  # (N,)
    frame_index: npt.NDArray[np.int64]  # (N,)
    face_id: npt.NDArray[np.int32]  # (N,)
    boxes_xyxy_px: npt.NDArray[np.float64]  # (N, 4)
    box_source: list[str]
    landmarks_px: npt.NDArray[np.float64]  # (N, 68, 2), stabilized
    raw_landmarks_px: npt.NDArray[np.float64]  # (N, 68, 2), NaN where `has_raw` is False
    spread_px: npt.NDArray[np.float64]  # (N, 68), NaN where it is not known
    stream_index: int | None = None  # of the video's stream, if the file has it
    #: [start, stop) of the video that was annotated, counted from its first frame; None is open.
    range_seconds: tuple[float | None, float | None] = (None, None)
    #: (N,) each, NaN where it is not known, by the names of their columns: score, blur, cut_off,
    #: yaw_deg, pitch_deg, roll_deg; those that the file has.
    quality: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    has_raw: bool = True  # False for files of `annotate --no-raw`

    def __len__(self) -> int:
        return len(self.pts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rows={len(self)}, faces={len(np.unique(self.face_id))})"

    @classmethod
    def of(cls, table: pa.Table, **more: Any) -> Self:
        """The rows of a table that `track_table` read; `more` are the fields of a subclass.

        Raises ValueError or pyarrow.ArrowException: a column is not of its type.
        """
        columns = set(table.column_names)
        quality = {
            name: table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
            for name in QUALITY_COLUMNS
            if name in columns
        }
        schema = pa.schema([f for f in TRACK_SCHEMA if f.name in columns.difference(quality)])
        typed = table.select(schema.names).cast(schema)
        has_raw = columns.issuperset(RAW_COLUMNS)
        unknown = np.broadcast_to(np.nan, (len(table), LANDMARK_COUNT, 2))
        spread = unknown[..., 0]
        if "spread_px" in columns:
            spread = list_rows(typed, "spread_px", LANDMARK_COUNT)
        return cls(
            pts=typed["pts"].to_numpy(),
            pts_seconds=typed["pts_seconds"].to_numpy(),
            frame_index=typed["frame_index"].to_numpy(),
            face_id=typed["face_id"].to_numpy(),
            boxes_xyxy_px=list_rows(typed, "box_xyxy_px", 4),
            box_source=typed["box_source"].to_pylist(),
            landmarks_px=landmark_rows(typed),
            raw_landmarks_px=landmark_rows(typed, "_raw") if has_raw else unknown,
            spread_px=spread,
            quality=quality,
            has_raw=has_raw,
            **_provenance(table.schema.metadata),
            **more,
        )

    def need_raw(self, what: str) -> None:
        """Raises UsageError, with `what` needs them, where there are no raw landmarks."""
        if not self.has_raw:
            raise UsageError(
                f"{what} needs the columns x_raw and y_raw; got tracks of `annotate --no-raw`, "
                "expected tracks annotated without that option"
            )

    def by_face(self) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
        """(face_id, rows by pts) of every face."""
        for face in np.unique(self.face_id).tolist():
            rows = np.flatnonzero(self.face_id == face)
            yield face, rows[np.argsort(self.pts[rows], kind="stable")]

    def by_pts(self) -> dict[int, list[int]]:
        """The rows of every frame that has faces, in the order of face_id."""
        rows: dict[int, list[int]] = {}
        for row in np.lexsort((self.face_id, self.pts)):
            rows.setdefault(int(self.pts[row]), []).append(int(row))
        return rows


def track_table(source: Any, *, raw: bool = True) -> pa.Table:
    """The columns that `TrackRows` has, of an open track file or a `pyarrow.Buffer`.

    Raises ValueError, OSError or pyarrow.ArrowException: no Parquet, or columns are missing.
    """
    parquet = open_parquet(source)
    optional = [c for c in _OPTIONAL if raw or c not in RAW_COLUMNS]
    there = [c for c in optional if c in parquet.schema_arrow.names]
    return read_columns(parquet, [*_COLUMNS, *there])


def read_track_file(uri: str | Path | CompactedVideo) -> TrackRows:
    """Reads a track Parquet, local or anywhere that fsspec reaches; or what find_track_file found.

    Raises:
        UsageError: the file cannot be read, is no Parquet, or lacks columns of a track.
    """
    tracks = uri if isinstance(uri, CompactedVideo) else Folder(str(uri))
    try:
        with tracks.open() as file:
            return TrackRows.of(track_table(file))
    except (OSError, ValueError, ImportError, pa.ArrowException) as error:
        raise UsageError(f"{uri}: {error}; expected a track file (Parquet)") from error


def _provenance(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Which stream and range the file says were annotated; None where it does not say."""
    try:
        made_by = json.loads((metadata or {}).get(METADATA_KEY, b"{}"))
    except ValueError:
        made_by = None
    video = _field(made_by, "video", dict)
    start, stop = (_field(video, f"{end}_seconds", float, int) for end in ("start", "stop"))
    return {"stream_index": _field(made_by, "stream_index", int), "range_seconds": (start, stop)}


def _field(record: Any, name: str, *kinds: type) -> Any:
    value = record.get(name) if isinstance(record, dict) else None
    return value if isinstance(value, kinds) else None


def find_track_file(tracks: str, video: str, *, complete: bool = False) -> str | CompactedVideo:
    """The track file of `video`: `tracks` itself, or the right one of an output folder.

    In an output folder the videos table says which: by the whole uri of the video, else
    by its file name where only one input has it. `complete` takes no tracks from which a segment
    of the video is missing, as far as an output folder tells.

    Raises:
        UsageError: nothing there, no such video, several of that name, no tracks for it, or
            incomplete ones.
    """
    columns = ["video_id", "uri", "status", "message"]
    columns += ["reason", "segments_failed"] if complete else []
    try:
        fs, root = fsspec.core.url_to_fs(tracks)
        if not fs.isdir(root):
            if fs.exists(root):
                return tracks
            raise UsageError(
                f"--tracks: got {tracks}, which is not there; expected the output folder of "
                "`facetracks annotate` or a track file"
            )
        tables = OutputFolder(tracks).status_tables(columns)
        rows = (row for table in tables for row in table.to_pylist())
        inputs = [row for row in rows if row["uri"] and row["video_id"]]
    except (OSError, ValueError, ImportError, OutputError) as error:
        raise UsageError(f"--tracks: {tracks} cannot be read: {error}") from error
    matches = [i for i in inputs if _same_place(i["uri"], video)]
    name = PurePosixPath(video).name
    matches = matches or [i for i in inputs if PurePosixPath(i["uri"]).name == name]
    known = ", ".join(sorted({i["uri"] for i in inputs})[:_LISTED])
    if len(inputs) > _LISTED:
        known += f", ... ({len(inputs)} in all)"
    if not matches:
        raise UsageError(f"--tracks: {tracks} has no tracks of {video}; its videos: {known}")
    if len(matches) > 1:
        found = ", ".join(i["uri"] for i in matches)
        raise UsageError(f"--tracks: got {len(matches)} videos like {video}, expected one: {found}")
    track_file = OutputFolder(tracks).stored_tracks(matches[0]["video_id"])
    if not track_file.exists():
        status, message = matches[0]["status"], matches[0]["message"] or "no message"
        raise UsageError(f"--tracks: {tracks} has no track file of {video}: {status} ({message})")
    if complete and (lost := matches[0]["segments_failed"]):
        raise UsageError(
            f"--tracks: got tracks of {video} without {lost} of its segments "
            f"({matches[0]['message']}), expected all of them; annotate it again with "
            f"--retry {matches[0]['reason']}"
        )
    return track_file if isinstance(track_file, CompactedVideo) else str(track_file)


def _same_place(uri: str, video: str) -> bool:
    if uri == video:
        return True
    try:
        one, other = fsspec.core.url_to_fs(uri), fsspec.core.url_to_fs(video)
    except (ValueError, ImportError):
        return False
    return type(one[0]) is type(other[0]) and one[1] == other[1]
