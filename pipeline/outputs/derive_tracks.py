"""Measures of tracks: openings, movements and visibility of every row, and blinks.

    OUTPUT/derived/blinks/{stem}.parquet     a video's blinks
    OUTPUT/derived/rows/{stem}.parquet       a row for each of its tracks; written last

A video is done when both are there and were made of the track file that is there now. Track files
are read a row group at a time; of each row only its few measures are kept, not its landmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.face_box import face_size_px
from models.landmarks.blinks import find_blinks
from models.landmarks.face_measures import (
    NEIGHBOUR_SECONDS,
    eye_openings,
    mouth_opening,
    rate_of_change,
    turn_rate_deg,
    visible_share,
)
from models.landmarks.head_pose import head_pose
from pipeline.arrow_tables import landmark_rows, list_rows, write_parquet
from schemas.derived import BLINK_SCHEMA, DERIVED_SCHEMA, DERIVED_SCHEMA_VERSION
from schemas.errors import OutputError
from schemas.landmarks import LANDMARK_COUNT
from schemas.tracks import RAW_COLUMNS, SCHEMA_VERSION_KEY
from transforms.storage.atomic_files import Folder
from transforms.storage.compacted_tables import CompactedVideo
from transforms.storage.output_tables import OutputFolder, TrackSource
from transforms.storage.source_files import fingerprint, look_up
from transforms.storage.table_reading import open_parquet, read_parquet

_SOURCE_KEY: Final = b"facetracks.derived_from"
_KEYS: Final = ("video_id", "face_id", "frame_index", "pts", "pts_seconds")
_READ: Final = (*_KEYS, "box_xyxy_px", "x", "y", "x_raw", "y_raw", "spread_px")
#: Nose and eyes, which expressions hardly move.
_RIGID: Final = slice(27, 48)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DerivedVideo:
    """What was derived of a video.

    Attributes:
        name: of its files, without .parquet; the video_id where that is a plain name.
        rows: rows written, as many as its tracks have.
        blinks: blinks found.
        done_before: whether it was all there already; rows and blinks are 0 then.
    """

    name: str
    rows: int
    blinks: int
    done_before: bool = False


def derive_tracks(
    output: str | Path,
    video_ids: Iterable[str] | None = None,
    *,
    overwrite: bool = False,
    on_progress: Callable[[DerivedVideo, int], object] | None = None,
) -> list[DerivedVideo]:
    """Derives measures of every row of the tracks, and blinks, in tables beside them.

        derive_tracks("out")
        blinks = pyarrow.parquet.read_table("out/derived/blinks")

    docs/derived.md defines the columns. What is there already stays, unless its tracks are others
    now; an interrupted call resumes where it stopped.

    Args:
        output: the output location of a run, a path or any fsspec URL.
        video_ids: only these videos; None is all that have tracks.
        overwrite: do everything again.
        on_progress: called with each video when it is done, and how many there are.

    Returns: what was derived of each video.

    Raises:
        OutputError: there are no tracks, none of a video that was asked for, or a file cannot be
            read or written.
    """
    folder = OutputFolder(output)
    files: Iterable[TrackSource]
    if video_ids is None:
        compacted = bool(folder.compacted.names())
        known = folder.count_videos() if compacted else len(folder.tracks.stems())
        files = folder.all_tracks()
        folder.require_tracks()
    else:
        files = [folder.stored_tracks(video_id) for video_id in dict.fromkeys(video_ids)]
        known = len(files)
    derived = []
    for file in files:
        video = _derive_video(folder, file, overwrite)
        derived.append(video)
        if on_progress is not None:
            on_progress(video, known)
    return derived


def _derive_video(folder: OutputFolder, tracks: TrackSource, overwrite: bool) -> DerivedVideo:
    try:
        if not tracks.exists():
            raise OutputError(f"{tracks}: no such file; the video has no tracks there")
        if isinstance(tracks, CompactedVideo):
            stem, status = str(tracks.row["stem"]), tracks.row
            source = status["track_fingerprint"].encode()
        else:
            stem = tracks.stem
            status = _status_row(folder.videos.table(stem))
            source = fingerprint(look_up(str(tracks))[2]).encode()
        places = [(folder.derived / kind).table(stem) for kind in ("blinks", "rows")]
        if not overwrite and all(_is_made_of(place, source) for place in places):
            return DerivedVideo(stem, 0, 0, done_before=True)
        size_px, pixel_aspect = _frame_shape(status)
        with tracks.open() as content:
            parquet = open_parquet(content)
            if missing := set(RAW_COLUMNS) - set(parquet.schema_arrow.names):
                raise OutputError(
                    f"{tracks}: has no {' and '.join(sorted(missing))}, which openings and blinks "
                    "are measured on; annotate without --no-raw"
                )
            groups = (
                parquet.read_row_group(i, list(_READ), use_threads=False)
                for i in range(parquet.metadata.num_row_groups)
            )
            measured = [_measured(table, size_px, pixel_aspect) for table in groups]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise OutputError(f"{tracks}: cannot be read as a track file: {error}") from error
    rows, blinks = _derived(measured)
    for place, table in zip(places, (blinks, rows), strict=True):
        about = {**(table.schema.metadata or {}), _SOURCE_KEY: source}
        write_parquet(str(place), table.replace_schema_metadata(about))
    return DerivedVideo(stem, rows.num_rows, blinks.num_rows)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What is kept of some rows: their keys, and what needs no other row."""

    keys: pa.Table
    eyes: Array  # (N, 2)
    mouth: Array  # (N,)
    middle: Array  # (N, 2) px
    size_px: Array  # (N,)
    pose_deg: Array  # (N, 3)
    visibility: Array  # (N,)


