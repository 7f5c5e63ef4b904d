"""`import facetracks`: its names, and that it loads no heavy modules."""

import inspect
import subprocess
import sys

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from stages import outputs_of

import facetracks
from facetracks import LANDMARKS, AnnotateSettings, AnnotateVideos, Video
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from schemas.errors import UsageError, VideoError
from schemas.landmarks import CONTOURS
from schemas.tracks import TRACK_SCHEMA


def test_the_names_are_sorted_and_documented():
    assert facetracks.__all__ == sorted(facetracks.__all__, key=lambda n: (n.upper() != n, n))
    for name in facetracks.__all__:
        value = getattr(facetracks, name)
        assert name == "__version__" or len(inspect.getdoc(value)) > 40, name
    assert set(facetracks.__all__) <= set(dir(facetracks))
    with pytest.raises(AttributeError, match="has no attribute 'anotate'"):
        _ = facetracks.anotate


def test_importing_it_loads_neither_torch_nor_beam():
    heavy = "{'torch', 'apache_beam', 'cv2', 'av', 'pyarrow', 'numpy'}"
    code = f"import sys, facetracks; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_groups_of_landmarks_index_arrays():
    points = np.arange(2 * 68 * 2).reshape(2, 68, 2)
    assert points[:, LANDMARKS.left_eye].shape == (2, 6, 2)
    assert (points[:, LANDMARKS.nose] == points[:, 27:36]).all()
    names = LANDMARKS.names()
    assert len(set(names)) == 68
    assert (names[0], names[36], names[67]) == ("jaw_0", "right_eye_0", "inner_lip_7")
    assert sorted(i for group, _ in CONTOURS.values() for i in group) == list(range(68))


def test_landmarks_of_a_picture():
    """The one photograph with known landmarks, found and with a box given."""
    image = load_astronaut()
    found = facetracks.align(image, device="cpu")
    assert len(found) == 1
    given = facetracks.align(image, found.boxes_xyxy_px, device="cpu")
    assert given.scores.tolist() == [1.0]
    np.testing.assert_allclose(given.landmarks_px, found.landmarks_px)
    interocular = np.linalg.norm(ASTRONAUT_LANDMARKS_PX[36] - ASTRONAUT_LANDMARKS_PX[45])
    errors = np.linalg.norm(found.landmarks_px[0] - ASTRONAUT_LANDMARKS_PX, axis=-1)
    assert errors.mean() < 0.08 * interocular


def test_a_picture_without_a_face_has_none():
    faces = facetracks.align(np.full((90, 120, 3), 128, np.uint8), device="cpu")
    assert faces.landmarks_px.shape == (0, 68, 2)
    assert faces.spread_px.shape == (0, 68)
    assert faces.boxes_xyxy_px.shape == (0, 4)


@pytest.mark.parametrize(
    ("image", "boxes", "message"),
    [
        (np.zeros((9, 9), np.uint8), None, r"image: got \(9, 9\) uint8"),
        (np.zeros((9, 9, 3), np.float32), None, r"image: got .* float32"),
        (np.zeros((9, 9, 3), np.uint8), [1, 2, 3, 4], r"boxes: got \(4,\), expected \(N, 4\)"),
        (np.zeros((9, 9, 3), np.uint8), [[1, 2, np.nan, 4]], "expected .* finite numbers"),
        (np.zeros((9, 9, 3), np.uint8), [[5, 2, 1, 4]], "expected left < right and top < bottom"),
    ],
)
def test_arrays_of_another_kind(image, boxes, message):
    with pytest.raises(ValueError, match=message):
        facetracks.align(image, boxes, device="cpu")


@pytest.fixture(scope="module")
def settings() -> AnnotateSettings:
    return AnnotateSettings(device="cpu", segment_seconds=2.0, workers=2)


@pytest.fixture(scope="module")
def annotated(talking_clip, faceless_clip, tmp_path_factory, settings):
    """(summary, output) of two videos and a missing one."""
    output = tmp_path_factory.mktemp("annotated") / "out"
    inputs = [talking_clip, faceless_clip, talking_clip.with_name("none.mp4")]
    return facetracks.annotate(inputs, output, settings), output


def test_annotate_prints_nothing_and_tells_what_became_of_every_input(annotated, capsys):
    summary, output = annotated
    assert summary.statuses == {"ok": 2, "failed": 1}
    assert summary.reasons == {"no_face": 1, "not_found": 1}
    assert (summary.videos, summary.complete, summary.frames) == (3, False, 200)
    (failed,) = summary.incomplete
    assert (failed.video_id, failed.status, failed.reason) == ("none.mp4", "failed", "not_found")
    assert summary.face_frames == facetracks.read_tracks(output).num_rows > 150
    assert capsys.readouterr() == ("", "")
    statuses = facetracks.read_videos(output)
    assert sorted(statuses["video_id"].to_pylist()) == ["faceless.mp4", "none.mp4", "talking.mp4"]


