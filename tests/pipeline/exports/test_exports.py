"""Every export, read back by the tool's own reader if it is available."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from exported_tracks import POSED, VIDEOS, track_table

from models.landmarks.datasets.points import read_pts_landmarks
from pipeline.exports.exported_video import ExportedVideo, exported_videos
from pipeline.exports.formats import FORMATS, export_tracks
from pipeline.exports.openface_csv import openface_pose_rad
from schemas.choices import EXPORT_FORMATS
from schemas.errors import OutputError, UsageError

TOLERANCE_PX = 0.01
ROWS = 5 + 3 + 8


@pytest.fixture()
def exported(output, tmp_path):
    """Exports to a format; returns the folder."""

    def export(tool: str, **options: object) -> Path:
        summary = export_tracks(str(output), str(tmp_path / tool), tool, **options)
        files = [path for path in (tmp_path / tool).rglob("*") if path.is_file()]
        assert len(files) == summary.files
        return tmp_path / tool

    return export


def assert_points(found: object, video: ExportedVideo, rows: object) -> None:
    expected = video.landmarks_px[rows]
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=TOLERANCE_PX)


def test_every_format_has_a_name_for_the_command_line():
    assert tuple(FORMATS) == EXPORT_FORMATS


def test_rows_are_those_of_the_tracks(videos):
    assert set(videos) == set(VIDEOS)
    for video_id, video in videos.items():
        table = track_table(video_id).sort_by(
            [("frame_index", "ascending"), ("face_id", "ascending")]
        )
        np.testing.assert_array_equal(video.pts, table["pts"].to_numpy())
        x = np.stack(table["x"].to_numpy(zero_copy_only=False))
        np.testing.assert_array_equal(video.landmarks_px[..., 0], x)
        assert np.isfinite(video.pose_deg).all() == (video_id == POSED)


def test_openface_csv_by_pandas(exported, videos):
    pandas = pytest.importorskip("pandas")
    folder = exported("openface")
    for video in videos.values():
        table = pandas.read_csv(folder / f"{video.stem}.csv")
        assert table.columns[:5].tolist() == [
            "frame",
            "face_id",
            "timestamp",
            "confidence",
            "success",
        ]
        np.testing.assert_array_equal(table["frame"], video.frame_index + 1)
        np.testing.assert_array_equal(table["face_id"], video.face_id)
        np.testing.assert_allclose(table["timestamp"], video.pts_seconds, atol=1e-6)
        xy = [table[[f"{axis}_{i}" for i in range(68)]].to_numpy() for axis in "xy"]
        assert_points(np.stack(xy, -1), video, slice(None))
        pose = table[["pose_Rx", "pose_Ry", "pose_Rz"]].to_numpy()
        np.testing.assert_allclose(pose, openface_pose_rad(video.pose_deg), rtol=0, atol=1e-4)


def test_openface_angles_turn_as_ours_do():
    """By OpenFace's own formula of the rotation, R = Rx Ry Rz, against R = Rz Ry Rx."""

    def about(axis: int, angle: float) -> np.ndarray:
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        return turn

    yaw, pitch, roll = np.deg2rad(pose := [30.0, -20.0, 50.0])
    x, y, z = openface_pose_rad(np.array([pose, [np.nan] * 3]))[0]
    ours = about(2, roll) @ about(1, yaw) @ about(0, pitch)
    np.testing.assert_allclose(about(0, x) @ about(1, y) @ about(2, z), ours, atol=1e-12)
    assert openface_pose_rad(np.array([[10.0, 0, 0]]))[0] == pytest.approx([0, np.deg2rad(10), 0])


def test_pyfeat_csv_by_pandas(exported, videos):
    pandas = pytest.importorskip("pandas")
    folder = exported("py-feat")
    for video in videos.values():
        table = pandas.read_csv(folder / f"{video.stem}.csv")
        np.testing.assert_array_equal(table["frame"], video.frame_index)
        np.testing.assert_array_equal(table["Identity"], video.face_id)
        pose = table[["Yaw", "Pitch", "Roll"]].to_numpy()
        np.testing.assert_allclose(pose, video.pose_deg, rtol=0, atol=1e-3)
        xy = [table[[f"{axis}_{i}" for i in range(68)]].to_numpy() for axis in "xy"]
        assert_points(np.stack(xy, -1), video, slice(None))
        sides = table[["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"]].to_numpy()
        corners = np.hstack([sides[:, :2], sides[:, :2] + sides[:, 2:]])
        np.testing.assert_allclose(corners, video.boxes_xyxy_px, atol=TOLERANCE_PX)


