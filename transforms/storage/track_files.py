"""Track files: parts with one row group a face, merged into one sorted file a video.

Numbers are rounded, which halves the size of files, with errors too small to see.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tracks import COORDINATE_STEPS, RAW_COLUMNS, TRACK_SCHEMA, TrackFormat
from transforms.storage.atomic_files import Folder, atomic_file
from transforms.storage.table_reading import open_parquet

#: Key of the JSON provenance in a file's Parquet metadata.
METADATA_KEY: Final = b"facetracks"

_ROWS_A_GROUP: Final = 16_384
#: Encodings that all current readers support. Spark 3.5 and fastparquet do not read
#: byte-stream-split.
_PLAIN_OPTIONS: Final[dict[str, Any]] = {
    "compression": "zstd",
    "use_dictionary": ["video_id", "box_source"],
    "write_statistics": True,
}
#: Rounded `spread_px` has few values, so it gets a dictionary. From level 14 on, zstd finds the
#: two bytes that a rounded coordinate shares with that of the previous frame; 32 KiB pages take a
#: third of the time of 1 MiB pages. Level 16 gains more on stabilized coordinates than on raw ones.
_ROUNDED_OPTIONS: Final[dict[str, Any]] = {
    **_PLAIN_OPTIONS,
    "compression_level": {
        **{f"{name}.list.element": 16 for name in ("x", "y", "spread_px")},
        **{f"{name}.list.element": 14 for name in RAW_COLUMNS},
    },
    "data_page_size": 32 << 10,
    "write_batch_size": 64,
    "use_dictionary": ["video_id", "box_source", "spread_px.list.element"],
}
#: Parts are temporary.
_PART_OPTIONS: Final[dict[str, Any]] = {**_PLAIN_OPTIONS, "write_statistics": ["face_id"]}
#: Columns that are rounded to multiples of 1/n.
_STEPS: Final = {
    **dict.fromkeys(("box_xyxy_px", "x", "y", "x_raw", "y_raw"), COORDINATE_STEPS),
    **dict.fromkeys(("yaw_deg", "pitch_deg", "roll_deg"), 64),
    **dict.fromkeys(("blur", "cut_off"), 1024),
}
#: Binary digits of a spread, which is an estimate: 16 steps per octave are 3 %.
_SPREAD_DIGITS: Final = 5

_Floats: TypeAlias = npt.NDArray[np.float32]


def track_write_options(kept: TrackFormat) -> dict[str, Any]:
    """How pyarrow's ParquetWriter writes tracks of this format."""
    return dict(_PLAIN_OPTIONS if kept.full_precision else _ROUNDED_OPTIONS)


def write_track_part(url: str, table: pa.Table, kept: TrackFormat) -> int:
    """Writes rows of TRACK_SCHEMA, sorted by face_id, as one row group a face.

    Returns: the file's bytes.
    """
    table = in_format(table, kept)
    faces = table["face_id"].to_numpy()
    starts = [i for i in range(len(faces)) if i == 0 or faces[i] != faces[i - 1]]
    with atomic_file(url) as path:
        with path.open("wb") as file, pq.ParquetWriter(file, table.schema, **_PART_OPTIONS) as out:
            for start, stop in zip(starts, [*starts[1:], len(faces)], strict=True):
                out.write_table(table.slice(start, stop - start), row_group_size=stop - start)
        return path.stat().st_size


def merge_track_parts(
    url: str,
    part_urls: tuple[str, ...],
    metadata: Mapping[str, Any],
    face_ids: tuple[int, ...],
    kept: TrackFormat,
) -> int:
    """Writes a video's track file, sorted by face_id, then frame_index; returns its rows.

    Only the faces of `face_ids` are kept, numbered anew from 0 in that order. Reads one row group
    at a time: memory depends on neither length nor faces.
    """
    about = {METADATA_KEY: json.dumps(dict(metadata)).encode()}
    columns = kept.schema
    schema = columns.with_metadata({**columns.metadata, **about})
    order = [pq.SortingColumn(TRACK_SCHEMA.get_field_index(c)) for c in ("face_id", "frame_index")]
    rows = 0
    with (
        atomic_file(url) as path,
        path.open("wb") as file,  # Arrow accepts only paths in UTF-8
        pq.ParquetWriter(file, schema, sorting_columns=order, **track_write_options(kept)) as out,
    ):
        waiting: list[pa.Table] = []
        for table in _row_groups_by_face(part_urls, face_ids):
            rows += table.num_rows
            waiting.append(table)
            if sum(t.num_rows for t in waiting) >= _ROWS_A_GROUP:
                out.write_table(pa.concat_tables(waiting).cast(schema))
                waiting = []
        if waiting:
            out.write_table(pa.concat_tables(waiting).cast(schema))
    return rows


def _row_groups_by_face(
    part_urls: tuple[str, ...], face_ids: tuple[int, ...]
) -> Iterator[pa.Table]:
    new_ids = {old: new for new, old in enumerate(face_ids)}
    column = TRACK_SCHEMA.get_field_index("face_id")
    places = []
    for number, url in enumerate(part_urls):
        with Folder(url).open() as file:
            meta = open_parquet(file).metadata
        for group in range(meta.num_row_groups):
            face_id = meta.row_group(group).column(column).statistics.min
            if face_id in new_ids:
                places.append((face_id, number, group))
    for face_id, number, group in sorted(places):
        with Folder(part_urls[number]).open() as file:
            table = open_parquet(file).read_row_group(group, use_threads=False)
        ids = pa.array([new_ids[face_id]] * table.num_rows, pa.int32())
        yield table.set_column(column, TRACK_SCHEMA.field(column), ids)


def in_format(table: pa.Table, kept: TrackFormat) -> pa.Table:
    """Rows of TRACK_SCHEMA in the columns and precision of this format.

    Rounds to the nearest step, ties to even. NaN stays NaN.
    """
    if not kept.full_precision:
        table = _mapped(table, "spread_px", _in_digits)
        for name, steps in _STEPS.items():
            table = _mapped(table, name, lambda v, n=steps: _in_steps(v, n))
    return table.select(kept.schema.names).cast(kept.schema)


def _in_steps(values: _Floats, steps: int) -> _Floats:
    """Rounded to multiples of 1/steps, a power of two: both operations are exact."""
    return np.asarray(np.rint(values * np.float32(steps)) / np.float32(steps), np.float32)


def _in_digits(values: _Floats) -> _Floats:
    """Rounded to `_SPREAD_DIGITS` significant binary digits."""
    fraction, exponent = np.frexp(values)
    scale = np.float32(1 << _SPREAD_DIGITS)
    return np.ldexp(np.rint(fraction * scale) / scale, exponent).astype(np.float32)


def _mapped(table: pa.Table, name: str, rounded: Any) -> pa.Table:
    """The table with one column of numbers, or lists of them, rounded."""
    place = table.schema.get_field_index(name)
    column = table.column(place).combine_chunks()
    lists = pa.types.is_fixed_size_list(column.type)
    numbers = column.flatten() if lists else column
    values = pa.array(rounded(numbers.to_numpy(zero_copy_only=False)), pa.float32())
    if lists:
        values = pa.FixedSizeListArray.from_arrays(values, type=column.type)
    return table.set_column(place, table.schema.field(place), values)
