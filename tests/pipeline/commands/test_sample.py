import sys
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.landmarks.evaluation.face_errors import stability_percent
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import pose_at
from pipeline.commands.sample import compare_with_truth, write_sample
from pipeline.videos.track_file import read_track_file
from schemas.errors import UsageError
from schemas.tracks import TRACK_SCHEMA


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "clip.mp4"
    write_sample(path, seconds=0.4, size_px=128)
    return path


def decoded(path: Path) -> list[tuple[int, np.ndarray]]:
    with av.open(path) as container:
        return [(f.pts, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(name), column)


def moved(table: pa.Table, name: str, by: float) -> pa.Table:
    values = table[name].combine_chunks().flatten().to_numpy() + np.float32(by)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values), 68)
    return replaced(table, name, lists.cast(table.schema.field(name).type))


def test_truth_is_a_track_of_every_frame(clip: Path) -> None:
    table = pq.read_table(clip.with_name("clip.truth.parquet"))
    assert table.schema.equals(TRACK_SCHEMA)
    assert table.schema.metadata[b"time_base"] == b"1/12800"
    assert table["pts"].to_pylist() == [pts for pts, _ in decoded(clip)]
    assert table["pts_seconds"].to_pylist() == pytest.approx([i / 25 for i in range(10)])
    assert table["frame_index"].to_pylist() == list(range(10))
    assert set(table["video_id"].to_pylist()) == {"clip.mp4"}
    assert set(table["box_source"].to_pylist()) == {"given"}
    assert table["x"].equals(table["x_raw"])
    pose = pose_at(9 / 25)
    last = table.slice(9).to_pylist()[0]
    assert last["yaw_deg"] == pytest.approx(pose.yaw_deg, abs=1e-5)
    assert last["pitch_deg"] == pytest.approx(pose.pitch_deg, abs=1e-5)
    assert last["roll_deg"] == pytest.approx(pose.roll_deg + pose.camera_roll_deg, abs=1e-5)
    assert (last["blur"], last["cut_off"], last["shot"]) == (None, 0.0, 0)
    assert sorted(p.name for p in clip.parent.iterdir()) == ["clip.mp4", "clip.truth.parquet"]


def test_clip_shows_the_animation_where_the_truth_says(clip: Path) -> None:
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    truth = read_track_file(str(clip.with_name("clip.truth.parquet")))
    for index in (0, 9):
        pose = pose_at(index / 25)
        np.testing.assert_allclose(
            truth.landmarks_px[index], animation.landmarks(pose, 128), atol=1e-4
        )
        shown = decoded(clip)[index][1].mean(-1)  # half the colour resolution is lost
        assert np.abs(shown - animation.render(pose, 128).mean(-1)).mean() < 3


def test_same_command_same_bytes(clip: Path, tmp_path: Path) -> None:
    again = tmp_path / "clip.mp4"
    truth = write_sample(again, seconds=0.4, size_px=128)
    assert again.read_bytes() == clip.read_bytes()
    assert pq.read_table(truth).equals(pq.read_table(clip.with_name("clip.truth.parquet")))


@pytest.mark.parametrize(
    ("name", "seconds", "size_px", "message"),
    [
        ("clip.avi", 1.0, 128, r"got 'clip.avi' .* expected a name that ends in .mp4"),
        ("clip.mp4", 1.0, 127, "got a size of 127 px"),
        ("clip.mp4", 0.01, 128, "got 0.01 seconds"),
    ],
)
def test_what_makes_no_clip(
    tmp_path: Path, name: str, seconds: float, size_px: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_sample(tmp_path / name, seconds=seconds, size_px=size_px)
    assert not list(tmp_path.iterdir())


def test_without_scikit_image_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(UsageError, match=r"facetracks\[demo\]"):
        load_astronaut()


def test_comparison_by_hand(clip: Path, tmp_path: Path) -> None:
    """Raw landmarks 3 px right of and 4 px below the truth, in 6 of 10 frames."""
    truth = clip.with_name("clip.truth.parquet")
    table = moved(moved(pq.read_table(truth), "x_raw", 3.0), "y_raw", 4.0)
    tracks = tmp_path / "tracks.parquet"
    pq.write_table(table.slice(2, 6), tracks)
    raw, stabilized = compare_with_truth(tracks, truth)
    points = read_track_file(str(truth)).landmarks_px[2:8]
    interocular = np.hypot(*(points[:, 36] - points[:, 45]).T)
    errors = raw.percent("interocular")
    assert np.isinf(errors[[0, 1, 8, 9]]).all()
    assert errors[2:8] == pytest.approx(500 / interocular, rel=1e-4)
    assert not stabilized.percent("interocular")[2:8].any()
    assert stability_percent(raw)[68] == pytest.approx(0, abs=1e-4)


def test_comparison_takes_the_nearer_of_two_faces(clip: Path, tmp_path: Path) -> None:
    truth = clip.with_name("clip.truth.parquet")
    table = pq.read_table(truth)
    near, far = moved(table, "x", 1.0), moved(table, "x", 60.0)
    far = replaced(far, "face_id", pa.array(np.full(10, 1, np.int32)))
    near = replaced(near, "face_id", pa.array(np.full(10, 2, np.int32)))
    tracks = tmp_path / "tracks.parquet"
    pq.write_table(pa.concat_tables([far, near]), tracks)
    _, stabilized = compare_with_truth(tracks, truth)
    errors = stabilized.percent("interocular")
    assert (errors > 0).all()
    assert (errors < 10).all()


def test_jitter_shows_in_stability(clip: Path, tmp_path: Path) -> None:
    truth = clip.with_name("clip.truth.parquet")
    table = pq.read_table(truth)
    shaken = pa.concat_tables(
        [moved(table.slice(i, 1), "y", 0.5 * (-1) ** i) for i in range(len(table))]
    )
    tracks = tmp_path / "tracks.parquet"
    pq.write_table(shaken, tracks)
    raw, stabilized = compare_with_truth(tracks, truth)
    # Every landmark is off by 0.5 px, and the error changes by 1 px from frame to frame.
    error = stabilized.percent("interocular").mean()
    assert stability_percent(stabilized)[68] == pytest.approx(2 * error, rel=0.02)
    assert stability_percent(raw)[68] == 0


def test_comparison_with_tracks_of_something_else(clip: Path, tmp_path: Path) -> None:
    truth = clip.with_name("clip.truth.parquet")
    table = pq.read_table(truth)
    tracks = tmp_path / "tracks.parquet"
    pq.write_table(replaced(table, "pts", pa.array(np.arange(10) + 7)), tracks)
    with pytest.raises(UsageError, match="got 10 frames with faces, none of them among"):
        compare_with_truth(tracks, truth)
