import numpy as np
import polars
import pyarrow as pa
import pytest
from segments import box_at, split_parts

from schemas.errors import OutputError
from schemas.records import Video
from schemas.tracks import ADDED_SINCE, TRACK_SCHEMA
from schemas.videos import VIDEO_SCHEMA
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.output_tables import OutputFolder, read_tracks, read_videos
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import write_video

NAMES = ("b.mp4", "a/with space.mp4", "c.mp4")


@pytest.fixture(scope="module", params=["disk", "memory"])
def output(request, tmp_path_factory) -> str:
    """Three videos, each of 3, 4 and 5 frames of one face."""
    url = str(tmp_path_factory.mktemp("out"))
    url = "memory://test-output-tables/out" if request.param == "memory" else url
    run_output = RunOutput(url, {"stabilizer": "none"})
    for frames, name in enumerate(NAMES, start=3):
        boxes = {pts: {0: box_at(pts)} for pts in range(frames)}
        parts = split_parts(boxes, [], video=Video(name, f"/in/{name}"))
        saved = [save_part(run_output.staging(parts[0].segment.video), part) for part in parts]
        write_video(stabilize_segments(saved, run_output, "none"), run_output)
    return url


def test_the_videos_table(output):
    table = read_videos(output)
    assert table.schema.equals(VIDEO_SCHEMA)
    counts = dict(zip(table["video_id"].to_pylist(), table["face_frames"].to_pylist(), strict=True))
    assert counts == {"b.mp4": 3, "a/with space.mp4": 4, "c.mp4": 5}


def test_the_tracks_of_all_videos_of_some_and_by_columns(output):
    table = read_tracks(output)
    assert table.schema.equals(TRACK_SCHEMA)
    assert table.num_rows == 12
    some = read_tracks(output, ["c.mp4", "a/with space.mp4"], ["video_id", "x"])
    assert some.schema.names == ["video_id", "x"]
    assert some["video_id"].to_pylist() == ["c.mp4"] * 5 + ["a/with space.mp4"] * 4
    assert np.stack(some["x"].to_numpy()).shape == (9, 68)
    assert read_tracks(output, [], ["pts"]).schema.names == ["pts"]
    assert read_tracks(output, "c.mp4").equals(read_tracks(output, ["c.mp4"]))


def test_tables_become_data_frames(output):
    counts = dict(zip(NAMES, (3, 4, 5), strict=True))
    frame = read_tracks(output).to_pandas()
    assert list(frame.columns) == TRACK_SCHEMA.names
    assert frame.groupby("video_id").size().to_dict() == counts
    frame = polars.from_arrow(read_tracks(output))
    assert frame.columns == TRACK_SCHEMA.names
    assert dict(frame.group_by("video_id").len().iter_rows()) == counts


def test_a_table_goes_by_in_pieces(output):
    tables = list(OutputFolder(output).status_tables(["video_id"]))
    assert [len(table) for table in tables] == [1, 1, 1]
    assert {table["video_id"][0].as_py() for table in tables} == set(NAMES)


@pytest.mark.parametrize("read", [read_videos, read_tracks])
def test_a_folder_without_tables(tmp_path, read):
    with pytest.raises(OutputError, match=r"got no (videos|tracks)/\*.parquet, expected the out"):
        read(tmp_path)


def test_what_is_not_there_or_no_table(tmp_path, output):
    with pytest.raises(OutputError, match=r"z\.mp4\.parquet: no such file"):
        read_tracks(output, ["z.mp4"])
    with pytest.raises(OutputError, match="columns: got z, expected video_id, face_id"):
        read_tracks(output, columns=["z"])
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.parquet").write_text("text")
    with pytest.raises(OutputError, match=r"a\.parquet: cannot be read as a table of annotate"):
        read_videos(tmp_path)


def test_a_file_of_version_1_has_nothing_in_the_columns_that_came_since(output, tmp_path):
    (tmp_path / "tracks").mkdir()
    table = read_tracks(output, ["c.mp4"])
    older = table.drop_columns(list(ADDED_SINCE))
    pa.parquet.write_table(older, tmp_path / "tracks" / "c.mp4.parquet")
    got = read_tracks(tmp_path)
    assert got.schema.equals(TRACK_SCHEMA)
    assert got.select(older.schema.names).equals(older)
    for name in ADDED_SINCE:
        assert got[name].null_count == 5
        assert table[name].null_count == 0
    assert read_tracks(tmp_path, columns=["shot", "pts"])["shot"].null_count == 5
    assert len(read_tracks(tmp_path, columns=["shot"])) == 5


def test_tables_of_other_programs_need_our_columns(tmp_path):
    (tmp_path / "tracks").mkdir()
    pa.parquet.write_table(pa.table({"x": [1]}), tmp_path / "tracks" / "a.parquet")
    with pytest.raises(OutputError, match="missing video_id"):
        read_tracks(tmp_path)
