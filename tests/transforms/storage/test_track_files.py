import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from segments import box_at, split_parts

from models.stabilization.stabilizers import PassThrough
from schemas.tracks import ADDED_SINCE, SCHEMA_VERSION_KEY, TRACK_SCHEMA, TrackFormat
from transforms.storage.track_files import METADATA_KEY, merge_track_parts, write_track_part
from transforms.track_assembler import TrackAssembler

FRAMES = {pts: {0: box_at(5 + pts), **({1: box_at(80)} if pts >= 4 else {})} for pts in range(12)}


@pytest.fixture()
def parts(tmp_path):
    """A video of two faces in three parts: (urls, the same rows in one table)."""
    walk = TrackAssembler("clip.mp4", split_parts(FRAMES, [])[0].segment.metadata.time_base)
    tables = [walk.add(part, PassThrough) for part in split_parts(FRAMES, [4, 8])]
    urls = []
    for i, table in enumerate(tables):
        urls.append(str(tmp_path / f"part-{i}.parquet"))
        write_track_part(urls[-1], table, TrackFormat(full_precision=True))
    order = [("face_id", "ascending"), ("frame_index", "ascending")]
    return tuple(urls), pa.concat_tables(tables).sort_by(order)


def test_a_part_has_a_row_group_a_face(parts):
    file = pq.ParquetFile(parts[0][1])
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4]
    assert [set(file.read_row_group(i)["face_id"].to_pylist()) for i in range(2)] == [{0}, {1}]


def test_parts_are_merged_in_order_of_face_and_frame(parts, tmp_path):
    urls, expected = parts
    target = str(tmp_path / "tracks" / "clip.parquet")
    assert merge_track_parts(target, urls, {}, (0, 1), TrackFormat()) == 12 + 8
    got = pq.read_table(target)
    assert got.equals(expected.cast(got.schema))
    assert got.column("face_id").to_pylist() == [0] * 12 + [1] * 8
    assert got.column("frame_index").to_pylist() == [*range(12), *range(4, 12)]


def test_encodings_are_those_that_every_reader_knows(parts, tmp_path):
    """Spark 3.5 and fastparquet cannot read byte-stream-split and delta encodings of floats."""
    target = str(tmp_path / "clip.parquet")
    merge_track_parts(target, parts[0], {}, (0, 1), TrackFormat())
    group = pq.ParquetFile(target).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {c.compression for c in columns} == {"ZSTD"}
    encodings = {encoding for c in columns for encoding in c.encodings}
    assert encodings == {"PLAIN", "RLE", "RLE_DICTIONARY"}


def test_the_file_says_how_it_is_sorted_and_made(parts, tmp_path):
    target = str(tmp_path / "clip.parquet")
    merge_track_parts(
        target, parts[0], {"config_hash": "abc", "time_base": "1/25"}, (0, 1), TrackFormat()
    )
    file = pq.ParquetFile(target)
    places = [TRACK_SCHEMA.get_field_index(c) for c in ("face_id", "frame_index")]
    assert [s.column_index for s in file.metadata.row_group(0).sorting_columns] == places
    about = json.loads(file.schema_arrow.metadata[METADATA_KEY])
    assert about == {"config_hash": "abc", "time_base": "1/25"}
    assert file.schema_arrow.metadata[SCHEMA_VERSION_KEY] == b"2"
    assert file.schema_arrow.field("pts_seconds").metadata[b"unit"] == b"s"


def test_other_tools_read_the_columns(parts, tmp_path):
    target = str(tmp_path / "clip.parquet")
    merge_track_parts(target, parts[0], {}, (0, 1), TrackFormat())
    row = pq.read_table(target).to_pylist()[3]
    assert row["pts_seconds"] == pytest.approx(0.12)
    assert len(row["x"]) == len(row["y_raw"]) == 68
    assert row["box_xyxy_px"] == pytest.approx(box_at(8))
    assert row["x"][0] == pytest.approx(8 + 0.03)
    assert row["score"] == pytest.approx(0.75)
    assert row["box_source"] == "detected"


def test_a_video_without_rows_still_gives_a_readable_file(tmp_path):
    target = str(tmp_path / "clip.parquet")
    assert merge_track_parts(target, (), {"a": 1}, (), TrackFormat()) == 0
    table = pq.read_table(target)
    assert table.num_rows == 0
    assert table.schema.equals(TRACK_SCHEMA)


def test_many_rows_come_in_groups_of_bounded_size(tmp_path):
    """40 faces of 1,000 rows: several groups, none of them tiny."""
    urls = []
    for part in range(2):
        rows = 20 * 500
        table = pa.table(
            {
                "video_id": ["v"] * rows,
                "face_id": np.repeat(np.arange(20, dtype=np.int32), 500),
                "frame_index": np.tile(np.arange(500) + 500 * part, 20),
                "pts": np.zeros(rows, np.int64),
                "pts_seconds": np.zeros(rows),
                "box_xyxy_px": _fixed(rows, 4),
                "box_source": ["given"] * rows,
                "score": np.ones(rows, np.float32),
                **{name: _fixed(rows, 68) for name in ("x", "y", "x_raw", "y_raw", "spread_px")},
                **{name: pa.nulls(rows, TRACK_SCHEMA.field(name).type) for name in ADDED_SINCE},
            },
            schema=TRACK_SCHEMA,
        )
        urls.append(str(tmp_path / f"{part}.parquet"))
        write_track_part(urls[-1], table, TrackFormat())
    target = str(tmp_path / "all.parquet")
    assert merge_track_parts(target, tuple(urls), {}, tuple(range(20)), TrackFormat()) == 20_000
    meta = pq.ParquetFile(target).metadata
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [16_500, 3_500]
    got = pq.read_table(target, columns=["face_id", "frame_index"])
    assert got["face_id"].to_pylist() == sorted(got["face_id"].to_pylist())
    assert got["frame_index"].to_pylist() == [*range(1000)] * 20


def _fixed(rows: int, width: int) -> pa.Array:
    flat = pa.array(np.zeros(rows * width, np.float32))
    kind = TRACK_SCHEMA.field("x" if width == 68 else "box_xyxy_px").type
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)
