import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from segments import box_at, split_parts

from models.stabilization.stabilizers import PassThrough
from schemas.tracks import RAW_COLUMNS, TRACK_SCHEMA, TrackFormat
from transforms.storage.track_files import in_format, merge_track_parts, write_track_part
from transforms.track_assembler import TrackAssembler

COORDINATES = ("box_xyxy_px", "x", "y", "x_raw", "y_raw")


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """200 rows of a moving face, with spreads of all sizes."""
    frames = {pts: {0: box_at(5 + 1.37 * pts)} for pts in range(200)}
    (part,) = split_parts(frames, [])
    walk = TrackAssembler("clip.mp4", part.segment.metadata.time_base)
    rows = pa.concat_tables([walk.add(part, PassThrough), walk.skip()])
    spread = np.geomspace(0.01, 300, 200 * 68, dtype=np.float32)
    spread[:68] = np.nan
    place = TRACK_SCHEMA.get_field_index("spread_px")
    kind = TRACK_SCHEMA.field("spread_px").type
    lists = pa.FixedSizeListArray.from_arrays(pa.array(spread), type=kind)
    return rows.set_column(place, TRACK_SCHEMA.field("spread_px"), lists)


def flat(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].combine_chunks().flatten(), np.float64)


def test_coordinates_are_the_nearest_steps(table):
    kept = in_format(table, TrackFormat())
    assert kept.schema.equals(TRACK_SCHEMA)
    for name in COORDINATES:
        before, after = flat(table, name), flat(kept, name)
        assert (after * 64 == np.rint(before * 64)).all(), name
        assert np.abs(after - before).max() <= 1 / 128


def test_spread_is_kept_within_three_percent_whatever_its_size(table):
    before, after = flat(table, "spread_px"), flat(in_format(table, TrackFormat()), "spread_px")
    assert (np.isnan(before) == np.isnan(after)).all()
    assert np.nanmax(np.abs(after / before - 1)) <= 1 / 32
    assert len(np.unique(after[68:])) < 300


def test_ids_times_and_scores_stay_as_they_are(table):
    kept = in_format(table, TrackFormat())
    for name in ("video_id", "face_id", "frame_index", "pts", "pts_seconds", "score", "shot"):
        assert kept[name].equals(table[name]), name


def test_full_precision_changes_nothing(table):
    rows = table.slice(1)  # NaN, in the first, is not equal to itself
    assert in_format(rows, TrackFormat(full_precision=True)).equals(rows)


@pytest.mark.parametrize("full_precision", [False, True])
def test_files_without_raw_columns(table, tmp_path, full_precision):
    kept = TrackFormat(full_precision, raw=False)
    part, merged = str(tmp_path / "part.parquet"), str(tmp_path / "clip.parquet")
    write_track_part(part, table, kept)
    assert merge_track_parts(merged, (part,), {}, (0,), kept) == 200
    names = [name for name in TRACK_SCHEMA.names if name not in RAW_COLUMNS]
    assert pq.read_table(merged).column_names == names
    expected = in_format(table, TrackFormat(full_precision)).select(names)
    assert pq.read_table(merged).slice(1).equals(expected.slice(1))


def test_rounding_takes_much_of_a_file_and_the_raw_columns_another_part(table, tmp_path):
    sizes = []
    for kept in (TrackFormat(full_precision=True), TrackFormat(), TrackFormat(raw=False)):
        part, merged = str(tmp_path / "part.parquet"), str(tmp_path / "clip.parquet")
        write_track_part(part, table, kept)
        merge_track_parts(merged, (part,), {}, (0,), kept)
        group = pq.ParquetFile(merged).metadata.row_group(0)
        columns = (group.column(n) for n in range(group.num_columns))
        sizes.append(sum(column.total_compressed_size for column in columns))
    assert sizes[1] < 0.7 * sizes[0]
    assert sizes[2] < 0.7 * sizes[1]