def _measured(
    table: pa.Table, frame_size_px: tuple[int, int] | None, pixel_aspect: float
) -> _Measured:
    raw, steady = landmark_rows(table, "_raw"), landmark_rows(table)
    boxes = list_rows(table, "box_xyxy_px", 4)
    spread = list_rows(table, "spread_px", LANDMARK_COUNT)
    visibility = visible_share(raw, spread, boxes, frame_size_px)
    square = np.array([pixel_aspect, 1.0])
    return _Measured(
        table.select(list(_KEYS)),
        eye_openings(raw * square),
        mouth_opening(raw * square),
        (steady * square)[:, _RIGID].mean(1),
        face_size_px(steady * square),
        head_pose(steady, pixel_aspect),
        visibility,
    )


def _derived(measured: list[_Measured]) -> tuple[pa.Table, pa.Table]:
    """The rows and the blinks of a video."""
    if not measured:
        return DERIVED_SCHEMA.empty_table(), BLINK_SCHEMA.empty_table()

    def joined(name: str) -> Array:
        return np.concatenate([getattr(part, name) for part in measured])

    keys = pa.concat_tables([part.keys for part in measured])
    seconds, face = keys["pts_seconds"].to_numpy(), keys["face_id"].to_numpy()
    eyes, mouth, size_px = joined("eyes"), joined("mouth"), joined("size_px")
    shift_px = rate_of_change(joined("middle"), seconds, face)
    measures = {
        "right_eye_opening": eyes[:, 0],
        "left_eye_opening": eyes[:, 1],
        "mouth_opening": mouth,
        "mouth_movement": rate_of_change(mouth[:, None], seconds, face),
        "head_turn_deg_s": turn_rate_deg(joined("pose_deg"), seconds, face),
        "head_shift_s": np.divide(
            shift_px, size_px, out=np.full_like(shift_px, np.nan), where=size_px > 0
        ),
        "visibility": joined("visibility"),
    }
    columns = {name: keys[name] for name in _KEYS} | {
        name: values.astype(np.float32) for name, values in measures.items()
    }
    return pa.table(columns, schema=DERIVED_SCHEMA), _blinks(keys, seconds, face, eyes.mean(1))


def _blinks(
    keys: pa.Table, seconds: Array, face: npt.NDArray[np.int32], opening: Array
) -> pa.Table:
    breaks = np.flatnonzero((np.diff(face) != 0) | (np.diff(seconds) > NEIGHBOUR_SECONDS)) + 1
    pts, found = keys["pts"].to_numpy(), []
    for start, stop in zip([0, *breaks.tolist()], [*breaks.tolist(), len(face)], strict=True):
        for blink in find_blinks(opening[start:stop], seconds[start:stop]):
            first, end, lowest = (start + n for n in (blink.start, blink.stop, blink.lowest))
            found.append(
                {
                    "video_id": keys["video_id"][first].as_py(),
                    "face_id": int(face[first]),
                    "start_pts": int(pts[first]),
                    "stop_pts": int(pts[end]),
                    "start_seconds": float(seconds[first]),
                    "stop_seconds": float(seconds[end]),
                    "lowest_seconds": float(seconds[lowest]),
                    "depth": blink.depth,
                }
            )
    return pa.Table.from_pylist(found, schema=BLINK_SCHEMA)


def _status_row(file: Folder) -> dict[str, Any]:
    """What the status row says of the frames; None of each if there is no row."""
    columns = ["width", "height", "sample_aspect_ratio"]
    if not file.exists():
        return dict.fromkeys(columns)
    row: dict[str, Any]
    (row,) = read_parquet(pa.BufferReader(file.read_bytes()), columns).to_pylist()
    return row


def _frame_shape(status: Mapping[str, Any]) -> tuple[tuple[int, int] | None, float]:
    """The size of the frames in pixels, if known, and the width of a pixel over its height."""
    size_px = status["width"], status["height"]
    width, _, height = (status["sample_aspect_ratio"] or "1:1").partition(":")
    return size_px if all(size_px) else None, float(Fraction(int(width), int(height)))


def _is_made_of(place: Folder, source: bytes) -> bool:
    if not place.exists():
        return False
    metadata = open_parquet(pa.BufferReader(place.read_bytes())).schema_arrow.metadata or {}
    version = str(DERIVED_SCHEMA_VERSION).encode()
    return metadata.get(_SOURCE_KEY) == source and metadata.get(SCHEMA_VERSION_KEY) == version
