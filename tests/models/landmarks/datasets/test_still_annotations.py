from pathlib import Path

import cv2
import numpy as np
import pytest

from models.face_box import box_from_landmarks
from models.landmarks.datasets.dlib_xml import read_dlib_xml
from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin
from models.landmarks.datasets.points import read_landmark_csv, read_pts_landmarks


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
    skipped: list[str] = []
    assert len(read_landmark_csv(table, tmp_path, skipped=skipped)) == 1
    assert len(skipped) == 1


def _pts(path: Path, points: np.ndarray) -> Path:
    body = "\n".join(f"{x} {y}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  68\n{{\n{body}\n}}\n")
    return path


def test_pts_counts_from_one(tmp_path: Path) -> None:
    landmarks = read_pts_landmarks(_pts(tmp_path / "f.pts", _face()))
    np.testing.assert_allclose(landmarks, _face() - 1, rtol=1e-6)


def test_broken_pts_names_file_and_line(tmp_path: Path) -> None:
    path = _pts(tmp_path / "f.pts", _face())
    lines = path.read_text().splitlines()
    lines[5] = "12.0"
    path.write_text("\n".join(lines))
    with pytest.raises(AnnotationError, match=r"f\.pts:6: got '12\.0', expected x and y"):
        read_pts_landmarks(path)
    with pytest.raises(AnnotationError, match="got 67 points, expected 68"):
        read_pts_landmarks(_pts(path, _face()[1:]))
    path.write_text("version: 1\n")
    with pytest.raises(AnnotationError, match="got no block of points"):
        read_pts_landmarks(path)
    with pytest.raises(AnnotationError, match=r"none\.pts: cannot be read: No such file"):
        read_pts_landmarks(tmp_path / "none.pts")


def _xml(path: Path, faces: list[np.ndarray]) -> Path:
    boxes = "".join(
        "\n<box top='0' left='0' width='9' height='9'>"
        + "".join(f"<part name='{i:02d}' x='{x}' y='{y}'/>" for i, (x, y) in enumerate(face))
        + "</box>"
        for face in faces
    )
    path.write_text(f"<dataset><images><image file='a.jpg'>{boxes}</image></images></dataset>")
    return path


def test_dlib_xml(tmp_path: Path) -> None:
    faces = read_dlib_xml(_xml(tmp_path / "a.xml", [_face(), _face(5)]), data_set="dlib")
    assert [face.name for face in faces] == ["a.jpg#0", "a.jpg#1"]
    np.testing.assert_allclose(faces[1].landmarks_px, _face(5))
    assert faces[0].image == tmp_path / "a.jpg"
    assert faces[1].origin == FaceOrigin("dlib", "a.jpg", face=1)


def test_broken_dlib_xml(tmp_path: Path) -> None:
    path = _xml(tmp_path / "a.xml", [_face(), _face()[:60]])
    with pytest.raises(AnnotationError, match=r"a\.xml:3: a\.jpg face 1: got no part 60, expected"):
        read_dlib_xml(path)
    skipped: list[str] = []
    assert len(read_dlib_xml(path, skipped=skipped)) == 1
    assert len(skipped) == 1
    path.write_text("<dataset>\n<images>\n</dataset>")
    with pytest.raises(AnnotationError, match=r"a\.xml:3: broken XML"):
        read_dlib_xml(path)


@pytest.mark.realdata
def test_real_files(shared_data: Path) -> None:
    val = shared_data / "ytf68" / "val"
    stills = shared_data / "images68" / "dlib_faces" / "training_with_face_landmarks.xml"
    for faces, count in (
        (read_landmark_csv(val / "keypoints.csv", val / "images"), 3 * 119),
        (read_dlib_xml(stills), 18),
    ):
        assert len(faces) == len({face.origin for face in faces}) == count
        for face in faces[:20]:
            height, width = face.load().shape[:2]
            middle = face.landmarks_px.mean(0)
            assert ((middle > 0) & (middle < [width, height])).all()