def test_a_second_run_does_nothing_again_and_says_the_same(
    annotated, talking_clip, faceless_clip, settings
):
    summary, output = annotated
    inputs = [str(talking_clip), str(faceless_clip), str(talking_clip.with_name("none.mp4"))]
    again = facetracks.annotate(inputs, str(output), settings)
    assert (again.statuses, again.frames) == (summary.statuses, summary.frames)
    assert again.staging_peak_bytes == 0


def test_a_clip_gives_the_rows_that_a_run_writes(annotated, talking_clip, settings):
    _, output = annotated
    written = facetracks.read_tracks(output, ["talking.mp4"])
    table = facetracks.annotate_clip(talking_clip, settings)
    assert table.schema.equals(TRACK_SCHEMA)
    for name in ("face_id", "frame_index", "pts", "box_source"):
        assert table[name].combine_chunks().equals(written[name].combine_chunks()), name
    for name in ("x", "y", "x_raw", "y_raw"):
        one, other = (np.stack(t[name].to_numpy()) for t in (table, written))
        assert np.abs(one - other).max() < 0.01, name


def test_a_clip_may_have_a_range_and_must_be_a_video(talking_clip, tmp_path, settings):
    part = facetracks.annotate_clip(Video("v", str(talking_clip), 1.0, 1.4), settings)
    assert set(part["frame_index"].to_pylist()) == set(range(10))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError) as told:
        facetracks.annotate_clip(tmp_path / "text.mp4", settings)
    assert told.value.reason == "not_a_video"
    with pytest.raises(VideoError, match="the protocol ftp is not allowed"):
        facetracks.annotate_clip("ftp://host/clip.mp4", settings)


class SomebodysJob(beam.PTransform):
    """A filter before, a count after."""

    def __init__(self, output, settings):
        self.output, self.settings = output, settings

    def expand(self, videos):
        return (
            videos
            | "NoText" >> beam.Filter(lambda video: not str(video).endswith(".txt"))
            | AnnotateVideos(self.output, self.settings)
            | "Status" >> beam.Map(lambda row: (row["status"], row["video_id"]))
            | "Count" >> beam.combiners.Count.PerKey()
        )


def test_the_stages_work_in_a_pipeline_of_somebody_else(
    talking_clip, faceless_clip, tmp_path, settings, annotated
):
    """Paths, strings and Videos; one twice; one refused."""
    given = [
        talking_clip, str(talking_clip), "notes.txt", Video("short", str(faceless_clip), 0.0, 0.4),
        "ftp://host/clip.mp4",
    ]  # fmt: skip
    counts = outputs_of(given, SomebodysJob(tmp_path / "out", settings))
    assert dict(counts) == {"ok": 2, "failed": 1}
    videos = facetracks.read_videos(tmp_path / "out")
    assert dict(zip(*(videos[c].to_pylist() for c in ("video_id", "reason")), strict=True)) == {
        "talking.mp4": None, "short": "no_face", "clip.mp4": "protocol_refused",
    }  # fmt: skip
    ours = facetracks.read_tracks(tmp_path / "out", ["talking.mp4"])
    assert ours.num_rows == facetracks.read_tracks(annotated[1], ["talking.mp4"]).num_rows


def test_a_manifest_is_read_in_the_pipeline(tmp_path):
    """CSV with a line break in quotes and a byte order mark, JSONL with U+2028, Parquet."""
    (tmp_path / "a.csv").write_bytes('\ufeffuri,video_id\n"a\nb.mp4",x\nc.mp4,\n'.encode())
    (tmp_path / "b.jsonl").write_text('{"uri": "d\u2028e.mp4"}\n\n{"uri": "f.mp4"}\n')
    table = pa.table({"uri": [f"{i}.mp4" for i in range(7)], "note": ["-"] * 7})
    pa.parquet.write_table(table, tmp_path / "c.parquet", row_group_size=3)
    urls = [str(tmp_path / name) for name in ("a.csv", "b.jsonl", "c.parquet")]
    videos = outputs_of(urls, facetracks.ReadManifests())
    ids = {video.video_id for video in videos}
    assert ids == {"x", "c.mp4", "d\u2028e.mp4", "f.mp4", *(f"{i}.mp4" for i in range(7))}
    assert len(videos) == 11


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"workers": 0}, "workers: got 0, expected a whole number from 1 up"),
        ({"segment_seconds": float("nan")}, "segment_seconds: got nan, expected a number above 0"),
        ({"device": "gpu"}, "device: got 'gpu', expected auto, cpu, cuda or cuda:i"),
        (
            {"precision": "float16"},
            "precision: got 'float16', expected one of float32, bfloat",
        ),
        ({"stabilizer": "kalman"}, "stabilizer: .*got 'kalman', expected one of none, "),
        ({"retry": {"bad"}}, "retry: got bad, expected some of no_face, "),
        ({"retry": "bad_packets"}, "retry: got 'bad_packets', expected a set of reasons"),
        ({"align_ram": "much"}, "align_ram: "),
        ({"limit": -1}, "limit: got -1"),
    ],
)
def test_settings_that_cannot_be(setting, message):
    with pytest.raises(UsageError, match=message):
        AnnotateSettings(**setting)
