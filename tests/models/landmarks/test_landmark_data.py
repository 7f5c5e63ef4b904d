from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from models.face_box import box_from_landmarks
from models.landmarks.data import (
    AnnotationError,
    read_dlib_xml,
    read_landmark_csv,
    read_pseudo68,
    read_pts,
)


def _face(offset: float = 0.0) -> np.ndarray:
    """68 distinct points with plausible eyes; values have two decimals."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([60 + 30 * np.cos(angle), 50 + 30 * np.sin(angle)], axis=1)
    points[36], points[45] = (40, 45), (80, 45)
    return np.round(points + offset, 2).astype(np.float32)


def _csv(path: Path, rows: list[list[object]]) -> Path:
    header = ["image"] + [f"{axis}{i}" for i in range(68) for axis in "xy"]
    path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")
    return path


def test_csv(tmp_path: Path) -> None:
    image = np.zeros((8, 9, 3), np.uint8)
    image[2, 3] = (10, 20, 30)  # BGR for OpenCV
    cv2.imwrite(str(tmp_path / "a.png"), image)
    table = _csv(tmp_path / "k.csv", [["a.png", *_face().ravel()], ["b.png", *_face(1).ravel()]])
    first, second = read_landmark_csv(table, tmp_path)
    np.testing.assert_allclose(first.landmarks_px, _face())
    np.testing.assert_allclose(second.landmarks_px, _face(1))
    np.testing.assert_allclose(first.box_xyxy_px, box_from_landmarks(_face()))
    assert first.load().shape == (8, 9, 3)
    assert first.load()[2, 3].tolist() == [30, 20, 10]
    with pytest.raises(AnnotationError, match=r"b\.png: cannot be read as a picture"):
        second.load()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (_face().ravel().tolist()[:-1], r"k\.csv:3: got 136 columns, expected 137"),
        ([*_face().ravel().tolist()[:-1], "x"], r"k\.csv:3: could not convert string"),
        ([*_face().ravel().tolist()[:-1], "nan"], r"k\.csv:3: got a value that is not finite"),
        ([5.0] * 136, r"k\.csv:3: landmarks 36 and 45 coincide"),
    ],
)
def test_broken_csv_names_file_and_line(tmp_path: Path, values: list[object], message: str) -> None:
    table = _csv(tmp_path / "k.csv", [["a.png", *_face().ravel()], ["b.png", *values]])
    with pytest.raises(AnnotationError, match=message):
        read_landmark_csv(table, tmp_path)


def _pts(path: Path, points: np.ndarray) -> Path:
    body = "\n".join(f"{x} {y}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  68\n{{\n{body}\n}}\n")
    return path


def test_pts_counts_from_one(tmp_path: Path) -> None:
    face = read_pts(_pts(tmp_path / "f.pts", _face()), tmp_path / "f.jpg")
    np.testing.assert_allclose(face.landmarks_px, _face() - 1, rtol=1e-6)


def test_broken_pts_names_file_and_line(tmp_path: Path) -> None:
    path = _pts(tmp_path / "f.pts", _face())
    lines = path.read_text().splitlines()
    lines[5] = "12.0"
    path.write_text("\n".join(lines))
    with pytest.raises(AnnotationError, match=r"f\.pts:6: got '12\.0', expected x and y"):
        read_pts(path, tmp_path / "f.jpg")
    with pytest.raises(AnnotationError, match="got 67 points, expected 68"):
        read_pts(_pts(path, _face()[1:]), tmp_path / "f.jpg")
    path.write_text("version: 1\n")
    with pytest.raises(AnnotationError, match="got no block of points"):
        read_pts(path, tmp_path / "f.jpg")


def _xml(path: Path, faces: list[np.ndarray]) -> Path:
    boxes = "".join(
        "<box top='0' left='0' width='9' height='9'>"
        + "".join(f"<part name='{i:02d}' x='{x}' y='{y}'/>" for i, (x, y) in enumerate(face))
        + "</box>"
        for face in faces
    )
    path.write_text(f"<dataset><images><image file='a.jpg'>{boxes}</image></images></dataset>")
    return path


def test_dlib_xml(tmp_path: Path) -> None:
    faces = read_dlib_xml(_xml(tmp_path / "a.xml", [_face(), _face(5)]))
    assert [face.name for face in faces] == ["a.jpg#0", "a.jpg#1"]
    np.testing.assert_allclose(faces[1].landmarks_px, _face(5))
    assert faces[0].image == tmp_path / "a.jpg"


def test_broken_dlib_xml(tmp_path: Path) -> None:
    path = _xml(tmp_path / "a.xml", [_face(), _face()[:60]])
    with pytest.raises(AnnotationError, match=r"a\.jpg face 1: got no part 60, expected 00 to 67"):
        read_dlib_xml(path)
    path.write_text("<dataset>\n<images>\n</dataset>")
    with pytest.raises(AnnotationError, match=r"a\.xml:3: broken XML"):
        read_dlib_xml(path)


def _video(path: Path, frames: int) -> Path:
    """Frame i is grey of value 20 i."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(frames):
            image = np.full((96, 128, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _labels(path: Path, landmarks: np.ndarray, spread: list[float]) -> Path:
    count = len(landmarks)
    np.savez(
        path,
        frame_index=np.arange(count, dtype=np.int32),
        face=np.zeros(count, np.int16),
        box_xywh_px=np.tile(np.float32([20, 10, 80, 70]), (count, 1)),
        landmarks_px=landmarks.astype(np.float32),
        spread_percent=np.array(spread, np.float32),
    )
    return path


def test_pseudo68_drops_spread_smooths_and_finds_the_frame(tmp_path: Path) -> None:
    landmarks = np.stack([_face()] * 7)
    landmarks[3, 8, 0] += 1.6  # a flicker of one landmark in one frame
    labels = _labels(tmp_path / "v.npz", landmarks, [0.5, 0.5, 0.5, 0.5, 9.0, 0.5, 0.5])
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 8))
    assert [face.name for face in faces] == [f"v.mp4@{i}" for i in (0, 1, 2, 3, 5, 6)]
    np.testing.assert_allclose(faces[0].box_xyxy_px, [20, 10, 100, 80])
    for face, index in zip(faces, (0, 1, 2, 3, 5, 6), strict=True):
        assert np.abs(face.load().astype(int) - 20 * index).max() <= 4
    # frames 2 and 3 have two neighbours on each side: weights 1 4 6 4 1 over 16
    smoothed = [face.landmarks_px[8, 0] - _face()[8, 0] for face in faces]
    np.testing.assert_allclose(smoothed[2:4], [1.6 * 4 / 16, 1.6 * 6 / 16], atol=1e-4)
    np.testing.assert_allclose(smoothed[0], 0, atol=1e-4)


