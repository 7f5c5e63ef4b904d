"""Probe, derive, export, report, crop, redact and forget on two real clips."""

import shutil
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

import facetracks
from models.detection.face_detector import load_face_detector
from schemas.choices import EXPORT_FORMATS

CLIPS = ("spectre__PbgB2TaYhio_00007.mp4", "lipnet_grid__bbaf2n.mpg")

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> list[Path]:
    return [shared_data / "videos" / name for name in CLIPS]


@pytest.fixture(scope="module")
def out(clips: list[Path], tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("real") / "out"
    summary = facetracks.annotate(clips, output, facetracks.AnnotateSettings(workers=1))
    assert summary.statuses == {"ok": 2}
    return output


def test_what_is_told_before_agrees_with_what_was_found(clips, out):
    told = facetracks.probe(clips).videos.to_pandas()
    found = facetracks.read_videos(out).to_pandas().set_index("video_id")
    assert sorted(told.video_id) == sorted(CLIPS)
    for row in told.itertuples():
        assert (row.codec, row.width) == tuple(found.loc[row.video_id, ["codec", "width"]])


def test_derived_tables_have_a_row_for_each_row(out):
    rows = facetracks.read_tracks(out).to_pandas()
    derived = facetracks.derive_tracks(out)
    assert sum(video.rows for video in derived) == len(rows) == 110
    table = pq.read_table(out / "derived" / "rows").to_pandas()
    assert table.mouth_opening.between(0, 1.5).all()
    assert table.left_eye_opening.between(0, 0.6).all()


@pytest.mark.parametrize("tool", EXPORT_FORMATS)
def test_every_format_takes_every_row(out, tmp_path, tool):
    written = facetracks.export_tracks(str(out), str(tmp_path / tool), tool)
    assert written.videos == 2
    assert written.rows == facetracks.read_tracks(out).num_rows


def test_the_report_is_one_file_that_names_every_clip(out, tmp_path):
    facetracks.report(out, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in CLIPS)
    assert 'src="http' not in page and 'href="http' not in page


def test_a_face_is_cropped_and_hidden(clips, out, tmp_path):
    clip = clips[0]
    tracks = facetracks.read_track_file(out / "tracks" / f"{clip.name}.parquet")
    cropped = facetracks.crop(str(clip), tracks, str(tmp_path / "crops"))
    assert cropped.crops >= 1 and Path(cropped.table).exists()

    facetracks.redact(str(clip), tracks, tmp_path / "hidden.mp4")
    with_rows = set(facetracks.read_tracks(out, [clip.name]).to_pandas().pts)
    detector = load_face_detector()
    frames = 0
    with av.open(tmp_path / "hidden.mp4") as hidden, av.open(clip) as plain:
        assert len(hidden.streams.audio) == len(plain.streams.audio)
        pairs = zip(hidden.decode(video=0), plain.decode(video=0), strict=True)
        for index, (frame, before) in enumerate(pairs):
            if before.pts in with_rows and index % 10 == 0:
                frames += 1
                assert len(detector.detect(frame.to_ndarray(format="rgb24")).scores) == 0
    assert frames >= 3


def test_forgetting_leaves_nothing_of_a_clip(out, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    (gone,) = facetracks.forget(copy, [CLIPS[0]])
    assert gone.bytes > 10_000
    left = facetracks.read_tracks(copy).to_pandas()
    assert np.unique(left.video_id).tolist() == [CLIPS[1]]
    assert not [path for path in copy.rglob("*") if CLIPS[0] in path.name]