def test_coco_by_pycocotools(exported, videos, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    folder = exported("coco")
    for video in videos.values():
        data = coco.COCO(str(folder / f"{video.stem}.json"))
        assert len(data.getAnnIds()) == len(video)
        for frame, rows in video.by_frame():
            (image,) = data.loadImgs(frame + 1)
            assert (image["width"], image["height"]) == (video.width_px, video.height_px)
            assert image["timestamp"] == video.pts_seconds[rows[0]]
            faces = data.loadAnns(data.getAnnIds(imgIds=[frame + 1]))
            assert [face["track_id"] for face in faces] == video.face_id[rows].tolist()
            points = np.array([face["keypoints"] for face in faces]).reshape(-1, 68, 3)
            assert (points[..., 2] == 2).all()
            assert_points(points[..., :2], video, rows)
        (category,) = data.loadCats(data.getCatIds())
        assert len(category["keypoints"]) == 68
        assert {number for edge in category["skeleton"] for number in edge} == set(range(1, 69))


def test_cvat_xml_by_what_its_importer_demands(exported, videos):
    """CVAT's importer runs on its server only; docs/exports.md describes a test of these files."""
    folder = exported("cvat")
    for video in videos.values():
        root = ElementTree.parse(folder / f"{video.stem}.xml").getroot()
        assert root.findtext("version") == "1.1"
        assert root.findtext("meta/task/size") == str(video.frames)
        tracks = root.findall("track")
        assert [int(track.get("id")) for track in tracks] == np.unique(video.face_id).tolist()
        for track in tracks:
            rows = np.flatnonzero(video.face_id == int(track.get("id")))
            skeletons = cvat_skeletons(track, video.frames)
            shown = {frame: points for frame, outside, points in skeletons if not outside}
            assert list(shown) == video.frame_index[rows].tolist()
            assert_points(np.array(list(shown.values())) - 0.5, video, rows)
            ends = {f + 1 for f in shown if f + 1 not in shown and f + 1 < video.frames}
            assert {frame for frame, outside, _ in skeletons if outside} == ends


def cvat_skeletons(track: ElementTree.Element, frames: int) -> list[tuple[int, bool, list]]:
    """Frame, outside and 68 points (x, y) of each skeleton; requires every attribute CVAT reads.

    CVAT makes 68 tracks of the points of all skeletons, and takes those that are key frames. So
    each skeleton must have all 68, in one state with it, and frames must ascend.
    """
    assert track.attrib["label"] == "face"
    found = []
    for skeleton in track:
        assert (skeleton.tag, skeleton.attrib["keyframe"]) == ("skeleton", "1")
        labels = [point.attrib["label"] for point in skeleton]
        assert labels == [str(number) for number in range(1, 69)]
        points = []
        for point in skeleton:
            assert point.tag == "points"
            for state in ("keyframe", "outside", "occluded"):
                assert point.attrib[state] == skeleton.attrib[state]
            (pair,) = point.attrib["points"].split(";")
            x, y = map(float, pair.split(","))
            points.append((x, y))
        frame = int(skeleton.attrib["frame"])
        assert 0 <= frame < frames
        found.append((frame, skeleton.attrib["outside"] == "1", points))
    order = [frame for frame, _, _ in found]
    assert found and order == sorted(set(order))
    return found


def test_fiftyone_by_its_schema(exported, videos):
    """By ETA's guide to VideoLabels; FiftyOne's own importer: test_fiftyone_reader.py."""
    folder = exported("fiftyone")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["type"] == "eta.core.datasets.LabeledVideoDataset"
    by_labels = {entry["labels"]: entry["data"] for entry in manifest["index"]}
    for video in videos.values():
        labels = f"labels/{video.stem}.json"
        assert by_labels[labels] == str(Path(video.uri).absolute())
        frames = json.loads((folder / labels).read_text())["frames"]
        assert [int(number) for number in frames] == [frame + 1 for frame, _ in video.by_frame()]
        size = np.array([video.width_px, video.height_px])
        for frame, rows in video.by_frame():
            seen = frames[str(frame + 1)]
            assert seen["frame_number"] == frame + 1
            faces, points = seen["objects"]["objects"], seen["keypoints"]["keypoints"]
            for found in (faces, points):
                assert [face["index"] for face in found] == video.face_id[rows].tolist()
            shares = np.array([face["points"] for face in points])
            assert_points(shares * size - 0.5, video, rows)
            box = faces[0]["bounding_box"]
            shares = np.array([[box[c]["x"], box[c]["y"]] for c in ("top_left", "bottom_right")])
            corners = (shares * size - 0.5).ravel()
            np.testing.assert_allclose(corners, video.boxes_xyxy_px[rows[0]], atol=TOLERANCE_PX)


def test_pts_by_our_reader_of_300vw(exported, videos):
    folder = exported("pts")
    for video in videos.values():
        for row in range(len(video)):
            face = folder / video.stem / f"face_{video.face_id[row]}" / "annot"
            points = read_pts_landmarks(face / f"{video.frame_index[row] + 1:06d}.pts")
            assert_points(points, video, row)


def test_npz_without_pickle(exported, videos):
    folder = exported("npz")
    for video in videos.values():
        with np.load(folder / f"{video.stem}.npz", allow_pickle=False) as arrays:
            assert str(arrays["video_id"]) == video.video_id
            np.testing.assert_array_equal(arrays["pts"], video.pts)
            np.testing.assert_array_equal(arrays["face_id"], video.face_id)
            assert_points(arrays["landmarks_px"], video, slice(None))


def test_rerun_by_its_reader(exported, videos):
    chunk = pytest.importorskip("rerun.chunk")
    folder = exported("rerun")
    for video in videos.values():
        chunks = chunk.RrdReader(folder / f"{video.stem}.rrd").stream().to_chunks()
        for face, rows in video.by_face():
            (points,) = [
                c.to_record_batch() for c in chunks if c.entity_path == f"/faces/{face}/landmarks"
            ]
            assert points["frame"].to_pylist() == video.frame_index[rows].tolist()
            times = points["time"].cast("int64").to_numpy() / 1e9
            np.testing.assert_allclose(times, video.pts_seconds[rows], atol=1e-9)
            assert_points(np.array(points["Points2D:positions"].to_pylist()) - 0.5, video, rows)
            (gone,) = [c.to_record_batch() for c in chunks if c.entity_path == f"/faces/{face}"]
            frames = set(video.frame_index[rows].tolist())
            assert set(gone["frame"].to_pylist()) == {f + 1 for f in frames} - frames


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its open files
def test_webdataset_by_its_reader(exported, videos):
    webdataset = pytest.importorskip("webdataset")
    folder = exported("webdataset")
    shards = [str(path) for path in sorted(folder.iterdir())]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert len(samples) == sum(len(np.unique(video.face_id)) for video in videos.values())
    for sample in samples:
        video = videos[sample["json"]["video_id"]]
        rows = np.flatnonzero(video.face_id == sample["json"]["face_id"])
        assert sample["frame_index.npy"].tolist() == video.frame_index[rows].tolist()
        np.testing.assert_array_equal(sample["pts_seconds.npy"], video.pts_seconds[rows])
        assert_points(sample["landmarks_px.npy"], video, rows)


def test_huggingface_by_load_dataset(exported, videos, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = exported("huggingface")
    read = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    read = read.with_format("numpy")
    assert len(read) == ROWS
    for video in videos.values():
        mine = [i for i, name in enumerate(read["video_id"]) if name == video.video_id]
        rows = read.select(mine)
        np.testing.assert_array_equal(rows["frame_index"], video.frame_index)
        np.testing.assert_array_equal(rows["pts_seconds"], video.pts_seconds)
        assert_points(np.stack([rows["x"], rows["y"]], -1), video, slice(None))


def test_raw_landmarks_and_single_videos(output, exported):
    folder = exported("npz", video_ids=["turned/phone 1.mov"], raw=True)
    (file,) = folder.iterdir()
    assert file.name.startswith("turned_phone_1.mov~")
    (video,) = exported_videos(str(output), ["turned/phone 1.mov"], raw=True)
    with np.load(file) as arrays:
        assert_points(arrays["landmarks_px"], video, slice(None))
    x_raw = np.stack(track_table(video.video_id)["x_raw"].to_numpy(zero_copy_only=False))
    np.testing.assert_array_equal(video.landmarks_px[..., 0], x_raw)


def test_to_a_store_that_is_no_disk(output):
    fsspec = pytest.importorskip("fsspec")
    for tool in FORMATS:
        assert export_tracks(str(output), f"memory://exports/{tool}", tool).rows == ROWS
    memory = fsspec.filesystem("memory")
    with memory.open("/exports/npz/crowd.mkv.npz", "rb") as file, np.load(file) as arrays:
        assert len(arrays["pts"]) == 8
    memory.rm("/exports", recursive=True)


def test_what_is_refused(output, tmp_path):
    with pytest.raises(UsageError, match="got 'dlib', expected one of openface"):
        export_tracks(str(output), str(tmp_path / "to"), "dlib")
    with pytest.raises(UsageError, match=r"got no tracks of bad\.mp4"):
        export_tracks(str(output), str(tmp_path / "to"), "npz", video_ids=["bad.mp4"])
    with pytest.raises(OutputError, match=r"got no videos/\*\.parquet"):
        export_tracks(str(tmp_path), str(tmp_path / "to"), "npz")


def test_command(facetracks, output, tmp_path):
    ended = facetracks("export", output, "--format", "npz", "--to", tmp_path / "to")
    assert ended.status == 0
    assert ended.out == f"{tmp_path / 'to'}: {ROWS} rows of 3 videos in 3 files\n"
    assert "videos: 3video" in ended.err
