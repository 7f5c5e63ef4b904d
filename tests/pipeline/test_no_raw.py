"""Tracks of `annotate --no-raw`: commands that read them, and commands that refuse them."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.annotate import annotate
from pipeline.data.annotated_tracks import annotated_tracks
from pipeline.exports.exported_video import exported_videos
from pipeline.outputs.derive_tracks import derive_tracks
from pipeline.settings import AnnotateSettings
from schemas.errors import OutputError, UsageError
from schemas.tracks import RAW_COLUMNS
from transforms.storage.output_tables import read_tracks


@pytest.fixture(scope="module")
def annotated(faceless_clip, tmp_path_factory):
    """The output of a clip with given boxes, without raw columns."""
    folder = tmp_path_factory.mktemp("no_raw")
    rows = [f"{frame},20,10,60,50" for frame in range(50)]
    (folder / "boxes.csv").write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    (folder / "clip.csv").write_text(f"uri,boxes\n{faceless_clip},boxes.csv\n")
    settings = AnnotateSettings(raw=False, device="cpu", workers=1)
    assert annotate(folder / "clip.csv", folder / "out", settings).complete
    return folder / "out"


def test_the_file_has_no_raw_columns_and_rounded_ones(annotated):
    (file,) = (annotated / "tracks").iterdir()
    assert not set(RAW_COLUMNS) & set(pq.read_schema(file).names)
    x = np.stack(pq.read_table(file)["x"].to_numpy())
    assert (x * 64 == np.rint(x * 64)).all()
    tracks = read_tracks(annotated)
    assert tracks["x_raw"].null_count == tracks.num_rows > 0


def test_a_run_that_keeps_them_is_of_another_configuration(facetracks, annotated, faceless_clip):
    ended = facetracks("annotate", faceless_clip, "-o", annotated, "--device", "cpu")
    assert ended.status == 2
    assert "raw: False there, True now" in ended.err


def test_pictures_and_exports_take_them(facetracks, annotated, faceless_clip, tmp_path):
    ended = facetracks(
        "render", faceless_clip, "--tracks", annotated, "--to", tmp_path / "sheet.png"
    )
    assert ended.status == 0, ended.err
    (video,) = exported_videos(str(annotated))
    assert len(video) == read_tracks(annotated).num_rows


def test_what_needs_them_says_so(facetracks, annotated, faceless_clip, tmp_path):
    ended = facetracks(
        "render", faceless_clip, "--tracks", annotated, "--to", tmp_path / "sheet.png", "--raw"
    )
    assert ended.status == 2
    assert "--raw needs the columns x_raw and y_raw" in ended.err
    with pytest.raises(UsageError, match="raw landmarks needs the columns x_raw and y_raw"):
        list(exported_videos(str(annotated), raw=True))
    with pytest.raises(OutputError, match="has no x_raw and y_raw"):
        derive_tracks(annotated)
    with pytest.raises(UsageError, match="has no x_raw and y_raw"):
        list(annotated_tracks(annotated))
