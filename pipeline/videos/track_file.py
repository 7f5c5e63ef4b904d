"""Reads track files: by their own name, or by video from an output folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import OutputError, UsageError
from schemas.landmarks import LANDMARK_COUNT
from schemas.tracks import RAW_COLUMNS, TRACK_SCHEMA
from transforms.storage.compacted_tables import CompactedVideo
from transforms.storage.output_tables import OutputFolder
from transforms.storage.parquet_reading import open_parquet

_COLUMNS: Final = (
    "face_id", "frame_index", "pts", "pts_seconds", "box_xyxy_px", "box_source",
    "x", "y",
)  # fmt: skip
#: Columns that files may lack: those of `--no-raw`, and older ones.
_OPTIONAL: Final = (*RAW_COLUMNS, "spread_px")
#: Quality measures of a row; files may lack them.
_TRUST: Final = ("score", "blur", "cut_off", "yaw_deg", "pitch_deg", "roll_deg")
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
    trust: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    has_raw: bool = True  # False for files of `annotate --no-raw`

    def __len__(self) -> int:
        return len(self.pts)

    def __repr__(self) -> str:
        return f"TrackRows(rows={len(self)}, faces={len(np.unique(self.face_id))})"

    def need_raw(self, what: str) -> None:
        """Raises UsageError, with `what` needs them, where there are no raw landmarks."""
        if not self.has_raw:
            raise UsageError(
                f"{what} needs the columns x_raw and y_raw; got tracks of `annotate --no-raw`, "
                "expected tracks annotated without that option"
            )

    def by_pts(self) -> dict[int, list[int]]:
        """The rows of every frame that has faces, in the order of face_id."""
        rows: dict[int, list[int]] = {}
        for row in np.lexsort((self.face_id, self.pts)):
            rows.setdefault(int(self.pts[row]), []).append(int(row))
        return rows


def read_track_file(uri: str | Path | CompactedVideo) -> TrackRows:
    """Reads a track Parquet, local or anywhere that fsspec reaches; or what find_track_file found.

    Raises:
        UsageError: the file cannot be read, is no Parquet, or lacks columns of a track.
    """
    try:
        with _opened(str(uri) if isinstance(uri, Path) else uri) as file:
            parquet = open_parquet(file)
            missing = [c for c in _COLUMNS if c not in parquet.schema_arrow.names]
            if missing:
                raise UsageError(
                    f"{uri}: got a table of {', '.join(parquet.schema_arrow.names[:_LISTED])}; "
                    f"expected a track file, which also has {', '.join(missing)}"
                )
            names = [*_COLUMNS, *(c for c in _OPTIONAL if c in parquet.schema_arrow.names)]
            kinds = pa.schema([TRACK_SCHEMA.field(name) for name in names])
            told = [c for c in _TRUST if c in parquet.schema_arrow.names]
            both = parquet.read(columns=[*names, *told], use_threads=False)
            table = both.select(names).cast(kinds)
            trust = {c: both[c].cast(pa.float64()).to_numpy(zero_copy_only=False) for c in told}
    except (OSError, ValueError, ImportError, pa.ArrowException) as error:
        raise UsageError(f"{uri}: got {error}; expected a track file (Parquet)") from error

    def lists(name: str, length: int) -> npt.NDArray[np.float64]:
        flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        if len(flat) != length * len(table):
            raise UsageError(f"{uri}: got lists of other lengths in {name}, expected {length} each")
        return np.asarray(flat, np.float64).reshape(len(table), length)

    unknown = np.full((len(table), LANDMARK_COUNT), np.nan)
    points = {
        name: lists(name, LANDMARK_COUNT) if name in names else unknown
        for name in ("x", "y", *_OPTIONAL)
    }
    provenance = _provenance(parquet.schema_arrow.metadata or {})
    return TrackRows(
        pts=table["pts"].to_numpy(),
        pts_seconds=table["pts_seconds"].to_numpy(),
        frame_index=table["frame_index"].to_numpy(),
        face_id=table["face_id"].to_numpy(),
        boxes_xyxy_px=lists("box_xyxy_px", 4),
        box_source=table["box_source"].to_pylist(),
        landmarks_px=np.stack([points["x"], points["y"]], axis=-1),
        raw_landmarks_px=np.stack([points["x_raw"], points["y_raw"]], axis=-1),
        spread_px=points["spread_px"],
        stream_index=_number(provenance.get("stream_index"), int),
        trust=trust,
        range_seconds=_range_seconds(provenance.get("video")),
        has_raw=set(RAW_COLUMNS) <= set(names),
    )


def _opened(source: str | CompactedVideo) -> Any:
    if not isinstance(source, str):
        return source.open()
    fs, path = fsspec.core.url_to_fs(source)
    return fs.open(path, "rb")


def _provenance(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """What the file says of how it came to be; nothing where it says nothing that is JSON."""
    try:
        told = json.loads(metadata[b"facetracks"])
    except (KeyError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _range_seconds(video: Any) -> tuple[float | None, float | None]:
    told = video if isinstance(video, dict) else {}
    start, stop = (told.get(name) for name in ("start_seconds", "stop_seconds"))
    return _number(start, float, int), _number(stop, float, int)


def _number(value: Any, *kinds: type) -> Any:
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
    try:
        fs, root = fsspec.core.url_to_fs(tracks)
        is_folder = fs.isdir(root)
        if not is_folder and not fs.exists(root):
            raise UsageError(
                f"--tracks: got {tracks}, which is not there; expected the output folder of "
                "`facetracks annotate` or a track file"
            )
        inputs = list(_inputs(tracks, complete)) if is_folder else []
    except (OSError, ValueError, ImportError, OutputError) as error:
        raise UsageError(f"--tracks: {tracks} cannot be read: {error}") from error
    if not is_folder:
        return tracks
    if not inputs:
        raise UsageError(
            f"--tracks: got the folder {tracks} without a videos table (videos/*.parquet); "
            "expected the output folder of `facetracks annotate`"
        )
    matches = [i for i in inputs if _same_place(i["uri"], video)]
    matches = matches or [i for i in inputs if _file_name(i["uri"]) == _file_name(video)]
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


def _inputs(output: str, complete: bool) -> Iterator[dict[str, Any]]:
    """The rows of the videos table of an output folder."""
    columns = ["video_id", "uri", "status", "message"]
    for table in OutputFolder(output).status_tables(
        [*columns, "reason", "segments_failed"] if complete else columns
    ):
        yield from (row for row in table.to_pylist() if row["uri"] and row["video_id"])


def _same_place(uri: str, video: str) -> bool:
    if uri == video:
        return True
    try:
        one, other = fsspec.core.url_to_fs(uri), fsspec.core.url_to_fs(video)
    except (ValueError, ImportError):
        return False
    return type(one[0]) is type(other[0]) and one[1] == other[1]


def _file_name(uri: str) -> str:
    return PurePosixPath(uri).name
