"""Quality figures of tracks, with hand-computed values."""

import numpy as np
import pyarrow as pa
import pytest

from models.face_box import face_size_px
from pipeline.reports.histograms import Histogram
from pipeline.reports.track_quality import VideoQuality
from schemas.tracks import TRACK_SCHEMA

FACE = np.stack([np.linspace(0, 40, 68), np.linspace(0, 60, 68) % 17], axis=-1)


def rows(face_id: int, shifts: dict[int, float], spread: float = 0.5, **more) -> pa.Table:
    """A face whose landmarks are shifted to the right by the given px at each frame_index."""
    count = len(shifts)
    x = [FACE[:, 0] + shift for shift in shifts.values()]
    y = [FACE[:, 1]] * count
    columns = {
        "face_id": [face_id] * count,
        "frame_index": list(shifts),
        "pts": [10 * index for index in shifts],
        "pts_seconds": [index / 25 for index in shifts],
        "box_xyxy_px": [[0.0, 0.0, 40.0, 20.0]] * count,
        "score": [0.5] * count,
        "x": x, "y": y,
        "spread_px": [[spread] * 68] * count,
    }  # fmt: skip
    schema = pa.schema([TRACK_SCHEMA.field(name) for name in columns])
    table = pa.table({n: pa.array(v, schema.field(n).type) for n, v in columns.items()})
    for name, values in more.items():
        table = table.append_column(name, pa.array(values, pa.float32()))
    return table


def test_jitter_is_how_much_steps_change_in_percent_of_the_face():
    quality = VideoQuality()
    size = float(face_size_px(FACE))
    quality.add(rows(0, {0: 0, 1: 1, 2: 2, 3: 3, 4: 6}))  # steady, then 2 px more
    assert quality.faces[0].mean("jitter") == pytest.approx(100 * 2 / size / 3, rel=1e-4)
    assert quality.faces[0].worst["jitter"].pts == 30
    assert quality.faces[0].mean("spread") == pytest.approx(100 * 0.5 / size, rel=1e-4)
    assert quality.mean("jitter") == pytest.approx(100 * 2 / size / 3, rel=1e-4)


def test_frames_that_do_not_follow_on_each_other_have_no_jitter():
    quality = VideoQuality()
    quality.add(rows(3, {0: 0, 1: 0, 8: 9, 9: 9}))
    assert np.isnan(quality.faces[3].mean("jitter"))
    assert np.isnan(quality.mean("jitter"))
    assert quality.faces[3].rows == 4


def test_faces_and_pieces_of_a_file_add_up():
    quality = VideoQuality()
    quality.add(pa.concat_tables([rows(0, {0: 0, 1: 0, 2: 0}), rows(1, {0: 0, 1: 5, 2: 0})]))
    quality.add(rows(1, {3: 0, 4: 0, 5: 0}, spread=2.0))
    assert {face: q.rows for face, q in quality.faces.items()} == {0: 3, 1: 6}
    assert quality.faces[0].mean("jitter") == 0
    assert quality.faces[1].worst["jitter"].pts == 10
    assert quality.faces[1].worst["spread"].pts == 30
    assert (quality.rows, quality.scores) == (9, 4.5)
    assert len(quality.add(rows(2, {})).size_px) == 0


def test_columns_of_later_versions_count_where_they_are_there():
    figures = VideoQuality().add(rows(0, {0: 0, 1: 0}, blur=[0.25, np.nan], yaw_deg=[-30.0, 5.0]))
    assert sorted(figures.scalars) == ["blur", "score", "yaw_deg"]
    assert figures.scalars["yaw_deg"].tolist() == [-30, 5]


def test_spreads_that_are_not_told():
    quality = VideoQuality()
    figures = quality.add(rows(0, {0: 0, 1: 0, 2: 0}, spread=np.nan))
    assert np.isnan(figures.spread_percent).all()
    assert np.isnan(quality.mean("spread"))
    assert "spread" not in quality.faces[0].worst


def test_a_histogram_by_hand():
    histogram = Histogram("score", "", [0.0, 0.5, 1.0])
    histogram.add(np.array([[-1.0, 0.0, 0.49], [0.5, 1.0, 7.0]]))
    histogram.add(np.array([np.nan, np.inf]))
    assert histogram.counts.tolist() == [3, 3]
    assert (histogram.total, histogram.missing) == (6, 2)
