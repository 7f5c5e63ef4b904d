from pathlib import Path

import numpy as np
import pytest
from published_layouts import (
    disc_landmarks,
    talking_face_points,
    write_points,
    write_talking_face,
)

from models.landmarks.datasets.labelled_face import AnnotationError
from models.landmarks.datasets.talking_face import read_talking_face
from schemas.landmarks import COMMON_LANDMARKS


def test_the_common_landmarks(tmp_path: Path) -> None:
    faces = list(read_talking_face(write_talking_face(tmp_path, frames=4)).faces(window_frames=3))
    assert [face.origin.frame for face in faces] == [0, 1, 2, 3]
    assert [len(face.earlier) for face in faces] == [0, 1, 2, 2]
    known = np.flatnonzero(np.isfinite(faces[2].landmarks_px).all(-1))
    assert known.tolist() == sorted(COMMON_LANDMARKS) == [30, 36, 39, 42, 45, 48, 54]
    np.testing.assert_allclose(faces[2].landmarks_px[known], disc_landmarks(2)[known])
    assert faces[2].load().shape == (128, 128, 3)


def test_the_box_is_that_of_all_points(tmp_path: Path) -> None:
    (first, *_) = read_talking_face(write_talking_face(tmp_path, frames=1)).faces()
    x0, y0, x1, y1 = first.box_xyxy_px
    points = talking_face_points()
    assert x0 < points[:, 0].min() + 10
    assert x1 > points[:, 0].max() - 10
    assert y0 < points[27, 1]
    assert y1 > points[7, 1] - 5


def test_what_is_broken(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="got no files of frames"):
        read_talking_face(tmp_path)
    write_talking_face(tmp_path, frames=3)
    mirrored = talking_face_points() * [-1, 1]
    write_points(tmp_path / "points" / "franck_00001.pts", mirrored)
    with pytest.raises(AnnotationError, match=r"franck_00001\.pts: got eye corners .* left to rig"):
        list(read_talking_face(tmp_path).faces())
    (tmp_path / "images" / "franck_00002.jpg").unlink()
    skipped: list[str] = []
    assert len(list(read_talking_face(tmp_path).faces(skipped=skipped))) == 1
    assert len(skipped) == 2