def test_pseudo68_keeps_evenly_spaced_faces(tmp_path: Path) -> None:
    labels = _labels(tmp_path / "v.npz", np.stack([_face()] * 7), [0.5] * 7)
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 7), faces_per_video=3)
    assert [face.name for face in faces] == ["v.mp4@0", "v.mp4@3", "v.mp4@6"]


def test_pseudo68_of_a_shorter_video_is_an_error(tmp_path: Path) -> None:
    labels = _labels(tmp_path / "v.npz", np.stack([_face()] * 7), [0.5] * 7)
    with pytest.raises(AnnotationError, match=r"v\.npz: frame 4 is not in v\.mp4"):
        read_pseudo68(labels, _video(tmp_path / "v.mp4", 4))


def test_broken_pseudo68(tmp_path: Path) -> None:
    video = _video(tmp_path / "v.mp4", 2)
    labels = tmp_path / "v.npz"
    labels.write_bytes(b"no zip")
    with pytest.raises(AnnotationError, match=r"v\.npz: not a file of teacher labels"):
        read_pseudo68(labels, video)
    _labels(labels, np.zeros((2, 60, 2)), [0, 0])
    with pytest.raises(AnnotationError, match=r"landmarks_px has shape \(2, 60, 2\)"):
        read_pseudo68(labels, video)
    _labels(labels, np.stack([_face()] * 2), [0, 0])
    video.write_bytes(b"no video")
    with pytest.raises(AnnotationError, match=r"v\.mp4: cannot be decoded"):
        read_pseudo68(labels, video)


def test_pseudo68_brings_the_frames_before_as_far_as_they_follow_each_other(tmp_path: Path) -> None:
    labels = _labels(tmp_path / "v.npz", np.stack([_face()] * 6), [0.5] * 6)
    arrays = dict(np.load(labels))
    arrays["frame_index"] = np.array([0, 1, 2, 4, 5, 6])  # nobody in frame 3
    arrays["box_xywh_px"][5] += [60, 0, 0, 0]  # somebody else in frame 6
    np.savez(labels, **arrays)
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 8), earlier_frames=2)
    assert [[frame.name for frame in face.earlier] for face in faces] == [
        [],
        ["v.mp4@0"],
        ["v.mp4@0", "v.mp4@1"],
        [],
        ["v.mp4@4"],
        [],
    ]
    assert abs(int(faces[2].earlier[1].load().mean()) - 20) <= 4
